#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_check
short_description: Tell whether a host can build this collection's own release files
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Asks the sources' own recipe (C(rust/release.sh)) what the host lacks for each build, and looks at disk and memory.
  - Returns all findings instead of failing at the first. What a container's image lacks is not told, since the recipe installs it.
extends_documentation_fragment:
  - wasinn.cluster.attributes.info
options:
  source:
    description: Folder on the host that has C(rust/).
    type: path
    required: true
  wanted:
    description: Pairs of component and architecture.
    type: list
    elements: list
    required: true
  work:
    description: Folder for what is made meanwhile.
    type: path
    required: true
  version:
    description: Version that the sources have to be. Empty for any.
    type: str
    default: ''
  disk:
    description: Free space that is needed, such as V(3G).
    type: str
    default: '0'
  memory:
    description: Memory that is needed, such as V(2G).
    type: str
    default: '0'
  image:
    description: A container image to build in. Empty to build on the host itself.
    type: str
    default: ''
  engine:
    description: Program that runs containers.
    type: str
    default: docker
"""

EXAMPLES = r"""
- name: Look whether this machine can build probe and shim
  wasinn.cluster.release_check:
    source: /home/me/wasinn.cluster
    wanted: [[probe, x86_64], [shim, aarch64]]
    work: ~/.cache/wasinn-build
  register: release
"""

RETURN = r"""
findings:
  description: What is in the way; empty if nothing is.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Stable word for programs, such as V(rust_target).
      type: str
    cause:
      description: What is wrong.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import unique
from ansible_collections.wasinn.cluster.plugins.module_utils.release import Recipe, ReleaseError, findings

ARGUMENT_SPEC: dict[str, Any] = {
    "source": {"type": "path", "required": True},
    "wanted": {"type": "list", "elements": "list", "required": True},
    "work": {"type": "path", "required": True},
    "version": {"type": "str", "default": ""},
    "disk": {"type": "str", "default": "0"},
    "memory": {"type": "str", "default": "0"},
    "image": {"type": "str", "default": ""},
    "engine": {"type": "str", "default": "docker"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    found = []
    try:
        disk, memory = (human_to_bytes(params[name]) for name in ("disk", "memory"))
        for component, architecture in params["wanted"]:
            recipe = Recipe(
                source=Path(params["source"]),
                component=component,
                architecture=architecture,
                work=Path(params["work"]),
                engine=params["engine"] if params["image"] else "",
                image=params["image"],
            )
            found += findings(recipe, disk, memory, params["version"])
    except (ReleaseError, ValueError) as error:
        module.fail_json(msg=str(error), findings=found)
    module.exit_json(changed=False, findings=unique(found))


if __name__ == "__main__":
    main()
