# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""firewalld and ufw, running: ports that open and close for whoever knocks; nftables has its turn in test_shapes.

The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.machines import image, machines
from tests.machines.scenario import Scenario

from .cluster import Cluster, one_machine
from .waiting import wait_for

pytestmark = [pytest.mark.in_order, pytest.mark.slow(4)]

PORTS = (6443, 10250)
PODS = "10.42.0.0/16"
RULES = {
    "firewalld": "firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones",
    "ufw": "ufw status numbered; ufw show added",
}
START = {
    # The administrator's own: among them a rule that we want as well.
    "firewalld": f"systemctl start firewalld && firewall-cmd -q --permanent --zone=trusted --add-source={PODS} && firewall-cmd --reload",
    "ufw": f"ufw allow 22/tcp && ufw allow 9100/tcp comment metrics && ufw allow from {PODS} comment pods && ufw --force enable",
}
RELOAD = {"firewalld": "firewall-cmd --reload", "ufw": "ufw reload"}
STOP = {"firewalld": "systemctl stop firewalld", "ufw": "ufw --force disable"}


class Guarded(Cluster):
    """One machine with listeners at PORTS."""

    address: str
    playbook: Path

    def open(self, ports: list[int], *args: str) -> str:
        """Run the module; gives the firewall that it found, and whether it changed: ``ufw changed``."""
        wanted = {"openings": [{"ports": ports}] if ports else [], "trusted": [PODS] if ports else []}
        tasks: list[dict[str, Any]] = [
            {"wasinn.cluster.firewall_openings": wanted, "register": "done", "name": "Open"},
            {
                "ansible.builtin.debug": {
                    "msg": "found: {{ done.firewall }} {{ done.changed | ternary('changed', 'same') }}"
                },
                "name": "Say",
            },
        ]
        play = {"name": "Guard", "hosts": "all", "gather_facts": False, "tasks": tasks}
        self.playbook.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
        result = self.play(str(self.playbook), *args)
        assert result.rc == 0
        (found,) = re.findall(r"found: (\w+ \w+)", result.output)
        return found

    def reached(self) -> list[int]:
        """The ports that let this machine in."""
        found = []
        for port in PORTS:
            try:
                socket.create_connection((self.address, port), 1).close()
            except OSError:
                continue
            found.append(port)
        return found


@pytest.fixture(scope="module")
def machine(docker_engine, installed_collection, run_playbook, say, tmp_path_factory) -> Iterator[Guarded]:
    scenario = Scenario.named("firewalls", ("node1",), "10.213.14")
    made = one_machine(Guarded, scenario, image.GUARDED_NODE, run_playbook, say)
    made.address = scenario.address("node1")
    made.playbook = tmp_path_factory.mktemp("firewalls") / "open.yml"
    for port in PORTS:
        made.run("node1", f"systemd-run --unit listens-{port} python3 -m http.server {port}")
    yield made
    machines.down(scenario, say)


@pytest.fixture(scope="module", params=RULES)
def guarded(request, machine) -> Iterator[tuple[str, str]]:
    """The firewall's name, and its rules before we came."""
    name = request.param
    machine.run("node1", START[name])
    yield name, machine.run("node1", RULES[name]).stdout
    machine.run("node1", STOP[name])


def test_nobody_gets_in_at_first(machine, guarded):
    assert machine.reached() == []
    assert machine.open(list(PORTS), "--check") == f"{guarded[0]} changed"
    assert machine.reached() == []


def test_ports_open_once(machine, guarded):
    assert machine.open(list(PORTS)) == f"{guarded[0]} changed"
    wait_for(lambda: machine.reached() == list(PORTS), 10)
    assert machine.open(list(PORTS)) == f"{guarded[0]} same"


def test_they_stay_open_when_the_firewall_loads_its_rules_again(machine, guarded):
    machine.run("node1", RELOAD[guarded[0]])
    wait_for(lambda: machine.reached() == list(PORTS), 10)
    assert machine.open(list(PORTS)) == f"{guarded[0]} same"


def test_one_that_is_not_wanted_any_more_closes(machine, guarded):
    assert machine.open([PORTS[0]]) == f"{guarded[0]} changed"
    wait_for(lambda: machine.reached() == [PORTS[0]], 10)


def test_in_the_end_its_rules_are_as_they_were(machine, guarded):
    name, before = guarded
    assert machine.open([]) == f"{name} changed"
    assert machine.reached() == []
    assert machine.run("node1", RULES[name]).stdout == before
    assert machine.run("node1", "test -e /etc/wasinn/firewall.json", check=False).returncode != 0
