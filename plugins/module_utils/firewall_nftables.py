# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nftables' own service: a chain of ours beside each chain that drops, and a jump to it as that chain's first rule.

An accepting rule in a table of our own would not help: a packet has to get through all chains of a hook. A unit bound
to nftables.service puts the chains back whenever that one loads its file again.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.wasinn.cluster.plugins.module_utils.firewall import (
    MARK,
    Firewall,
    FirewallError,
    Run,
    Wanted,
    command,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import write_whole

RULES = "/etc/wasinn/firewall.nft"
UNIT = "/etc/systemd/system/wasinn-firewall.service"
# Once only: a file that nftables.service loads again need not begin by flushing what is there.
_LOAD = f"/bin/sh -c '/usr/sbin/nft list ruleset | grep -qF {MARK} || /usr/sbin/nft -f {RULES}'"
UNIT_TEXT = f"""\
# Made by {MARK}: what nodes need of each other, beside the rules of nftables.service.
[Unit]
Description=Openings of {MARK} in nftables
After=nftables.service
Before=k3s.service k3s-agent.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={_LOAD}
ExecReload={_LOAD}

[Install]
WantedBy=multi-user.target nftables.service
"""
HOOKS = ("input", "forward")
# Kubernetes' tables, and those that firewalld and iptables look after.
_FOREIGN = ("kube-proxy", "k3s-", "cni", "flannel", "firewalld")


class Chain(NamedTuple):
    """A chain that drops or rejects."""

    family: str
    table: str
    name: str
    hook: str

    @property
    def ours(self) -> str:
        return f"wasinn-{self.name}"


def guards(ruleset: Iterable[dict[str, Any]]) -> list[Chain]:
    """The chains of a ruleset (`nft -j list ruleset`) that keep packets from this machine or from its pods."""
    items = list(ruleset)
    drops = {
        (rule["family"], rule["table"], rule["chain"])
        for rule in (item["rule"] for item in items if "rule" in item)
        if any("drop" in word or "reject" in word for word in rule.get("expr", []))
    }
    found = []
    for chain in (item["chain"] for item in items if "chain" in item):
        place = (chain["family"], chain["table"], chain["name"])
        if (
            chain.get("type") != "filter"
            or chain.get("hook") not in HOOKS
            or chain["family"] not in ("ip", "ip6", "inet")
        ):
            continue
        if chain["table"].startswith(_FOREIGN) or chain["name"] in ("INPUT", "FORWARD"):
            continue
        if chain.get("policy") == "drop" or place in drops:
            found.append(Chain(*place, chain["hook"]))
    return found


def _by_family(family: str, sources: Iterable[str]) -> Iterator[tuple[str, str]]:
    """("ip" or "ip6", set of addresses) as far as chains of the family have them."""
    for version, word in ((4, "ip"), (6, "ip6")):
        members = [source for source in sources if ipaddress.ip_network(source).version == version]
        if members and family in ("inet", word):
            yield word, "{ " + ", ".join(members) + " }"


def chain_rules(chain: Chain, wanted: Wanted) -> Iterator[str]:
    """What our chain has for one of the machine's."""
    for word, members in _by_family(chain.family, wanted.trusted):
        yield f"{word} saddr {members} accept"
        if chain.hook == "forward":
            yield f"{word} daddr {members} accept"
    if chain.hook != "input":
        return
    for opening in wanted.openings:
        ports = f"{opening.protocol} dport {{ {', '.join(opening.ports)} }} accept"
        if not opening.sources:
            yield ports
        for word, members in _by_family(chain.family, opening.sources):
            yield f"{word} saddr {members} {ports}"


def text(chains: Iterable[Chain], wanted: Wanted) -> str:
    """Lines for `nft -f` that make our chains anew and jump to them."""
    lines = []
    for chain in chains:
        place = f"{chain.family} {chain.table}"
        lines += [f"add chain {place} {chain.ours}", f"flush chain {place} {chain.ours}"]
        lines += [f"add rule {place} {chain.ours} {rule}" for rule in chain_rules(chain, wanted)]
        lines.append(f'insert rule {place} {chain.name} jump {chain.ours} comment "{MARK}"')
    return "".join(f"{line}\n" for line in lines)


class Nftables(Firewall):
    """Rules of /etc/nftables.conf, or of whatever else nftables.service loads."""

    name = "nftables"

    def __init__(self, run: Run = command, rules: str = RULES, unit: str = UNIT):
        super().__init__(run)
        self.rules, self.unit = rules, unit

    def active(self) -> bool:
        return self._unit_is_active("nftables")

    def _ruleset(self) -> list[dict[str, Any]]:
        answer = self.run(["nft", "-j", "list", "ruleset"]).stdout
        try:
            return list(json.loads(answer or "{}").get("nftables", []))
        except ValueError as error:
            raise FirewallError(f"nft -j list ruleset answered no JSON: {error}") from error

    def change(self, before: Wanted, wanted: Wanted, dry: bool) -> bool:
        ruleset = self._ruleset()
        chains = guards(ruleset) if wanted.openings or wanted.trusted else []
        lines = text(chains, wanted)
        undo = list(self._undo(ruleset))
        changed = self._files_differ(lines, UNIT_TEXT if lines else "") or not self._as_wanted(ruleset, chains, wanted)
        if dry or not changed:
            return changed
        self.run(["nft", "-f", "-"], stdin="".join(f"{line}\n" for line in undo) + lines)
        self._write(lines)
        return True

    def _jumps(self, ruleset: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [item["rule"] for item in ruleset if "rule" in item and item["rule"].get("comment") == MARK]

    def _as_wanted(self, ruleset: list[dict[str, Any]], chains: list[Chain], wanted: Wanted) -> bool:
        """Whether the kernel has each jump once, and as many rules behind it as there are to be."""
        places = [(rule["family"], rule["table"], rule["chain"]) for rule in self._jumps(ruleset)]
        if sorted(places) != sorted(chain[:3] for chain in chains):
            return False
        rules = [item["rule"] for item in ruleset if "rule" in item]
        return all(
            sum((rule["family"], rule["table"], rule["chain"]) == (*chain[:2], chain.ours) for rule in rules)
            == len(list(chain_rules(chain, wanted)))
            for chain in chains
        )

    def _undo(self, ruleset: list[dict[str, Any]]) -> Iterator[str]:
        """Lines that take away our jumps, and then our chains."""
        for rule in self._jumps(ruleset):
            yield f"delete rule {rule['family']} {rule['table']} {rule['chain']} handle {rule['handle']}"
        for chain in (item["chain"] for item in ruleset if "chain" in item):
            if chain["name"].startswith("wasinn-") and "hook" not in chain:
                place = f"{chain['family']} {chain['table']} {chain['name']}"
                yield f"flush chain {place}"
                yield f"delete chain {place}"

    def _files_differ(self, lines: str, unit: str) -> bool:
        return any(_read(path) != content for path, content in ((self.rules, lines), (self.unit, unit)))

    def _write(self, lines: str) -> None:
        """The file and its unit, or neither where nothing is open."""
        if not lines:
            if os.path.exists(self.unit):
                self.run(["systemctl", "disable", "--now", "wasinn-firewall.service"], check=False)
            for path in (self.rules, self.unit):
                if os.path.exists(path):
                    os.unlink(path)
            self.run(["systemctl", "daemon-reload"])
            return
        os.makedirs(os.path.dirname(self.rules), mode=0o755, exist_ok=True)
        for path, content in ((self.rules, lines), (self.unit, UNIT_TEXT)):
            write_whole(Path(path), content, 0o644)
        self.run(["systemctl", "daemon-reload"])
        self.run(["systemctl", "enable", "--now", "wasinn-firewall.service"])


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
