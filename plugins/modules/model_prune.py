#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: model_prune
short_description: Remove model files that nobody needs any more
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Removes model files that M(wasinn.cluster.model_install) brought to this node and that are not wanted any more, and
    copies that were never finished.
  - Files that were there by other ways are left alone, and so is a file that a container has mounted or a process has
    open, or that O(used) names.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  directory:
    description: Folder of the models.
    type: path
    required: true
  keep:
    description: Names of the files that are wanted.
    type: list
    elements: str
    default: []
  used:
    description:
      - Paths that something else needs, such as the volumes of Deployments that have no pod at the moment.
    type: list
    elements: path
    default: []
  register:
    description: File on the node that notes which model files were verified, and which of them were brought.
    type: path
    default: /var/lib/wasinn/models.json
"""

EXAMPLES = r"""
- name: Remove all models but one
  wasinn.cluster.model_prune:
    directory: /var/lib/wasinn/models
    keep: [SmolLM2-135M-Instruct.Q4_1.gguf]
"""

RETURN = r"""
removed:
  description: The removed files.
  returned: success
  type: list
  elements: str
bytes:
  description: The space that is free now.
  returned: success
  type: int
left:
  description: Files that would have been removed but are in use, and by whom.
  returned: success
  type: dict
  sample:
    /var/lib/wasinn/models/old.gguf: mounted in the container of youki:[2:INIT] (process 4711)
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.file_users import users_of
from ansible_collections.wasinn.cluster.plugins.module_utils.model_store import REGISTER, Register, disk_sentence

ARGUMENT_SPEC = {
    "directory": {"type": "path", "required": True},
    "keep": {"type": "list", "elements": "str", "default": []},
    "used": {"type": "list", "elements": "path", "default": []},
    "register": {"type": "path", "default": REGISTER},
}


def unwanted(directory, keep, register):
    """Files below the directory that were brought here and are not wanted, and unfinished copies of such."""
    folder = Path(directory)
    brought = [Path(path) for path, entry in register.entries().items() if entry.brought]
    found = [path for path in brought if path.parent == folder and path.name not in keep and path.is_file()]
    parts = [path for path in folder.glob(".*.part") if path.name[1:].rsplit(".", 2)[0] not in keep]
    return sorted(found + parts)


def main():
    """Runs the module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params, register = module.params, Register(module.params["register"])
    candidates = unwanted(params["directory"], params["keep"], register)
    left = {str(path): who for path, who in users_of(candidates).items()}
    for path in candidates:
        if str(path) in params["used"]:
            left.setdefault(str(path), "needed by the cluster")
    gone = [path for path in candidates if str(path) not in left]
    try:
        size = sum(path.stat().st_size for path in gone)
        if not module.check_mode:
            for path in gone:
                path.unlink()
            register.forget(gone)
    except OSError as exc:
        module.fail_json(msg=f"{disk_sentence(exc, Path(params['directory']))}.")
    diff = {"before": "".join(f"{path}\n" for path in gone), "after": ""}
    module.exit_json(changed=bool(gone), removed=[str(path) for path in gone], bytes=size, left=left, diff=diff)


if __name__ == "__main__":
    main()
