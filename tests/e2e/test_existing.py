# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of somebody else's, as kubeadm lays one out: models come to it and answer, and go again without a trace.

The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
import yaml

from tests.closed_network import mirror, recipe
from tests.closed_network.builds import own_previous
from tests.machines import machines

from .cluster import Cluster, changes
from .foreign import KUBECTL, Foreign
from .load import ask, asking, failures
from .snapshot import Snapshot, differences
from .waiting import wait_for

MODEL = "smollm2-135m-instruct"
PORT = 30080
NAMES = {"node1": "alpha", "node2": "beta"}
# What lives: containers' layers, the datastore's files, pods' folders and logs, the kubelet's notes about pods, the folder
# of pods' network namespaces, ports that the kubelet and containerd choose anew at each start; the note of a run that was refused, which holds nothing.
LIVING = re.compile(
    r" /(var/lib/(containerd|etcd|kubelet/pods|kubelet/.*checkpoint|kubelet/\w+_state|cni)|var/log/(pods|containers|apt|dpkg|journal)|var/cache|srv)(/|\b)"
    r"|^run: new (.*@|wasinn\.lock$|(/run/)?netns:?$|$)|^ports: (missing|new) 127\.0\.0\.1:\d{5}$|/root/\.(cache|kube)"
)
# What site brings to a machine, and nothing else.
OURS = re.compile(
    r" (/opt/wasinn|/etc/wasinn|/var/lib/wasinn|/etc/ansible|/usr/local/bin/containerd-shim-wasmedge-v1)(/|\b|$)"
    r"|(new|missing) [0-9a-f]{64}  /etc/containerd/config\.toml$"
    r"|^(interfaces: (new|missing) (veth|10\.244\.)|run: new (wasmedge|cni-)|firewall: "
    r"|mounts: new /(var/lib/kubelet/pods|run)/|processes: new (containerd-shim|youki:|pause$))"
)
# Interfaces of pods have random names, and kube-proxy's rules order of their own; both are compared by number below.
KINDS = (
    *(
        "nodes",
        "namespaces",
        "runtimeclasses",
        "deployments -A",
        "daemonsets -A",
        "services -A",
        "configmaps -A",
        "secrets -A",
    ),
    *("serviceaccounts -A", "roles -A", "rolebindings -A", "clusterroles", "clusterrolebindings", "networkpolicies -A"),
    *("poddisruptionbudgets -A", "resourcequotas -A", "limitranges -A"),
)

UNITS = ("kubelet", "kube-proxy", "containerd")
OLD_SHIM, NEW_SHIM = own_previous.VERSION, recipe.VERSION

pytestmark = [pytest.mark.in_order, pytest.mark.slow(26)]


class Existing(Cluster):
    """The cluster, its inventory, and what it is apart from us."""

    foreign: Foreign
    hosts: dict[str, Any]
    folder: Any

    def write(self, **variables: Any) -> None:
        """The inventory, with its variables changed by the given ones; None takes one out."""
        group = self.hosts["all"]["children"]["k3s_cluster"]
        merged = {name: value for name, value in {**group["vars"], **variables}.items() if value is not None}
        hosts = {"all": {"children": {"k3s_cluster": {**group, "vars": merged}}}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False), encoding="utf-8")

    def objects(self) -> list[str]:
        """Everything in the cluster by name, and the nodes' labels."""
        found = [
            f"{item['kind']} {item['metadata'].get('namespace', '')} {item['metadata']['name']}"
            for kind in KINDS
            for item in self.foreign.kubectl("get", kind)["items"]
        ]
        nodes = self.foreign.kubectl("get", "nodes")["items"]
        return sorted(found) + [f"{node['metadata']['name']} {sorted(node['metadata']['labels'])}" for node in nodes]

    def containerd(self, node: str) -> list[str]:
        """Namespaces and images of a node's containerd."""
        line = "ctr namespaces list --quiet; ctr --namespace k8s.io images list --quiet | sort"
        return self.run(node, line).stdout.split()


def left(before: Snapshot, after: Snapshot, *patterns: re.Pattern[str]) -> list[str]:
    """Differences that none of the patterns has."""
    found = differences(before, after)
    return [line for line in found if not any(pattern.search(line) for pattern in (LIVING, *patterns))]


@pytest.fixture(scope="module")
def existing(scenario, run_playbook, on, inventory, say) -> Existing:
    """Two fresh machines with a cluster on them, and an inventory that says so; their nodes have other names than they."""
    mirror.ensure(["own_previous"], say)
    machines.renew(scenario, say)
    folder = inventory.parent / "existing"
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Existing(scenario, partial(run_playbook, inventory=folder), on)
    cluster.folder = folder
    cluster.foreign = Foreign(scenario, on, NAMES)
    cluster.hosts = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))
    group = cluster.hosts["all"]["children"]["k3s_cluster"]
    del group["children"]["k3s_agent"]["hosts"]["node3"]
    variables = yaml.safe_load((inventory / "group_vars" / "k3s_cluster.yml").read_text(encoding="utf-8"))
    small = next(model for model in variables["models_catalogue"] if model["name"] == MODEL)
    versions = {"wasmedge": "0.14.1", "wasinn": OLD_SHIM, "llama_api_server": "0.28.1", "k3s": "v1.34.4+k3s1"}
    group["vars"] |= {name: value for name, value in variables.items() if not name.endswith("_config")} | {
        "models_catalogue": [small | {"replicas": 2}],
        "artifacts_versions": versions,
        "k3s_existing": "kubeadm",
        "k3s_kubeconfig": str(folder / "kubeconfig"),
    }
    say("making a cluster the way kubeadm does")
    cluster.foreign.make()
    return cluster


@pytest.fixture(scope="module")
def before(existing) -> dict[str, Any]:
    """What is there before anything of ours."""
    return {
        "machines": {node: existing.snapshot(node) for node in NAMES},
        "containerd": {node: existing.containerd(node) for node in NAMES},
        "objects": existing.objects(),
        "units": {(node, unit): existing.started(node, unit) for node in NAMES for unit in ("kubelet", "kube-proxy")},
    }


def unchanged(existing: Existing, before: dict[str, Any]) -> dict[str, list[str]]:
    return {node: left(before["machines"][node], existing.snapshot(node)) for node in NAMES}


def test_a_cluster_that_the_inventory_does_not_name_is_refused(existing, before):
    """And the sentence says which variable names it."""
    existing.write(k3s_existing=None)
    result = existing.play("site")
    assert result.rc != 0
    assert re.search(
        r"node1: \[kubernetes\] There is a kubelet .*or set k3s_existing to kubeadm, so that it stays", result.output
    )
    reset = existing.play("reset")
    assert reset.rc != 0
    assert re.search(r"Remedy: set k3s_existing to what it is", reset.output)
    assert changes(result) + changes(reset) == []


def test_a_cluster_that_is_not_there_and_nodes_that_it_lacks_are_refused(existing):
    existing.write(k3s_existing="rke2")
    assert re.search(
        r"node1: (\[\w+\] )?k3s_existing is rke2, but there is no rke2-server\.service or rke2-agent\.service",
        existing.play("preflight").output,
    )
    existing.write()
    result = existing.play("preflight")
    assert result.rc != 0
    assert re.search(
        r"node2: \[\w+\] The kubeadm cluster has no node node2; its nodes are alpha, beta\. Remedy: Set this host's k3s_node_name",
        result.output,
    )


def test_what_only_our_own_cluster_knows_is_refused(existing):
    for name, said in (
        ("backup", "Saving the datastore"),
        ("scale", "Letting machines join"),
    ):
        result = existing.play(name)
        assert result.rc != 0
        assert re.search(rf"{said}.* is left to kubeadm, since k3s_existing is kubeadm", result.output)
        assert changes(result) == []


def test_models_come_to_it_and_answer(existing, before):
    for node, name in NAMES.items():
        groups = existing.hosts["all"]["children"]["k3s_cluster"]["children"].values()
        next(group for group in groups if node in group["hosts"])["hosts"][node]["k3s_node_name"] = name
    existing.write()
    check = existing.play("site", "--check")
    assert check.rc == 0
    assert {node: lines for node, lines in unchanged(existing, before).items() if lines} == {}
    assert existing.play("site").rc == 0
    assert "Paris" in existing.report.read_text(encoding="utf-8")
    answer = ask(f"http://{existing.foreign.scenario.address('node1')}:{PORT}", MODEL, max_tokens=8)
    assert not answer.failure, answer


def test_nothing_that_is_not_ours_was_touched(existing, before):
    now = {node: left(before["machines"][node], existing.snapshot(node), OURS) for node in NAMES}
    assert now == {node: [] for node in NAMES}
    assert {key: existing.started(*key) for key in before["units"]} == before["units"]
    theirs = [line for line in existing.objects() if "wasinn" not in line and "llamaedge" not in line]
    assert [line for line in before["objects"] if line not in theirs and not line.startswith(("alpha", "beta"))] == []
    config = existing.run("node1", "containerd config dump").stdout
    assert 'sandbox_image = "wasinn.local/pause:1"' in config
    assert "io.containerd.wasmedge.v1" in config


def test_a_second_run_changes_nothing(existing):
    started = {node: existing.started(node, "containerd") for node in NAMES}
    result = existing.play("site")
    assert (result.rc, changes(result)) == (0, [])
    check = existing.play("site", "--check")
    assert (check.rc, changes(check)) == (0, [])
    assert {node: existing.started(node, "containerd") for node in NAMES} == started


def test_verify_and_report_work_with_it(existing):
    assert existing.play("verify").rc == 0
    result = existing.play("report", extra={"report_load": False})
    assert result.rc == 0


def test_another_runtime_comes_node_by_node_without_a_failed_request(existing):
    """Kubernetes and the pods of others stay as they are."""
    containers = [{"name": "theirs", "image": "wasinn.local/pause:1"}]
    metadata = {"name": "theirs", "namespace": "default"}
    template = {"metadata": {"labels": {"app": "theirs"}}, "spec": {"nodeName": "beta", "containers": containers}}
    spec = {"selector": {"matchLabels": {"app": "theirs"}}, "template": template}
    existing.foreign.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    wait_for(lambda: bool(theirs(existing)), 60, "the pod of others does not run")
    kept = theirs(existing), {(node, unit): existing.started(node, unit) for node in NAMES for unit in UNITS}
    wanted = {**existing.hosts["all"]["children"]["k3s_cluster"]["vars"]["artifacts_versions"], "wasinn": NEW_SHIM}
    existing.write(artifacts_versions=wanted)
    refused = existing.play("site")
    assert refused.rc != 0
    assert f"node2 would change from the shim {OLD_SHIM} to {NEW_SHIM}, on all nodes at once" in " ".join(
        refused.output.split()
    )
    assert existing.shims(*NAMES) == {OLD_SHIM}
    url = f"http://{existing.foreign.scenario.address('node1')}:{PORT}"
    with asking(2, lambda _number: ask(url, MODEL, max_tokens=4)) as answers:
        assert existing.play("upgrade").rc == 0
    assert len(answers) > 20
    assert not failures(answers), (failures(answers), len(answers))
    assert existing.shims(*NAMES) == {NEW_SHIM}
    assert not [node for node in existing.foreign.kubectl("get", "nodes")["items"] if node["spec"].get("unschedulable")]
    now = theirs(existing), {(node, unit): existing.started(node, unit) for node in NAMES for unit in UNITS}
    assert now == kept
    again = existing.play("upgrade")
    assert (again.rc, changes(again)) == (0, [])
    existing.foreign.run("node1", f"{KUBECTL} delete deployment theirs")


def theirs(existing: Existing) -> list[str]:
    """The running pods of the Deployment that is not ours."""
    items = existing.foreign.kubectl("get", "pods", "-l", "app=theirs")["items"]
    return [item["metadata"]["uid"] for item in items if item["status"]["phase"] == "Running"]


def test_reset_of_one_node_empties_it_and_the_others_serve_on(existing, before):
    """From a controller that has no kubeconfig."""
    (existing.folder / "kubeconfig").unlink()
    started = existing.started("node1", "containerd")
    assert existing.play("reset", "--limit", "node2").rc == 0
    rules = re.compile("^firewall: ")  # kube-proxy's, for Services that stay
    assert left(before["machines"]["node2"], existing.snapshot("node2"), rules) == []
    assert existing.containerd("node2") == before["containerd"]["node2"]
    labels = [line for line in existing.objects() if line.startswith("beta ")]
    assert labels == [line for line in before["objects"] if line.startswith("beta ")]
    assert left(before["machines"]["node1"], existing.snapshot("node1"), OURS) == []
    assert existing.started("node1", "containerd") == started
    url = f"http://{existing.foreign.scenario.address('node1')}:{PORT}"
    wait_for(lambda: not ask(url, MODEL, max_tokens=8).failure, 120, "the model does not answer from the other node")
    again = existing.play("reset", "--limit", "node2")
    assert (again.rc, changes(again)) == (0, [])
    assert existing.play("site").rc == 0


def test_reset_leaves_the_cluster_as_it_was(existing, before):
    assert existing.play("reset").rc == 0
    assert existing.foreign.ready()
    assert {node: existing.containerd(node) for node in NAMES} == before["containerd"]
    assert existing.objects() == before["objects"]
    assert unchanged(existing, before) == {node: [] for node in NAMES}
    assert {key: existing.started(*key) for key in before["units"]} == before["units"]
    again = existing.play("reset")
    assert (again.rc, changes(again)) == (0, [])
