#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: active_version
short_description: Switch between versions that are installed side by side
version_added: 0.1.0
description:
  - Points a symbolic link at one of the folders beside it, in one step, and says which one it was before, so that a
    failed check can be followed by the way back.
  - Removes old versions when told how many to keep.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - The version need not be installed yet.
  diff_mode:
    support: full
options:
  link:
    description: The link.
    type: path
    required: true
  version:
    description: Name of the folder beside O(link) that it is to point to.
    type: str
    required: true
  keep:
    description:
      - How many other versions to keep, the last installed ones. The rest is removed. Without it nothing is.
      - Only folders that M(wasinn.cluster.artifact_install) made are removed.
    type: int
seealso:
  - module: wasinn.cluster.artifact_install
"""

EXAMPLES = r"""
- name: Switch to a version
  wasinn.cluster.active_version:
    link: /opt/wasinn/wasmedge/current
    version: 0.17.1
  register: switched

- name: Go back
  wasinn.cluster.active_version:
    link: /opt/wasinn/wasmedge/current
    version: "{{ switched.previous }}"

- name: Keep one older version
  wasinn.cluster.active_version:
    link: /opt/wasinn/wasmedge/current
    version: 0.17.1
    keep: 1
"""

RETURN = r"""
previous:
  description: The version that was active before; empty if none was.
  returned: success
  type: str
  sample: 0.14.1
removed:
  description: Folders that were removed.
  returned: success
  type: list
  elements: str
  sample: [/opt/wasinn/wasmedge/0.14.0]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils import versions
from ansible_collections.wasinn.cluster.plugins.module_utils.archive import ArchiveError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "link": {"type": "path", "required": True},
            "version": {"type": "str", "required": True},
            "keep": {"type": "int"},
        },
        supports_check_mode=True,
    )
    link, version, keep = Path(module.params["link"]), module.params["version"], module.params["keep"]
    if "/" in version or version in ("", ".", ".."):
        module.fail_json(msg=f"version {version!r} is no name of a folder; correct it.")
    if keep is not None and keep < 0:
        module.fail_json(msg=f"keep is {keep}; give 0 or more.")
    previous = versions.active(link)
    try:
        gone = versions.surplus(link, version, keep) if keep is not None else []
        if not module.check_mode:
            versions.activate(link, version)
            versions.remove(gone)
    except (ArchiveError, OSError) as error:
        module.fail_json(msg=f"{error}.")
    module.exit_json(
        changed=previous != version or bool(gone),
        previous=previous,
        removed=[str(folder) for folder in gone],
        diff={
            "before": "".join(f"{line}\n" for line in [f"{link} -> {previous or 'nothing'}", *gone]),
            "after": f"{link} -> {version}\n",
        },
    )


if __name__ == "__main__":
    main()
