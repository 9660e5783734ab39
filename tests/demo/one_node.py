# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory of one machine with the demo's variables and its first model: no balancer, no agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.machines import machines
from tests.machines.scenario import Scenario
from tests.machines.shell import CACHE, REPO


def variables() -> dict[str, Any]:
    """The demo's variables of the cluster, with its first model alone."""
    text = (REPO / "inventories/demo/group_vars/k3s_cluster.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found | {"models_catalogue": found["models_catalogue"][:1]}


def inventory(scenario: Scenario, **changes: Any) -> Path:
    """The folder of the inventory of a scenario's ``node1``.

    :param changes: variables that are to be others than :func:`variables`.
    """
    folder = CACHE / scenario.name / "inventory"
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    wanted = variables() | {
        "balancer_state": "absent",
        "k3s_context": f"wasinn-{scenario.name}",
        "k3s_kubeconfig": str(scenario.state / "kubeconfig"),
        "verify_report": str(scenario.state / "report.md"),
        **changes,
    }
    for name in ("balancer_service_type", "balancer_service_node_port"):
        wanted.pop(name, None)
    argv = machines.ssh_command(scenario, "node1")
    shared = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": " ".join(argv[1:-1]),
    }
    node = {"node1": {"ansible_host": scenario.address("node1")}}
    children = {"k3s_server": {"hosts": node}, "k3s_agent": {}}
    hosts = {"all": {"children": {"k3s_cluster": {"vars": shared, "children": children}}}}
    (folder / "hosts.json").write_text(json.dumps(hosts))
    (folder / "group_vars" / "k3s_cluster.yml").write_text(yaml.safe_dump(wanted, sort_keys=False))
    return folder
