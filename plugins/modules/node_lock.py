#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_lock
short_description: Keep a machine to one playbook at a time
version_added: 0.1.0
description:
  - Writes on the machine whose run works on it (user, controller, process, playbook, time), and tells where another run
    does.
  - A run that was killed does not hold a machine. On its own controller it is seen that its process is gone; another
    controller waits until O(lease) is over; a restart of the machine ends it too.
  - It is a note about the run and not part of the machine's state, so that it counts as no change.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode the machine is looked at and not taken.
  diff_mode:
    support: none
  action:
    description: The action plugin of the same name tells the module about the run.
    support: full
options:
  state:
    description: Whether to take (or renew) the machine for this run, or to give it back.
    type: str
    choices: [present, absent]
    default: present
  lease:
    description: Seconds after which another controller takes a run for ended that has not renewed its claim.
    type: float
    default: 3600
  steal:
    description: Whether to take the machine whoever has it.
    type: bool
    default: false
  path:
    description: The file on the machine. It should lie where a restart empties it.
    type: path
    default: /run/wasinn.lock
  owner:
    description: The run; the action plugin fills it in.
    type: dict
    default: {}
  over:
    description: A run that has ended; the action plugin fills it in.
    type: dict
"""

EXAMPLES = r"""
- name: Keep other runs away
  wasinn.cluster.node_lock:
  register: lock

- name: Tell whose it is
  ansible.builtin.debug:
    msg: "{{ lock.findings | map(attribute='cause') | join(' ') }}"

- name: Give it back
  wasinn.cluster.node_lock:
    state: absent
"""

RETURN = r"""
holder:
  description: The other run that has the machine, with C(user), C(controller), C(pid), C(playbook), C(since); empty if none has.
  returned: success
  type: dict
findings:
  description: One finding where another run has the machine.
  returned: success
  type: list
  elements: dict
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.run_lock import (
    PATH,
    look,
    parse,
    release,
    take,
    taken,
)


def run(params, check_mode):
    """What the module returns. Raises OSError."""
    path, me, lease = params["path"], parse(params["owner"]), params["lease"]
    if params["state"] == "absent":
        if not check_mode:
            release(path, me)
        return {"holder": {}, "findings": []}
    other = (look if check_mode else take)(path, me, params["over"], lease, params["steal"])
    if other is None:
        return {"holder": {}, "findings": []}
    return {"holder": asdict(other), "findings": [taken(other, lease)]}


def main():
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "lease": {"type": "float", "default": 3600},
            "steal": {"type": "bool", "default": False},
            "path": {"type": "path", "default": PATH},
            "owner": {"type": "dict", "default": {}},
            "over": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    try:
        answer = run(module.params, module.check_mode)
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename or module.params['path']} cannot be written ({error.strerror}). Set become to true, or correct its rights.",
            holder={},
            findings=[],
        )
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
