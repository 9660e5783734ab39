# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""firewalld: rich rules in the zone of the default route's interface, trusted ranges as sources of the zone `trusted`."""

from __future__ import annotations

from ansible_collections.wasinn.cluster.plugins.module_utils.firewall import Firewall, Wanted

# What runs now, and what will run after a reload.
SCOPES: tuple[tuple[str, ...], ...] = ((), ("--permanent",))


def rich_rules(wanted: Wanted) -> list[str]:
    """As firewalld itself writes them, so that they can be found again."""
    found = []
    for opening in wanted.openings:
        for source in opening.sources or ("",):
            family = "ipv6" if ":" in source else "ipv4"
            origin = f'family="{family}" source address="{source}" ' if source else ""
            found += [f'rule {origin}port port="{port}" protocol="{opening.protocol}" accept' for port in opening.ports]
    return found


class Firewalld(Firewall):
    """Fedora's and RHEL's."""

    name = "firewalld"

    def active(self) -> bool:
        return self._unit_is_active("firewalld")

    def zone(self) -> str:
        """The zone of the interface that leads to the world, or else the default one."""
        for line in self.run(["ip", "route", "show", "default"], check=False).stdout.splitlines():
            words = line.split()
            if "dev" in words:
                interface = words[words.index("dev") + 1]
                found = self.run(["firewall-cmd", f"--get-zone-of-interface={interface}"], check=False)
                if found.returncode == 0 and found.stdout.strip():
                    return found.stdout.strip()
        return self.run(["firewall-cmd", "--get-default-zone"]).stdout.strip()

    def change(self, before: Wanted, wanted: Wanted, dry: bool) -> bool:
        zone, changed = self.zone(), False
        for place, kind, old, new in (
            (zone, "rich-rule", rich_rules(before), rich_rules(wanted)),
            ("trusted", "source", list(before.trusted), list(wanted.trusted)),
        ):
            for scope in SCOPES:
                base = ["firewall-cmd", *scope, f"--zone={place}"]
                listed = self.run([*base, f"--list-{kind}s"]).stdout
                there = set(listed.splitlines() if kind == "rich-rule" else listed.split())
                words = [f"--remove-{kind}={item}" for item in old if item in there and item not in new]
                words += [f"--add-{kind}={item}" for item in new if item not in there]
                changed = changed or bool(words)
                if words and not dry:
                    self.run([*base, *words])
        return changed
