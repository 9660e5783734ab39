# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines' network: a bridge that the controller reaches, and that leads nowhere else."""

from __future__ import annotations

from .engine import docker
from .scenario import Scenario, variable
from .shell import Failure


def ensure(scenario: Scenario) -> None:
    """Leave with the scenario's network.

    Its packets leave without address translation, so no answer from outside finds back: machines talk with each other and
    with this host only. (``--internal`` would also drop the pods' packets between machines, whose addresses are not the
    network's own, wherever br_netfilter is loaded: measured with Docker 20.10.)

    :raises Failure: where the subnet is taken.
    """
    subnet = f"{scenario.prefix}.0/24"
    have = docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", scenario.network, check=False)
    if have == subnet:
        return
    if have:
        raise Failure(
            f"Network {scenario.network} has {have} and not {subnet}: take the machines down first "
            f"(python -m tests.machines down {scenario.name})."
        )
    try:
        docker(
            *("network", "create", "--driver", "bridge", *scenario.labels),
            *("--subnet", subnet, "--gateway", scenario.gateway),
            *("-o", "com.docker.network.bridge.enable_ip_masquerade=false"),
            scenario.network,
        )
    except Failure as failure:
        raise Failure(f"{failure} (another {subnet} is set with {variable(scenario.name)}=a.b.c)") from None


def remove(scenario: Scenario, anyones: bool = False) -> None:
    """Remove the scenario's network, if there is one."""
    for network in docker("network", "ls", "-q", *scenario.filters(anyones)).split():
        docker("network", "rm", network)
