# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines are what the tests take them for: bare, closed, and the same again after a second ``up``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from tests.machines import machines
from tests.machines.engine import docker
from tests.machines.scenario import Scenario

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
