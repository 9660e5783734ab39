# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""firewalld: rich rules in the zone of the default route's interface, trusted ranges as sources of the zone `trusted`."""

from __future__ import annotations

from ansible_collections.wasinn.cluster.plugins.module_utils.firewall import Firewall, Wanted

SCOPES: tuple[tuple[str, ...], ...] = (("firewall-cmd",), ("firewall-cmd", "--permanent"))
SCOPES_OFFLINE: tuple[tuple[str, ...], ...] = (("firewall-offline-cmd",),)


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

    def zone(self, tool: str = "firewall-cmd") -> str:
        """The zone of the interface that leads to the world, or else the default one."""
        for version in ("-4", "-6"):
            for line in self.run(["ip", version, "route", "show", "default"], check=False).stdout.splitlines():
                words = line.split()
                if "dev" in words:
                    interface = words[words.index("dev") + 1]
                    found = self.run([tool, f"--get-zone-of-interface={interface}"], check=False)
                    if found.returncode == 0 and found.stdout.strip():
                        return found.stdout.strip()
        return self.run([tool, "--get-default-zone"]).stdout.strip()

    def change(self, before: Wanted, wanted: Wanted, dry: bool) -> bool:
        scopes, changed, theirs = self._scopes(), False, set()
        zone = self.zone(scopes[0][0])
        opened = self.notes.get("zone", zone)
        places = [
            (zone, "rich-rule", rich_rules(before) if opened == zone else [], rich_rules(wanted)),
            ("trusted", "source", list(before.trusted), list(wanted.trusted)),
        ]
        if opened != zone:  # the interface has come into another one
            places.append((opened, "rich-rule", rich_rules(before), []))
        for place, kind, old, new in places:
            found = {scope: self._listed([*scope, f"--zone={place}"], kind) for scope in scopes}
            lasting = found[scopes[-1]]
            known = {item for item in old if f"{place} {item}" in self.notes.get("theirs", ())}
            others = {item for item in new if item in lasting and (item not in old or item in known)}
            theirs |= {f"{place} {item}" for item in others}
            for scope, there in found.items():
                words = [f"--remove-{kind}={item}" for item in old if item in there and item not in {*new, *known}]
                words += [f"--add-{kind}={item}" for item in new if item not in there]
                changed = changed or bool(words)
                if words and not dry:
                    self.run([*scope, f"--zone={place}", *words])
        self.notes = {"zone": zone, "theirs": sorted(theirs)}
        return changed

    def _scopes(self) -> tuple[tuple[str, ...], ...]:
        """Commands for what runs now, and last for what will run after a reload or a start."""
        return SCOPES if self.active() else SCOPES_OFFLINE

    def _listed(self, command: list[str], kind: str) -> set[str]:
        listed = self.run([*command, f"--list-{kind}s"]).stdout
        return set(listed.splitlines() if kind == "rich-rule" else listed.split())
