# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ufw: each opening is a rule of its own, and so is each way of a trusted range."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.wasinn.cluster.plugins.module_utils.firewall import MARK, Firewall, Wanted

Rule = tuple[str, ...]


def rules(wanted: Wanted) -> Iterator[Rule]:
    """Words of `ufw` for each rule."""
    for opening in wanted.openings:
        for source in opening.sources or ("any",):
            for port in opening.ports:
                yield ("allow", "proto", opening.protocol, "from", source, "to", "any", "port", port)
    for network in wanted.trusted:
        yield ("allow", "from", network)
        yield ("route", "allow", "from", network)
        yield ("route", "allow", "to", network)


class Ufw(Firewall):
    """Debian's and Ubuntu's front end."""

    name = "ufw"

    def active(self) -> bool:
        return "Status: active" in self.run(["ufw", "status"], check=False).stdout

    def change(self, before: Wanted, wanted: Wanted, dry: bool) -> bool:
        old, new = list(rules(before)), list(rules(wanted))
        there = self.run(["ufw", "show", "added"]).stdout.count(f"comment '{MARK}'")
        if set(old) == set(new) and there >= len(set(new)):
            return False
        if dry:
            return True
        for rule in old:
            if rule not in new:
                self._delete(rule)
        for rule in new:  # one that is there is skipped by ufw itself
            self.run(["ufw", *rule, "comment", MARK])
        return True

    def _delete(self, rule: Rule) -> None:
        head = ["ufw", "route", "delete", *rule[1:]] if rule[0] == "route" else ["ufw", "delete", *rule]
        self.run(head, check=False)  # somebody else may have removed it
