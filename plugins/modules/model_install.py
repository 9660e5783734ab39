#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The node's part of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_install
short_description: Bring a model file to a node, from the controller or from other nodes
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Copies a GGUF file to a node, carries on where an earlier copy was cut off, and gives it its name only when its sha256
    and its GGUF header are right.
  - Works over Ansible's own connection, whatever its kind, and says on the screen how far it is, how fast, and how long
    it will take.
  - Nothing is copied if the disk is too small.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  src:
    description:
      - The file on the controller. In check mode it may still be missing. Without it only O(peers) are asked.
    type: path
  dest:
    description: The file's path on the node.
    type: path
    required: true
  sha256:
    description: The checksum it must have. Without it, that of O(src) is computed.
    type: str
    default: ""
  size:
    description: Its size in bytes. Without it, that of O(src).
    type: int
    default: 0
  name:
    description: Name of the model in messages.
    type: str
    default: ""
  peers:
    description:
      - Nodes to get the file from, each C(HOST:PORT), where M(wasinn.cluster.model_peer) runs. If there are any, the
        controller sends nothing; if none of them gives it, RV(pending) is true and the task does not fail.
    type: list
    elements: str
    default: []
  secret:
    description: The secret that O(peers) were started with.
    type: str
    default: ""
  mode:
    description: Mode of the file, as an octal number.
    type: str
    default: "0644"
  step:
    description: Used by the action plugin.
    type: str
    choices: [look, prepare, pull, finish]
    default: look
  seconds:
    description: How long one O(step=pull) takes at most.
    type: float
    default: 10
  register:
    description: File on the node that notes which model files were verified, and which of them were brought.
    type: path
    default: /var/lib/wasinn/models.json
seealso:
  - module: wasinn.cluster.artifact_fetch
  - module: wasinn.cluster.model_peer
"""

EXAMPLES = r"""
- name: Copy a model to the node
  wasinn.cluster.model_install:
    name: smollm2
    src: "{{ fetched.artifacts.smollm2.path }}"
    sha256: "{{ fetched.artifacts.smollm2.sha256 }}"
    dest: /var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf
"""

RETURN = r"""
dest:
  description: The file.
  returned: always
  type: str
node:
  description:
    - How it was on the node before, with C(state) (V(present), V(other) for another content, V(missing)), C(part) (bytes of an
      unfinished copy), C(free) (bytes on the disk) and C(sha256).
  returned: success
  type: dict
pending:
  description: Whether it is still not there, because no peer gave it.
  returned: success
  type: bool
reasons:
  description: Why the peers did not give it.
  returned: when pending
  type: list
  elements: str
source:
  description: Who gave the file, V(controller) or a peer.
  returned: when it was brought
  type: str
"""

import os
import re
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.model_peer_client import pull
from ansible_collections.wasinn.cluster.plugins.module_utils.model_store import (
    REGISTER,
    ModelFile,
    Register,
    StoreError,
    disk_sentence,
)

ARGUMENT_SPEC = {
    "src": {"type": "path"},
    "dest": {"type": "path", "required": True},
    "sha256": {"type": "str", "default": ""},
    "size": {"type": "int", "default": 0},
    "name": {"type": "str", "default": ""},
    "peers": {"type": "list", "elements": "str", "default": []},
    "secret": {"type": "str", "default": "", "no_log": True},
    "mode": {"type": "str", "default": "0644"},
    "step": {"type": "str", "choices": ["look", "prepare", "pull", "finish"], "default": "look"},
    "seconds": {"type": "float", "default": 10},
    "register": {"type": "path", "default": REGISTER},
}


def run_step(params, mode, check_mode):
    """One step on the node; returns what the action plugin wants to know of it. Raises StoreError."""
    wanted = ModelFile(Path(params["dest"]), params["sha256"].lower(), Register(params["register"]))
    if params["step"] == "look":
        return asdict(wanted.look(record=not check_mode))
    if params["step"] == "prepare":
        return asdict(wanted.prepare(params["size"]))
    if params["step"] == "finish":
        wanted.finish(mode)
        return asdict(wanted.look())
    try:
        pulled = pull(wanted.part, wanted.sha256, params["size"], params["peers"], params["secret"], params["seconds"])
    except OSError as exc:
        raise StoreError(disk_sentence(exc, wanted.path)) from exc
    return asdict(pulled)


def main():
    """Runs the module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    os.umask(0o022)  # the folder is for every user to read, whatever root's own umask is
    result = {"changed": module.params["step"] == "finish", "dest": module.params["dest"]}
    mode, peers = module.params["mode"], module.params["peers"]
    if not re.fullmatch("[0-7]{3,4}", mode):
        module.fail_json(msg=f"mode {mode!r} is not an octal number such as 0644; correct it.", **result)
    if any(not re.search(r":\d+$", peer) for peer in peers):
        module.fail_json(msg=f"peers {', '.join(peers)} are not all HOST:PORT; correct them.", **result)
    try:
        # One level down: Ansible adds the attributes of ``dest`` to the result.
        result["node"] = run_step(module.params, int(mode, 8), module.check_mode)
    except StoreError as exc:
        module.fail_json(msg=f"{exc}.", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
