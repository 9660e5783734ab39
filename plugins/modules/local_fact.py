#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: local_fact
short_description: Keep one section of this collection's local facts on a node
version_added: 0.1.0
description:
  - Sets or removes one section of the node's local fact file, which says what is installed there and was
    verified.
  - Ansible reads the file back as C(ansible_facts['ansible_local']['wasinn']).
  - Other sections are kept. The file is replaced as a whole, so that no reader sees half of it, and it is
    removed with its last section.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  section:
    description: Name of the section, such as V(wasmedge).
    type: str
    required: true
  data:
    description:
      - Content of the section; it replaces what was there.
      - Required if O(state=present). Leave times and other things that change by themselves out.
    type: dict
  state:
    description: Whether the section is there.
    type: str
    choices: [present, absent]
    default: present
  path:
    description: The fact file.
    type: path
    default: /etc/ansible/facts.d/wasinn.fact
"""

EXAMPLES = r"""
- name: Remember which WasmEdge is installed
  wasinn.cluster.local_fact:
    section: wasmedge
    data:
      version: 0.14.1
      api_version: 4

- name: Forget it
  wasinn.cluster.local_fact:
    section: wasmedge
    state: absent
"""

RETURN = r"""
path:
  description: The fact file.
  returned: success
  type: str
  sample: /etc/ansible/facts.d/wasinn.fact
facts:
  description: All sections, as they are after the task.
  returned: success
  type: dict
  sample:
    wasmedge:
      version: 0.14.1
      api_version: 4
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.local_facts import FACT_FILE, FactError, update


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "section": {"type": "str", "required": True},
            "data": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "path": {"type": "path", "default": FACT_FILE},
        },
        required_if=[("state", "present", ["data"])],
        supports_check_mode=True,
    )
    params = module.params
    data = params["data"] if params["state"] == "present" else None
    try:
        before, after = update(params["path"], params["section"], data, dry=module.check_mode)
    except FactError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=before != after,
        path=params["path"],
        facts=json.loads(after or "{}"),
        diff={"before": before, "after": after, "before_header": params["path"], "after_header": params["path"]},
    )


if __name__ == "__main__":
    main()
