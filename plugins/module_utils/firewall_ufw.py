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


def shown(rule: Rule) -> str:
    """A rule of ours as `ufw show added` has it, without its comment."""
    if "port" not in rule:
        return " ".join(("ufw", *rule))
    protocol, source, port = rule[2], rule[4], rule[8]
    return (
        f"ufw allow {port}/{protocol}"
        if source == "any"
        else f"ufw allow from {source} to any port {port} proto {protocol}"
    )


class Ufw(Firewall):
    """Debian's and Ubuntu's front end."""

    name = "ufw"

    def active(self) -> bool:
        return "Status: active" in self.run(["ufw", "status"], check=False).stdout

    def change(self, before: Wanted, wanted: Wanted, dry: bool) -> bool:
        lines = self.run(["ufw", "show", "added"]).stdout.splitlines()
        others = {line.partition(" comment ")[0] for line in lines if not line.endswith(f"comment '{MARK}'")}
        # A rule that is there without our mark is somebody else's, and stays theirs.
        old, new = ([rule for rule in rules(each) if shown(rule) not in others] for each in (before, wanted))
        there = sum(line.endswith(f"comment '{MARK}'") for line in lines)
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
