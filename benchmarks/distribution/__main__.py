# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.distribution``: one model to six machines, each way in turn, over links of limited speed.

The last line is ``ratio=…``: how many times longer the controller takes alone than with the nodes' help.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.distribution import network
from tests.closed_network import mirror
from tests.closed_network.builds.model import SHA256, URL
from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place
from tests.demo import collection, playbook
from tests.machines import engine, machines
from tests.machines.scenario import Scenario, variable
from tests.machines.shell import CACHE, Failure

NODES = tuple(f"node{number}" for number in range(1, 7))
NAME, PREFIX = "bench-distribution", "10.213.27"
# Fewer forks than nodes would hide what is measured; without skipped hosts a task is named only after its first result.
SETTINGS = {"ANSIBLE_FORKS": "16", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}
FIRST, LAST = "Copy the models to the node", "Read the models' headers on the node"
MODELS = "- {hosts: k3s_cluster, gather_facts: false, roles: [wasinn.cluster.models]}\n"
RESET = (
    "- hosts: k3s_cluster\n  gather_facts: false\n"
    "  tasks: [{import_role: {name: wasinn.cluster.models, tasks_from: reset}}]\n"
)


class Bench:
    """The machines, and one measured run after the other."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario, self.folder = scenario, folder
        for name, text in (("models.yml", MODELS), ("reset.yml", RESET), ("hosts.json", self._inventory())):
            (folder / name).write_text(text)

    def _inventory(self) -> str:
        argv = machines.ssh_command(self.scenario, self.scenario.nodes[0])
        shared = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": " ".join(argv[1:-1]),
            "models_catalogue": [{"name": "model", "url": URL, "sha256": SHA256}],
        }
        hosts = {node: {"ansible_host": self.scenario.address(node)} for node in self.scenario.nodes}
        return json.dumps({"k3s_cluster": {"hosts": hosts, "vars": shared}})

    def run(self, distribution: str) -> tuple[float, int]:
        """Seconds from the first copy to the last, and bytes that the controller sent meanwhile."""
        self.play("reset.yml", distribution)
        marks: dict[str, tuple[float, int]] = {}

        def watch(line: str) -> None:
            for mark in (FIRST, LAST):
                if line.startswith("TASK [") and mark in line:
                    marks[mark] = (time.monotonic(), network.sent(self.scenario))

        result = self.play("models.yml", distribution, watch)
        if result.total("changed") == 0:
            raise Failure(f"Nothing was copied by {distribution}: look at {self.folder}.")
        return marks[LAST][0] - marks[FIRST][0], marks[LAST][1] - marks[FIRST][1]

    def play(self, name: str, distribution: str, say: Callable[[str], None] = lambda line: None) -> playbook.Result:
        result = playbook.run_playbook(
            str(self.folder / name),
            inventory=self.folder / "hosts.json",
            extra_vars={"models_distribution": distribution, "models_parallel": len(self.scenario.nodes)},
            env=SETTINGS,
            artifacts_mirror=str(MIRROR),
            say=say,
        )
        if result.rc:
            raise Failure(f"{name} failed with {distribution}:\n{result.output[-2000:]}")
        return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distribution", description=__doc__)
    parser.add_argument("--uplink", default="25mbit", help="what the controller can send (%(default)s)")
    parser.add_argument("--link", default="200mbit", help="what each machine can send (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the machines up")
    args = parser.parse_args()
    scenario = Scenario.named(NAME, NODES, os.environ.get(variable(NAME)) or PREFIX)
    folder = CACHE / NAME
    folder.mkdir(parents=True, exist_ok=True)
    try:
        engine.ensure(print)
        mirror.ensure(["model"], print)
        collection.install()
        machines.up(scenario)
        bench = Bench(scenario, folder)
        size = place(MIRROR, URL).stat().st_size
        print(f"{size / 1e6:.0f} MB to {len(NODES)} machines; controller {args.uplink}, machines {args.link}")
        seconds = {}
        with network.slow_links(scenario, args.uplink, args.link):
            for distribution in ("peers", "controller", "shared"):
                if distribution == "shared":
                    bench.play("reset.yml", "controller")
                    network.share(scenario, folder / "shared", "/var/lib/wasinn/models")
                seconds[distribution], sent = bench.run(distribution)
                print(f"{distribution:10} {seconds[distribution]:6.1f} s, the controller sent {sent / 1e6:.0f} MB")
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        if not args.keep:
            machines.down(scenario)
    print(f"ratio={seconds['controller'] / seconds['peers']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
