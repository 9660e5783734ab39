# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Openings in three firewalls, by the commands that they get; tests/e2e/test_shapes.py has nftables for real."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.firewall import (
    MARK,
    Firewall,
    FirewallError,
    Opening,
    State,
    Wanted,
    command,
    read_state,
    write_state,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.firewall_firewalld import Firewalld
from ansible_collections.wasinn.cluster.plugins.module_utils.firewall_nftables import (
    UNIT_TEXT,
    Chain,
    Nftables,
    guards,
    text,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.firewall_ufw import Ufw
from ansible_collections.wasinn.cluster.plugins.modules.firewall_openings import apply

API = Opening("tcp", ("6443",))
KUBELET = Opening("tcp", ("10250",), ("192.0.2.11", "2001:db8::11"))
WANTED = Wanted((API, KUBELET), ("10.42.0.0/16",))


class Recorder:
    """A runner that answers by a command's first words and keeps the rest."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.ran: list[list[str]] = []
        self.stdin: list[str] = []

    def __call__(self, argv, stdin=None, check=True):
        line = " ".join(argv)
        for head, answer in self.answers.items():
            if line.startswith(head.replace("_", " ")):
                return subprocess.CompletedProcess(argv, 0 if answer is not None else 1, answer or "", "")
        self.ran.append(list(argv))
        self.stdin += [stdin] if stdin is not None else []
        return subprocess.CompletedProcess(argv, 0, "", "")


def test_ufw_gets_a_rule_for_each_source_and_both_ways_of_a_trusted_range():
    run = Recorder(ufw_show_added="")
    assert Ufw(run).change(Wanted(), WANTED, dry=False)
    assert [" ".join(argv[1:]) for argv in run.ran] == [
        f"allow proto tcp from any to any port 6443 comment {MARK}",
        f"allow proto tcp from 192.0.2.11 to any port 10250 comment {MARK}",
        f"allow proto tcp from 2001:db8::11 to any port 10250 comment {MARK}",
        f"allow from 10.42.0.0/16 comment {MARK}",
        f"route allow from 10.42.0.0/16 comment {MARK}",
        f"route allow to 10.42.0.0/16 comment {MARK}",
    ]


def test_ufw_is_asked_once_where_nothing_differs():
    run = Recorder(ufw_show_added=f"x comment '{MARK}'\n" * 6)
    assert not Ufw(run).change(WANTED, WANTED, dry=False)
    assert run.ran == []
    assert Ufw(Recorder(ufw_show_added=f"x comment '{MARK}'\n" * 5)).change(WANTED, WANTED, dry=True)


def test_ufw_closes_only_what_is_no_longer_wanted():
    run = Recorder(ufw_show_added=f"x comment '{MARK}'\n" * 6)
    assert Ufw(run).change(WANTED, Wanted((API,)), dry=False)
    deleted = [" ".join(argv[1:]) for argv in run.ran if "delete" in argv]
    assert deleted == [
        "delete allow proto tcp from 192.0.2.11 to any port 10250",
        "delete allow proto tcp from 2001:db8::11 to any port 10250",
        "delete allow from 10.42.0.0/16",
        "route delete allow from 10.42.0.0/16",
        "route delete allow to 10.42.0.0/16",
    ]


def test_ufw_leaves_equal_rules_of_others_alone():
    others = "ufw allow 6443/tcp\nufw allow from 10.42.0.0/16 comment 'pods'\n"
    run = Recorder(ufw_show_added=others)
    assert Ufw(run).change(Wanted(), WANTED, dry=False)
    assert not [argv for argv in run.ran if "6443" in argv or argv[1:4] == ["allow", "from", "10.42.0.0/16"]]
    ours = f"ufw allow from 192.0.2.11 to any port 10250 proto tcp comment '{MARK}'\n"
    run = Recorder(ufw_show_added=others + ours)
    assert Ufw(run).change(WANTED, Wanted(), dry=False)
    assert ["ufw", "delete", "allow", "from", "10.42.0.0/16"] not in run.ran
    assert not [argv for argv in run.ran if "6443" in argv]


RICH = 'rule family="ipv4" source address="192.0.2.11" port port="10250" protocol="tcp" accept'


def firewalld(rules: str = "", sources: str = "") -> Recorder:
    answers = {
        "systemctl is-active": "",
        "ip -4 route": "default via 192.0.2.1 dev eth0\n",
        "firewall-cmd --get-zone-of-interface=eth0": "public\n",
    }
    for scope in ("", " --permanent"):
        answers[f"firewall-cmd{scope} --zone=public --list-rich-rules"] = rules
        answers[f"firewall-cmd{scope} --zone=trusted --list-sources"] = sources
    return Recorder(**answers)


def test_firewalld_gets_what_it_lacks_now_and_for_later():
    run = firewalld(rules=RICH + '\nrule port port="22" protocol="tcp" accept\n')
    assert Firewalld(run).change(Wanted(), WANTED, dry=False)
    rules = [
        '--add-rich-rule=rule port port="6443" protocol="tcp" accept',
        '--add-rich-rule=rule family="ipv6" source address="2001:db8::11" port port="10250" protocol="tcp" accept',
    ]
    assert run.ran == [
        ["firewall-cmd", "--zone=public", *rules],
        ["firewall-cmd", "--permanent", "--zone=public", *rules],
        ["firewall-cmd", "--zone=trusted", "--add-source=10.42.0.0/16"],
        ["firewall-cmd", "--permanent", "--zone=trusted", "--add-source=10.42.0.0/16"],
    ]


def test_firewalld_closes_ours_and_no_other():
    other = 'rule port port="22" protocol="tcp" accept'
    run = firewalld(rules=f"{RICH}\n{other}\n", sources="10.42.0.0/16 192.0.2.0/24")
    assert Firewalld(run).change(WANTED, Wanted(), dry=False)
    assert run.ran[0] == ["firewall-cmd", "--zone=public", f"--remove-rich-rule={RICH}"]
    assert run.ran[2] == ["firewall-cmd", "--zone=trusted", "--remove-source=10.42.0.0/16"]
    again = firewalld(rules=other, sources="192.0.2.0/24")
    assert not Firewalld(again).change(WANTED, Wanted(), dry=False)


def test_firewalld_leaves_what_was_there_before_us():
    rule = 'rule port port="6443" protocol="tcp" accept'
    one = Firewalld(firewalld(rules=f"{rule}\n", sources="10.42.0.0/16"))
    assert one.change(Wanted(), WANTED, dry=False)
    run = firewalld(rules=f"{rule}\n{RICH}\n", sources="10.42.0.0/16")
    later = Firewalld(run)
    later.notes = one.notes
    assert later.change(WANTED, Wanted(), dry=False)
    assert run.ran == [
        ["firewall-cmd", "--zone=public", f"--remove-rich-rule={RICH}"],
        ["firewall-cmd", "--permanent", "--zone=public", f"--remove-rich-rule={RICH}"],
    ]


def test_firewalld_closes_in_the_zone_where_it_opened():
    run = firewalld()
    run.answers["firewall-cmd --zone=old --list-rich-rules"] = f"{RICH}\n"
    run.answers["firewall-cmd --permanent --zone=old --list-rich-rules"] = f"{RICH}\n"
    moved = Firewalld(run)
    moved.notes = {"zone": "old"}
    assert moved.change(WANTED, Wanted((KUBELET,), ("10.42.0.0/16",)), dry=False)
    assert ["firewall-cmd", "--permanent", "--zone=old", f"--remove-rich-rule={RICH}"] in run.ran
    assert any(argv[:3] == ["firewall-cmd", "--permanent", "--zone=public"] for argv in run.ran)
    assert moved.notes["zone"] == "public"


def test_a_stopped_firewalld_is_closed_all_the_same():
    run = Recorder(
        **{
            "systemctl is-active": None,
            "ip ": "default dev eth0\n",
            "firewall-offline-cmd --get-zone-of-interface=eth0": "public\n",
            "firewall-offline-cmd --zone=public --list-rich-rules": f"{RICH}\n",
            "firewall-offline-cmd --zone=trusted --list-sources": "",
        }
    )
    assert Firewalld(run).change(WANTED, Wanted(), dry=False)
    assert run.ran == [["firewall-offline-cmd", "--zone=public", f"--remove-rich-rule={RICH}"]]


def chain(name: str, table: str = "filter", family: str = "inet", **more) -> dict[str, Any]:
    return {"chain": {"family": family, "table": table, "name": name, "type": "filter", "policy": "drop", **more}}


RULESET = [
    chain("input", hook="input"),
    chain("forward", hook="forward"),
    chain("output", hook="output"),
    chain("open", hook="input", policy="accept"),
    chain("rejects", hook="input", policy="accept"),
    chain("INPUT", family="ip", hook="input"),
    chain("filter-input", table="kube-proxy", family="ip", hook="input"),
    chain("forward", table="k3s-network-policies", family="ip", hook="forward"),
    chain("arp", family="arp", hook="input"),
    {"rule": {"family": "inet", "table": "filter", "chain": "rejects", "handle": 5, "expr": [{"reject": None}]}},
]
GUARDS = [
    Chain("inet", "filter", "input", "input"),
    Chain("inet", "filter", "forward", "forward"),
    Chain("inet", "filter", "rejects", "input"),
]


def test_chains_that_keep_packets_away_are_found_and_kubernetes_own_are_not():
    assert guards(RULESET) == GUARDS


def test_rules_of_nftables():
    assert text(GUARDS[:2], WANTED).splitlines() == [
        "add chain inet filter wasinn-input",
        "flush chain inet filter wasinn-input",
        "add rule inet filter wasinn-input ip saddr { 10.42.0.0/16 } accept",
        "add rule inet filter wasinn-input tcp dport { 6443 } accept",
        "add rule inet filter wasinn-input ip saddr { 192.0.2.11 } tcp dport { 10250 } accept",
        "add rule inet filter wasinn-input ip6 saddr { 2001:db8::11 } tcp dport { 10250 } accept",
        'insert rule inet filter input jump wasinn-input comment "wasinn.cluster"',
        "add chain inet filter wasinn-forward",
        "flush chain inet filter wasinn-forward",
        "add rule inet filter wasinn-forward ip saddr { 10.42.0.0/16 } accept",
        "add rule inet filter wasinn-forward ip daddr { 10.42.0.0/16 } accept",
        'insert rule inet filter forward jump wasinn-forward comment "wasinn.cluster"',
    ]
    assert "ip6" not in text([Chain("ip", "filter", "input", "input")], WANTED)


def nftables(tmp_path: Path, ruleset: list[dict[str, Any]]) -> tuple[Nftables, Recorder]:
    run = Recorder(**{"nft -j list ruleset": json.dumps({"nftables": ruleset})})
    return Nftables(run, str(tmp_path / "firewall.nft"), str(tmp_path / "unit")), run


def loaded(wanted: Wanted) -> list[dict[str, Any]]:
    """RULESET after our rules were loaded."""
    rules: list[dict[str, Any]] = []
    for guard in GUARDS:
        place: dict[str, Any] = {"family": guard.family, "table": guard.table}
        rules.append({"chain": {**place, "name": guard.ours}})
        rules.append({"rule": {**place, "chain": guard.name, "handle": 9, "comment": MARK, "expr": [{"jump": {}}]}})
        count = text([guard], wanted).count("add rule")
        rules += [
            {"rule": {**place, "chain": guard.ours, "handle": n, "expr": [{"accept": None}]}} for n in range(count)
        ]
    return RULESET + rules


def test_nftables_from_bare_to_open_to_closed(tmp_path: Path):
    firewall, run = nftables(tmp_path, RULESET)
    assert firewall.change(Wanted(), WANTED, dry=True)
    assert run.ran == []
    assert firewall.change(Wanted(), WANTED, dry=False)
    assert run.stdin == [text(GUARDS, WANTED)]
    assert (tmp_path / "firewall.nft").read_text() == text(GUARDS, WANTED)
    assert (tmp_path / "unit").read_text() == UNIT_TEXT
    assert run.ran[-1] == ["systemctl", "enable", "--now", "wasinn-firewall.service"]

    firewall, run = nftables(tmp_path, loaded(WANTED))
    assert not firewall.change(WANTED, WANTED, dry=False)
    assert run.ran == []

    firewall, run = nftables(tmp_path, loaded(WANTED))
    assert firewall.change(WANTED, Wanted(), dry=False)
    lines = run.stdin[0].splitlines()
    assert lines[:3] == [f"delete rule inet filter {name} handle 9" for name in ("input", "forward", "rejects")]
    assert "delete chain inet filter wasinn-input" in lines
    assert list(tmp_path.iterdir()) == []


def test_nftables_puts_back_what_somebody_flushed(tmp_path: Path):
    firewall, _run = nftables(tmp_path, RULESET)
    firewall.change(Wanted(), WANTED, dry=False)
    firewall, run = nftables(tmp_path, RULESET)
    assert firewall.change(WANTED, WANTED, dry=False)
    assert run.stdin == [text(GUARDS, WANTED)]


class Fake(Firewall):
    """A firewall that keeps what it is told."""

    def __init__(self, name: str, active: bool) -> None:
        super().__init__()
        self.name, self.is_active = name, active
        self.changes: list[tuple[Wanted, Wanted]] = []

    def active(self) -> bool:
        return self.is_active

    def change(self, before, wanted, dry):
        self.changes.append((before, wanted))
        return before != wanted


def params(tmp_path: Path, wanted: Wanted) -> dict[str, Any]:
    return {**wanted.plain(), "path": str(tmp_path / "etc" / "firewall.json")}


def test_what_was_opened_is_kept_privately_and_closed_where_another_firewall_takes_over(tmp_path: Path):
    one, two = Fake("one", True), Fake("two", False)
    assert apply(params(tmp_path, WANTED), False, (one, two))["firewall"] == "one"
    state = tmp_path / "etc" / "firewall.json"
    assert state.stat().st_mode & 0o777 == 0o600
    assert read_state(str(state)) == State("one", WANTED, {})
    one.is_active, two.is_active = False, True
    assert apply(params(tmp_path, WANTED), False, (one, two))["changed"]
    assert one.changes[-1] == (WANTED, Wanted())
    assert two.changes == [(Wanted(), WANTED)]
    assert not apply(params(tmp_path, WANTED), False, (one, two))["changed"]
    assert apply(params(tmp_path, Wanted()), False, (one, two))["changed"]
    assert not state.exists()


def test_without_a_firewall_nothing_is_done(tmp_path: Path):
    answer = apply(params(tmp_path, WANTED), False, (Fake("one", False),))
    assert (answer["changed"], answer["firewall"]) == (False, "")
    assert not (tmp_path / "etc").exists()


def test_check_mode_writes_nothing(tmp_path: Path):
    assert apply(params(tmp_path, WANTED), True, (Fake("one", True),))["changed"]
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize("source", ["node1", "10.0.0.5/24"])
def test_what_is_no_network_is_refused(tmp_path: Path, source: str):
    with pytest.raises(FirewallError, match=rf"{source}.*; write an address like"):
        apply({"openings": [], "trusted": [source], "path": str(tmp_path / "state")}, False, ())


def test_failures_are_sentences(tmp_path: Path):
    with pytest.raises(FirewallError, match="no-such-program is not installed"):
        command(["no-such-program"])
    with pytest.raises(FirewallError, match=r"ls /no-such-folder failed: .*No such file"):
        command(["ls", "/no-such-folder"])
    (tmp_path / "state").write_text("{}")
    with pytest.raises(FirewallError, match="remove it"):
        read_state(str(tmp_path / "state"))
    write_state(str(tmp_path / "state"), State())
    assert not (tmp_path / "state").exists()
