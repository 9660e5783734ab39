#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_openings
short_description: Open a node's ports in the firewall that the machine has
version_added: 0.1.0
description:
  - Opens ports in firewalld, ufw or the rules of C(nftables.service), whichever is active first in this order. Where none is, nothing
    is done.
  - What was opened is kept in O(path). An opening that is no longer wanted is closed; rules of others are never touched.
  - With nftables, each chain of the hooks input and forward that drops or rejects gets a jump to a chain of our own as its first rule, and
    the unit C(wasinn-firewall.service) repeats that when C(nftables.service) loads its file again. Chains that iptables made are left alone.
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
  openings:
    description: What is to be open.
    type: list
    elements: dict
    default: []
    suboptions:
      protocol:
        description: Protocol of the ports.
        type: str
        choices: [tcp, udp]
        default: tcp
      ports:
        description: The ports.
        type: list
        elements: str
        required: true
      sources:
        description: Addresses and ranges that may reach them; empty for any.
        type: list
        elements: str
        default: []
  trusted:
    description: Ranges from which everything may reach the machine, and from and to which it forwards.
    type: list
    elements: str
    default: []
  path:
    description: Where the module keeps what it opened.
    type: path
    default: /etc/wasinn/firewall.json
"""

EXAMPLES = r"""
- name: Let the nodes reach each other
  wasinn.cluster.firewall_openings:
    openings:
      - ports: [6443]
      - protocol: udp
        ports: [8472]
        sources: [192.0.2.11, 192.0.2.12]
    trusted: [10.42.0.0/16]

- name: Close all of it
  wasinn.cluster.firewall_openings:
"""

RETURN = r"""
firewall:
  description: The firewall that guards the machine; empty for none.
  returned: success
  type: str
  sample: nftables
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.firewall import (
    STATE,
    Firewall,
    FirewallError,
    State,
    Wanted,
    read_state,
    write_state,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.firewall_firewalld import Firewalld
from ansible_collections.wasinn.cluster.plugins.module_utils.firewall_nftables import Nftables
from ansible_collections.wasinn.cluster.plugins.module_utils.firewall_ufw import Ufw

KINDS: tuple[type[Firewall], ...] = (Firewalld, Ufw, Nftables)


def apply(params: dict[str, Any], dry: bool, kinds: tuple[Firewall, ...]) -> dict[str, Any]:
    """Change what differs; raises ``FirewallError``."""
    wanted = Wanted.of(params["openings"], params["trusted"])
    state = read_state(params["path"])
    before = state.wanted
    current = next((kind for kind in kinds if kind.active()), None)
    name = current.name if current else ""
    changed = False
    for kind in kinds:
        if kind.name != state.firewall:
            continue
        kind.notes = dict(state.notes)
        if kind is not current:  # another firewall than it was
            try:
                changed = kind.change(before, Wanted(), dry) or changed
            except FirewallError:
                changed = True  # its program is gone, and with it its rules
    if current:
        changed = current.change(before if state.firewall == name else Wanted(), wanted, dry) or changed
    keeps = State(name, wanted, current.notes) if current and wanted != Wanted() else State()
    if not dry and state != keeps:
        write_state(params["path"], keeps)
    return {"changed": changed, "firewall": name, "diff": {"before": before.plain(), "after": keeps.wanted.plain()}}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "openings": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
                    "ports": {"type": "list", "elements": "str", "required": True},
                    "sources": {"type": "list", "elements": "str", "default": []},
                },
            },
            "trusted": {"type": "list", "elements": "str", "default": []},
            "path": {"type": "path", "default": STATE},
        },
        supports_check_mode=True,
    )
    try:
        answer = apply(module.params, module.check_mode, tuple(kind() for kind in KINDS))
    except FirewallError as error:
        module.fail_json(msg=f"The firewall could not be opened: {error}.")
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
