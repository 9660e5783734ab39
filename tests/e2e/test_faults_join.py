# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that do not join, and an API that the controller does not reach: the sentence names what keeps them apart."""

from __future__ import annotations

import pytest

from .sick import says

pytestmark = [pytest.mark.in_order, pytest.mark.slow(14)]

CHAIN = "nft add table inet fault && nft 'add chain inet fault in { type filter hook input priority -10; }'"


@pytest.fixture(scope="module")
def joined(sick) -> None:
    """Both machines are nodes, of one role alone."""
    assert sick.play(str(sick.join), "--limit", "node1").rc == 0  # agents ask a server that is there
    assert sick.play(str(sick.join)).rc == 0


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        ("K10{hash}::server:wrong", r"The (?:cluster|server at \S+) does not take the machine's token\."),
        (
            "K10" + "0" * 64 + "::server:wrong",
            r"The machine(?:'s token is| has the token or the certificates) of another cluster",
        ),
    ],
    ids=["wrong token", "token of another cluster"],
)
def test_a_wrong_token(sick, joined, token, cause):
    whole = sick.run("node1", "cat /var/lib/rancher/k3s/server/token").stdout.strip()
    with sick.inventory(k3s_token=token.format(hash=whole.removeprefix("K10").partition("::")[0]), k3s_join_timeout=20):
        result = sick.play(str(sick.join))
    line = says(result, rf"node2: the service k3s-agent .*{cause}.*Remedy: .*k3s_token")
    assert "TCP 6443" in line or "journalctl -u k3s-agent" in line
    assert whole.rpartition(":")[2] not in result.output


def test_a_machine_that_was_made_anew_under_its_name(sick, joined):
    """The remedy is what helps: the old node is deleted."""
    sick.run("node2", "systemctl stop k3s-agent && rm /etc/rancher/node/password")
    with sick.inventory(k3s_join_timeout=20):
        result = sick.play(str(sick.join))
    says(
        result,
        "node2: the service k3s-agent .*The cluster has a node of this name already.*Remedy: .*kubectl delete node",
    )
    sick.run("node1", "k3s kubectl delete node node2")


def test_a_firewall_between_agent_and_server(sick, joined, scenario):
    rule = f"{CHAIN} && nft add rule inet fault in ip saddr {scenario.address('node2')} tcp dport 6443 drop"
    sick.run("node2", "systemctl stop k3s-agent && rm -rf /var/lib/rancher/k3s/agent/etc")
    with sick.broken("node1", rule, "nft delete table inet fault"), sick.inventory(k3s_join_timeout=20):
        result = sick.play(str(sick.join))
    says(result, r"node2: the service k3s-agent .*does not reach .*Remedy: .*firewall keeps it from TCP 6443")


def test_a_firewall_between_controller_and_api(sick, joined, scenario):
    rule = f"{CHAIN} && nft add rule inet fault in ip saddr {scenario.gateway} tcp dport 6443 drop"
    with sick.broken("node1", rule, "nft delete table inet fault"):
        result = sick.play(str(sick.join), "--limit", "node1", extra={"k3s_join_timeout": 40})
    says(result, r"node1: The controller does not reach the API at https://\S+:6443\. Remedy: .*k3s_api_endpoint")
