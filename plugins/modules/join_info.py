#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: join_info
short_description: Tell why a machine does not join its k3s server
version_added: 0.1.0
description:
  - Asks the server as k3s' agent does, and compares what it says with what the machine has.
  - Sees a name that is not resolved, a port that is not reached, something else than k3s behind it, a token or a folder of another
    cluster, a token that is refused, clocks that differ, and cgroups or kernel modules that are missing.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes.info
options:
  host:
    description: Name or address of the server, as the machine has to reach it.
    type: str
    required: true
  port:
    description: Port of the API.
    type: int
    default: 6443
  token_file:
    description: The file with the machine's token; without it the token is not looked at.
    type: path
  agent_dir:
    description: Folder of k3s' agent on the machine.
    type: path
    default: /var/lib/rancher/k3s/agent
  udp_port:
    description: Port of the pods' network (V(8472) for VXLAN), which is only noted; V(0) for none.
    type: int
    default: 0
  max_skew:
    description: Seconds by which the clocks may differ.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Ask the server as k3s does
  wasinn.cluster.join_info:
    host: 192.0.2.11
    token_file: /etc/rancher/k3s/token
    udp_port: 8472
"""

RETURN = r"""
findings:
  description: What is in the way, the nearest to the wire first.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Stable word for programs, such as V(join_token).
      type: str
    cause:
      description: What is wrong.
      type: str
    remedy:
      description: What to do about it.
      type: str
notes:
  description: What was seen on the way, such as which ports answer.
  returned: always
  type: list
  elements: str
  sample: [TCP 6443 of 192.0.2.11 answers]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.join_checks import Join
from ansible_collections.wasinn.cluster.plugins.module_utils.ports import read


def main():
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "default": 6443},
            "token_file": {"type": "path", "no_log": False},
            "agent_dir": {"type": "path", "default": "/var/lib/rancher/k3s/agent"},
            "udp_port": {"type": "int", "default": 0},
            "max_skew": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    token = read(params["token_file"]) if params["token_file"] else ""
    join = Join(params["host"], params["port"], token, params["agent_dir"], params["max_skew"])
    join.look(params["udp_port"])
    module.exit_json(changed=False, findings=join.findings, notes=join.notes)


if __name__ == "__main__":
    main()
