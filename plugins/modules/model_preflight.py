#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: model_preflight
short_description: Tell which models a node lacks, and whether they fit
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Compares all model files of a node with what is wanted, in one call, and checks that there is room for those that are
    missing, on the disk and in memory.
  - A file is read as a whole only if its size or time changed since it was verified.
extends_documentation_fragment:
  - wasinn.cluster.attributes.info
options:
  directory:
    description: Folder of the models.
    type: path
    required: true
  models:
    description: The models that this node keeps.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The model's name.
        type: str
        required: true
      file:
        description: Name of its file.
        type: str
        required: true
      sha256:
        description: Checksum of the file; empty if it is not known yet.
        type: str
        default: ""
      size:
        description: Bytes of the file; 0 if not known yet.
        type: int
        default: 0
      weights:
        description: Bytes of its tensors; 0 if not known yet.
        type: int
        default: 0
      kv_cache:
        description: Bytes of its KV cache.
        type: int
        default: 0
      context:
        description: Tokens of context.
        type: int
        default: 0
      pods:
        description: Number of its pods that one node has to take at least.
        type: int
        default: 1
      limit:
        description: A pod's memory limit, which is not looked at here.
        type: str
        default: ""
  overhead:
    description: Bytes that a pod takes besides weights and KV cache.
    type: int
    default: 0
  register:
    description: File on the node that notes which model files were verified, and which of them were brought.
    type: path
    default: /var/lib/wasinn/models.json
"""

EXAMPLES = r"""
- name: See what this node lacks
  wasinn.cluster.model_preflight:
    directory: /var/lib/wasinn/models
    models:
      - name: smollm2
        file: SmolLM2-135M-Instruct.Q4_1.gguf
        sha256: b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
        size: 98362432
"""

RETURN = r"""
files:
  description:
    - How each file is, by its name, with C(state) (V(present), V(other) for another content, V(missing)), C(part) (bytes of
      an unfinished copy), C(sha256) and the C(wanted) checksum.
  returned: success
  type: dict
missing:
  description: Names of the models whose files are not as wanted.
  returned: success
  type: list
  elements: str
needed:
  description: Bytes that are still to come.
  returned: success
  type: int
free:
  description: Free bytes on the disk.
  returned: success
  type: int
memory:
  description: Bytes of the machine's memory.
  returned: success
  type: int
findings:
  description: What is in the way, each with C(check), C(cause) and C(remedy).
  returned: success
  type: list
  elements: dict
"""

import shutil
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import finding, human_bytes
from ansible_collections.wasinn.cluster.plugins.module_utils.model_memory import node_findings
from ansible_collections.wasinn.cluster.plugins.module_utils.model_store import (
    REGISTER,
    ModelFile,
    Register,
    StoreError,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.node_checks import Machine

MODEL_SPEC = {
    "name": {"type": "str", "required": True},
    "file": {"type": "str", "required": True},
    "sha256": {"type": "str", "default": ""},
    "size": {"type": "int", "default": 0},
    "weights": {"type": "int", "default": 0},
    "kv_cache": {"type": "int", "default": 0},
    "context": {"type": "int", "default": 0},
    "pods": {"type": "int", "default": 1},
    "limit": {"type": "str", "default": ""},
}
# Below this share of free space k3s' kubelet evicts pods (its eviction-hard setting).
EVICTION = 0.05


def disk_findings(directory, models, states, free):
    """A finding if what is still to come does not fit; and the bytes of it."""
    lacking = {model["file"]: model for model in models if states[model["file"]].state != "present"}
    needed = sum(max(model["size"] - states[file].part, 0) for file, model in lacking.items())
    folder = Path(directory)
    while not folder.exists():
        folder = folder.parent
    reserve = int(shutil.disk_usage(folder).total * EVICTION)
    if not needed or free >= needed + reserve:
        return [], needed
    parts = ", ".join(f"{model['name']} {human_bytes(model['size'])}" for model in lacking.values() if model["size"])
    cause = (
        f"{human_bytes(needed)} of models are still to come to {directory} ({parts}), and {human_bytes(reserve)} have to "
        f"stay free there, or the kubelet evicts pods, but {human_bytes(free)} are free."
    )
    remedy = "Free some space there, move models_dir to a larger disk, or keep fewer models on this machine."
    return [finding("disk", cause, remedy)], needed


def _shown(state):
    return {key: value for key, value in asdict(state).items() if key != "free"}


def look(params, record):
    """What the module returns. Raises StoreError."""
    register, folder, models = Register(params["register"]), Path(params["directory"]), params["models"]
    states = {
        model["file"]: ModelFile(folder / model["file"], model["sha256"].lower(), register).look(record)
        for model in models
    }
    free = min((state.free for state in states.values()), default=0)
    memory = Machine().memory(0)
    findings, needed = disk_findings(params["directory"], models, states, free)
    return {
        "files": {
            model["file"]: {**_shown(states[model["file"]]), "wanted": model["sha256"].lower()} for model in models
        },
        "missing": [model["name"] for model in models if states[model["file"]].state != "present"],
        "needed": needed,
        "free": free,
        "memory": memory,
        "findings": findings + node_findings(models, memory, params["overhead"]),
    }


def main():
    """Runs the module."""
    module = AnsibleModule(
        {
            "directory": {"type": "path", "required": True},
            "models": {"type": "list", "elements": "dict", "required": True, "options": MODEL_SPEC},
            "overhead": {"type": "int", "default": 0},
            "register": {"type": "path", "default": REGISTER},
        },
        supports_check_mode=True,
    )
    try:
        answer = look(module.params, record=not module.check_mode)
    except StoreError as exc:
        module.fail_json(msg=f"{exc}.", findings=[])
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
