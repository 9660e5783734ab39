# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters of somebody else's as RKE2 and k3s lay them out, one machine each: a model comes to each and answers, and goes again.

RKE2 is k3s' agent with other names and folders, so the stand-in for k3s has them here. It finds the shim on its PATH; the other
one's PATH has no /usr/local, so that it gets a template. The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import yaml

from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place
from tests.machines import machines
from tests.machines.engine import docker

from .cluster import Cluster, changes
from .foreign import IMAGES, RELEASE
from .load import ask
from .snapshot import Snapshot, differences
from .waiting import wait_for

pytestmark = [pytest.mark.in_order, pytest.mark.slow(22)]

MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True)
class Kind:
    """What a distribution calls its things, and where it has them."""

    name: str
    node: str
    unit: str
    path: str

    @property
    def data(self) -> str:
        return f"/var/lib/rancher/{self.name}"

    @property
    def kubeconfig(self) -> str:
        return f"/etc/rancher/{self.name}/{self.name}.yaml"


KINDS = (
    Kind("rke2", "node1", "rke2-server", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    Kind("k3s", "node2", "k3s", "/usr/sbin:/usr/bin:/sbin:/bin"),
)


class Rancher(Cluster):
    """One machine, its cluster, and the inventory that tells of it."""

    kind: Kind
    address: str

    def here(self, line: str) -> str:
        return str(self.run(self.kind.node, line).stdout)

    def get(self, *args: str) -> list[dict[str, Any]]:
        """Objects of the cluster, whoever made it."""
        line = (
            f"/usr/local/bin/{self.kind.name} kubectl --kubeconfig {self.kind.kubeconfig} get {' '.join(args)} -o json"
        )
        items: list[dict[str, Any]] = json.loads(self.here(line))["items"]
        return items

    def make(self, container: str, settings: dict[str, Any]) -> None:
        """Leave with the distribution running and its node Ready."""
        kind, program = self.kind, f"/usr/local/bin/{self.kind.name}"
        self.here(f"mkdir -p {kind.data}/agent/images {kind.data}/bin /etc/rancher/{kind.name}")
        docker("cp", str(place(MIRROR, f"{RELEASE}/k3s")), f"{container}:{program}")
        docker("cp", str(place(MIRROR, IMAGES)), f"{container}:{kind.data}/agent/images/")
        settings = {**settings, "data-dir": kind.data, "write-kubeconfig": kind.kubeconfig}
        ctr = f'#!/bin/sh\nexec env K3S_DATA_DIR={kind.data} {program} ctr "$@"\n'
        unit = (
            f"[Service]\nType=notify\nEnvironment=PATH={kind.path}\nKillMode=process\nDelegate=yes\nTasksMax=infinity\n"
            f"TimeoutStartSec=0\nExecStart={program} server --config /etc/rancher/{kind.name}/config.yaml\n\n"
            "[Install]\nWantedBy=multi-user.target\n"
        )
        for path, text in (
            (f"/etc/rancher/{kind.name}/config.yaml", yaml.safe_dump(settings)),
            (f"{kind.data}/bin/ctr", ctr),
            (f"/etc/systemd/system/{kind.unit}.service", unit),
        ):
            self._on(kind.node, f"cat >{path}", stdin=text)
        self.here(f"chmod 755 {program} {kind.data}/bin/ctr && systemctl enable --quiet --now {kind.unit}")
        wait_for(self.ready, 120, lambda: self.here(f"journalctl -u {kind.unit} -n 20 --no-pager"))

    def ready(self) -> bool:
        conditions = [item for node in self.get("nodes") for item in node["status"].get("conditions", [])]
        running = [pod["status"]["phase"] for pod in self.get("pods", "-A")]
        ready = any((item["type"], item["status"]) == ("Ready", "True") for item in conditions)
        return ready and set(running) == {"Running"}

    def labels(self) -> dict[str, str]:
        (node,) = self.get("nodes")
        labels: dict[str, str] = node["metadata"]["labels"]
        return labels


@pytest.fixture(scope="module")
def bare(scenario, say) -> None:
    """Fresh machines."""
    machines.renew(scenario, say)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def cluster(request, bare, scenario, run_playbook, on, inventory, say) -> Rancher:
    """The cluster, and its inventory of one machine."""
    kind: Kind = request.param
    folder = inventory.parent / kind.name
    folder.mkdir(parents=True, exist_ok=True)
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))
    variables = yaml.safe_load((inventory / "group_vars" / "k3s_cluster.yml").read_text(encoding="utf-8"))
    group = hosts["all"]["children"]["k3s_cluster"]
    machine = {**group["children"]["k3s_server"]["hosts"], **group["children"]["k3s_agent"]["hosts"]}[kind.node]
    group["children"] = {"k3s_server": {"hosts": {kind.node: machine}}}
    settings = {**variables.pop("k3s_config"), **variables.pop("k3s_server_config")}
    small = next(model for model in variables["models_catalogue"] if model["name"] == MODEL)
    group["vars"] |= variables | {
        "models_catalogue": [small],
        "k3s_existing": kind.name,
        "k3s_kubeconfig": str(folder / "kubeconfig"),
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False), encoding="utf-8")
    made = Rancher(scenario, partial(run_playbook, inventory=folder), on)
    made.kind, made.address = kind, scenario.address(kind.node)
    say(f"making a cluster the way {kind.name} does")
    made.make(scenario.container(kind.node), settings)
    return made


@pytest.fixture(scope="module")
def before(cluster) -> dict[str, Any]:
    """What is there before anything of ours."""
    return {"machine": cluster.snapshot(cluster.kind.node), "labels": cluster.labels(), "objects": names(cluster)}


def names(cluster: Rancher) -> list[str]:
    kinds = ("namespaces", "runtimeclasses", "deployments -A", "services -A", "networkpolicies -A", "clusterroles")
    return sorted(f"{item['kind']} {item['metadata']['name']}" for kind in kinds for item in cluster.get(kind))


def left(cluster: Rancher, before: Snapshot) -> list[str]:
    """What differs on the machine outside of what lives in a cluster: its data, pods' folders and their notes."""
    living = (
        cluster.kind.data,
        "/var/lib/kubelet",
        "/var/lib/cni",
        "/var/log/",
        "/run/k3s/",
        "/run/netns",
        "cni-",
        "/var/cache",
    )
    ports = "127.0.0.1:"
    found = differences(before, cluster.snapshot(cluster.kind.node))
    return [line for line in found if not any(word in line for word in (*living, ports, "wasinn.lock"))]


def test_a_model_comes_to_it_and_answers(cluster, before):
    result = cluster.play("site")
    assert result.rc == 0
    answer = ask(f"http://{cluster.address}:30080", MODEL, max_tokens=8)
    assert not answer.failure, answer
    assert any(label.startswith("wasinn.cluster/verified") for label in cluster.labels())


def test_the_runtime_gets_there_in_the_distributions_own_way(cluster):
    folder = f"{cluster.kind.data}/agent/etc/containerd"
    assert "io.containerd.wasmedge.v1" in cluster.here(f"cat {folder}/config.toml")
    template = cluster.here(f"cat {folder}/config-v3.toml.tmpl 2>/dev/null; true")
    assert bool(template) is ("/usr/local/bin" not in cluster.kind.path)


def test_a_second_run_changes_nothing(cluster):
    started = cluster.started(cluster.kind.node, cluster.kind.unit)
    again = cluster.play("site")
    assert (again.rc, changes(again)) == (0, [])
    assert cluster.started(cluster.kind.node, cluster.kind.unit) == started


def test_reset_leaves_the_cluster_as_it_was(cluster, before):
    started = cluster.started(cluster.kind.node, cluster.kind.unit)
    assert cluster.play("reset").rc == 0
    assert cluster.started(cluster.kind.node, cluster.kind.unit) == started
    assert cluster.labels() == before["labels"]
    assert names(cluster) == before["objects"]
    assert "tmpl" not in cluster.here(f"ls {cluster.kind.data}/agent/etc/containerd")
    assert left(cluster, before["machine"]) == []
    again = cluster.play("reset")
    assert (again.rc, changes(again)) == (0, [])
