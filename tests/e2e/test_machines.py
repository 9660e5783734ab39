# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines are what the tests take them for: bare, closed, and the same again after a second ``up``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.machines import image, machines
from tests.machines.engine import docker
from tests.machines.scenario import CHECKOUT, Scenario
from tests.machines.shell import Failure

On = Callable[..., subprocess.CompletedProcess[str]]


def test_systemd_runs_without_a_failed_unit(scenario: Scenario, on: On) -> None:
    for node in scenario.nodes:
        assert on(node, "systemctl is-system-running").stdout.strip() == "running"


def test_machines_know_each_other(scenario: Scenario, on: On) -> None:
    for node in scenario.nodes:
        for other in scenario.nodes:
            line = f"python3 -c \"import socket; socket.create_connection(('{other}', 22), 3)\""
            assert on(node, line).returncode == 0


def test_no_packet_finds_its_way_back_from_outside(scenario: Scenario) -> None:
    """Asked of the engine: a test that knocks at other people's doors would be none."""
    option = '{{index .Options "com.docker.network.bridge.enable_ip_masquerade"}}'
    assert docker("network", "inspect", "-f", option, scenario.network) == "false"


def test_a_second_up_changes_nothing(scenario: Scenario, on: On) -> None:
    before = [on(node, "cat /etc/machine-id /proc/1/stat").stdout.split()[0] for node in scenario.nodes]
    lines: list[str] = []
    machines.up(scenario, lines.append)
    assert sum("as it was" in line for line in lines) == len(scenario.nodes)
    assert before == [on(node, "cat /etc/machine-id").stdout.strip() for node in scenario.nodes]


@pytest.fixture
def left(docker_engine: None) -> Iterator[Scenario]:
    """A scenario whose machine another checkout has made, and not started yet."""
    scenario = Scenario.named("left", ("node1",), "10.213.31")
    machines.down(scenario, anyones=True)
    image.ensure(image.NODE)
    theirs = [label.replace(CHECKOUT, "wasinn.checkout=/") for label in scenario.labels]
    theirs += ["--label", "wasinn.recipe=theirs"]
    theirs += ["--entrypoint", "sleep"]  # a machine's own start wants a network
    docker("create", "--name", scenario.container("node1"), *theirs, image.NODE.name, "600")
    yield scenario
    machines.down(scenario, anyones=True)


def test_what_another_checkout_left_behind_is_taken_over(left: Scenario) -> None:
    """An engine that ended with its session leaves stopped machines behind."""
    machines.up(left)
    checkout = docker("inspect", "-f", '{{index .Config.Labels "wasinn.checkout"}}', left.container("node1"))
    assert f"wasinn.checkout={checkout}" == CHECKOUT


def test_what_another_checkout_still_runs_is_not(left: Scenario) -> None:
    docker("start", left.container("node1"))
    with pytest.raises(Failure, match="belongs to the checkout /: 'make clean' there"):
        machines.up(left)
