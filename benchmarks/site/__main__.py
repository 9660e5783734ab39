# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.site``: three bare machines to models that answer, by the playbook `site` and by a shell script.

They take turns, each on fresh machines, with all artifacts in the controller's cache. The script (benchmarks/site/install.sh)
copies the same artifacts, configuration and manifests as the playbook, starts k3s, applies, and waits for the same answers; it
checks nothing. What the playbook takes longer is the price of checks, proofs and of being able to run again.

The last line is ``site_seconds=… shell_seconds=…``, medians over the rounds; figures end up in ``.cache/benchmarks/site``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.tasks import table
from tests.closed_network import mirror
from tests.closed_network.context import MIRROR
from tests.demo import collection, playbook
from tests.machines import engine, machines
from tests.machines.scenario import Scenario, variable
from tests.machines.shell import CACHE, REPO, Failure, run

from . import record, report

NAME, PREFIX = "bench-site", "10.213.28"
NODES = ("node1", "node2", "node3")
OUTPUT = CACHE / "benchmarks" / "site"
WANTED = ["wasmedge", "wasmedge_plugin_ggml", "shim", "probe", "k3s", "k3s_images", "llama_api_server", "balancer"]
SHELL_SECONDS = 900
WARM = """
- hosts: k3s_server
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: wasinn.cluster.artifacts
        tasks_from: fetch
        public: true
      vars:
        artifacts_wanted: {wanted}
        artifacts_extra: "{{{{ models_catalogue | wasinn.cluster.models_on | wasinn.cluster.models_fetched }}}}"
    - ansible.builtin.copy:
        content: "{{{{ {{'fetched': artifacts_fetched, 'build': artifacts_build, 'versions': artifacts_versions,
          'models': dict(models | map(attribute='name') | zip(models | map(attribute='file')))}} | to_json }}}}"
        dest: "{target}"
        mode: "0644"
      vars:
        models: "{{{{ models_catalogue | wasinn.cluster.models_on }}}}"
      delegate_to: localhost
"""


class Bench:
    """The scenario, and what the runs share."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.stage = scenario, OUTPUT / "stage"
        self.stage.mkdir(parents=True, exist_ok=True)
        self.inventory = OUTPUT / "hosts.json"
        self.inventory.write_text(json.dumps(self._inventory()))
        self.known: dict[str, Any] = {}

    def _inventory(self) -> dict[str, Any]:
        """The demo's cluster on these machines."""
        shared = yaml.safe_load((REPO / "inventories" / "demo" / "group_vars" / "k3s_cluster.yml").read_text())
        argv = machines.ssh_command(self.scenario, self.scenario.nodes[0])
        shared |= {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": " ".join(argv[1:-1]),
            "k3s_context": NAME,
            "k3s_kubeconfig": str(OUTPUT / "kubeconfig"),
            "verify_report": str(OUTPUT / "verification.md"),
            "report_dir": str(OUTPUT / "report"),
        }
        hosts = {node: {"ansible_host": self.scenario.address(node)} for node in self.scenario.nodes}
        groups = {
            "k3s_server": {"hosts": dict(list(hosts.items())[:1])},
            "k3s_agent": {"hosts": dict(list(hosts.items())[1:])},
        }
        return {"all": {"children": {"k3s_cluster": {"vars": shared, "children": groups}}}}

    def fresh(self) -> None:
        """Other machines, bare."""
        machines.renew(self.scenario, lambda line: None)

    def play(self, name: str, env: dict[str, str] | None = None) -> playbook.Result:
        done = playbook.run_playbook(
            name, inventory=self.inventory, env=env, artifacts_mirror=str(MIRROR), say=lambda line: None
        )
        (OUTPUT / f"{Path(name).stem}.txt").write_text(done.output)
        if done.rc:
            raise Failure(f"{Path(name).stem} failed:\n{done.output[-2000:]}")
        return done

    def warm(self) -> None:
        """Everything into the controller's cache."""
        target, book = OUTPUT / "artifacts.json", OUTPUT / "warm.yml"
        book.write_text(WARM.format(wanted=json.dumps(WANTED), target=target))
        self.play(str(book))
        self.known = json.loads(target.read_text())

    def site(self) -> tuple[float, list[table.Cost]]:
        """The playbook; seconds, and what its tasks took."""
        times = OUTPUT / "times.jsonl"
        return self.play("site", table.environment(times)).seconds, table.read(times)

    def record(self) -> None:
        """What the script needs, from the cluster that the playbook has just made."""
        fetched, versions = self.known["fetched"], self.known["versions"]
        names = (f"llama-api-server-{versions['llama_api_server']}", Path(fetched["balancer"]["path"]).stem)
        images = [CACHE / "artifacts" / "images" / f"{name}.tar" for name in names]
        record.artifacts(self.stage / "artifacts", fetched, self.known["models"], images)
        record.files(self.scenario, self.stage / "files")
        objects = record.manifests(self.scenario)
        (self.stage / "manifests.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        record.ssh_config(self.scenario, self.stage / "ssh_config")
        record.settings(
            self.stage / "settings",
            SERVER=NODES[0],
            AGENTS=" ".join(NODES[1:]),
            ADDRESS=self.scenario.address(NODES[0]),
            WASMEDGE=versions["wasmedge"],
            STRIP=str(self.known["build"]["strip"]),
            WASINN=versions["wasinn"],
            LABEL=record.label(objects),
            DEPLOYMENTS=" ".join(item["metadata"]["name"] for item in objects if item["kind"] == "Deployment"),
            MODELS=" ".join(self.known["models"]),
        )

    def shell(self) -> float:
        """The script; seconds.

        :raises Failure: where it does not end well in time.
        """
        record.ssh_config(self.scenario, self.stage / "ssh_config")
        began = time.monotonic()
        run(["sh", str(Path(__file__).with_name("install.sh")), str(self.stage)], timeout=SHELL_SECONDS)
        return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.site", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="of each (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the last machines up")
    args = parser.parse_args()
    scenario = Scenario.named(NAME, NODES, os.environ.get(variable(NAME)) or PREFIX)
    results = report.Results()
    try:
        engine.ensure(print)
        mirror.ensure([], print)
        collection.install()
        bench = Bench(scenario)
        bench.fresh()
        bench.warm()
        for number in range(1, args.rounds + 1):
            seconds, results.costs = bench.site()
            results.site.append(seconds)
            print(f"round {number}: playbook {seconds:.0f} s", flush=True)
            bench.record()
            bench.fresh()
            results.shell.append(bench.shell())
            print(f"round {number}: shell script {results.shell[-1]:.0f} s", flush=True)
            if number < args.rounds:
                bench.fresh()
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        if not args.keep:
            machines.down(scenario)
    text = report.tasks_table(results.costs)
    (OUTPUT / "site.md").write_text(text + "\n")
    pictures = report.draw(results, OUTPUT)
    print(f"\n{text}\n\n{', '.join(str(path.relative_to(REPO)) for path in pictures)}")
    print(report.verdict(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
