# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster's life: an upgrade that fails and goes back, one under load, machines that leave, dead or alive, and come again.

The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.closed_network import mirror, recipe
from tests.closed_network.builds import k3s, k3s_previous, own_previous
from tests.machines import machines
from tests.machines.engine import docker

from .cluster import Cluster, changes, published_sha256
from .load import ask, asking, failures
from .snapshot import Snapshot, differences
from .test_journey import STATIC_SHIM
from .waiting import wait_for

MODEL = "smollm2-135m-instruct"
PORT = 30080
OLD, NEW = (f"{version}+k3s1" for version in (k3s_previous.KUBERNETES, k3s.VERSIONS["KUBERNETES_VERSION"]))
OLD_SHIM, NEW_SHIM = own_previous.VERSION, recipe.VERSION

pytestmark = [pytest.mark.in_order, pytest.mark.slow(58)]


class Living(Cluster):
    """The cluster with an inventory of its own that tests rewrite."""

    folder: Path
    variables: dict[str, Any]
    hosts: dict[str, Any]
    address: str

    @property
    def earlier(self) -> dict[str, str]:
        """The versions that the cluster begins with; the inventory has the later ones."""
        return {**self.variables["artifacts_versions"], "k3s": OLD, "wasinn": OLD_SHIM}

    def play_with(
        self,
        playbook: str,
        *args: str,
        extra: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        **variables: Any,
    ) -> Any:
        """Run a playbook with the inventory's variables changed by the given ones."""
        text = yaml.safe_dump({**self.variables, **variables}, sort_keys=False)
        (self.folder / "group_vars" / "k3s_cluster.yml").write_text(text, encoding="utf-8")
        return self.play(playbook, *args, extra=extra, env=env)

    def move(self, host: str, to: str) -> None:
        """Move a host to another group of the inventory."""
        groups = self.hosts["all"]["children"]["k3s_cluster"]["children"]
        (found,) = [group["hosts"].pop(host) for group in groups.values() if host in group.get("hosts", {})]
        groups.setdefault(to, {}).setdefault("hosts", {})[host] = found
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(self.hosts, sort_keys=False), encoding="utf-8")

    def versions(self) -> dict[str, str]:
        """The kubelet's version by node, as the API has it."""
        items = self.kubectl("get", "nodes")["items"]
        return {item["metadata"]["name"]: item["status"]["nodeInfo"]["kubeletVersion"] for item in items}

    def cordoned(self) -> list[str]:
        """Nodes that take no pods."""
        return [
            item["metadata"]["name"]
            for item in self.kubectl("get", "nodes")["items"]
            if item["spec"].get("unschedulable")
        ]

    def kept(self) -> list[str]:
        """The snapshots that upgrades saved on the server."""
        folder = "/var/lib/rancher/k3s/server/db/snapshots"
        return self.run("node1", f"find {folder} -name 'before-upgrade-*'").stdout.split()

    def guard(self, node: str) -> None:
        """Put a pod on a node with a budget that lets it go nowhere; it takes 20 s to end."""
        images = self.kubectl("get", "node", node)["status"]["images"]
        image = next(name for item in images for name in item["names"] if "pause" in name and "@" not in name)
        metadata = {"name": "guarded", "namespace": "default"}
        selector = {"matchLabels": {"app": "guarded"}}
        container = {"name": "guarded", "image": image, "lifecycle": {"preStop": {"sleep": {"seconds": 20}}}}
        pod = {"nodeSelector": {"kubernetes.io/hostname": node}, "containers": [container]}
        template = {"metadata": {"labels": {"app": "guarded"}}, "spec": pod}
        self.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": metadata,
                "spec": {"selector": selector, "template": template},
            },
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": metadata,
                "spec": {"selector": selector, "maxUnavailable": 0},
            },
        )
        self.run("node1", "k3s kubectl rollout status deployment/guarded --timeout=90s")

    def guarded(self, node: str) -> dict[str, Any]:
        """The status of the guarded pod on the node: its phase, and whether and how it was told to go."""
        found = self.kubectl("get", "pods", "-l", "app=guarded", "--field-selector", f"spec.nodeName={node}")["items"]
        if not found:
            return {"phase": "", "goes": []}
        conditions = found[0]["status"]["conditions"]
        goes = [item["reason"] for item in conditions if item["type"] == "DisruptionTarget"]
        return {"phase": found[0]["status"]["phase"], "goes": goes}


@pytest.fixture(scope="module")
def living(scenario, run_playbook, on, inventory, say) -> Living:
    """One server and two agents with the earlier k3s, one model with two pods, a node port."""
    mirror.ensure(["k3s_previous", "own_previous"], say)
    folder = inventory.parent / "life"
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    cluster = Living(scenario, partial(run_playbook, inventory=folder), on)
    cluster.folder = folder
    cluster.hosts = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))
    (folder / "hosts.yml").write_text(yaml.safe_dump(cluster.hosts, sort_keys=False), encoding="utf-8")
    variables = yaml.safe_load((inventory / "group_vars" / "k3s_cluster.yml").read_text(encoding="utf-8"))
    small = next(model for model in variables["models_catalogue"] if model["name"] == MODEL)
    versions = {"wasmedge": "0.14.1", "wasinn": NEW_SHIM, "llama_api_server": "0.28.1"}
    cluster.variables = variables | {
        "models_catalogue": [small | {"replicas": 2}],
        "balancer_service_type": "NodePort",
        "balancer_service_node_port": PORT,
        "artifacts_versions": {**versions, "k3s": NEW},
        "k3s_kubeconfig_merge": str(folder / "kubeconfig"),
    }
    other = {"name": "other", "context": {"cluster": "other", "user": "other"}}
    (folder / "kubeconfig").write_text(
        yaml.safe_dump({"contexts": [other], "current-context": "other"}), encoding="utf-8"
    )
    cluster.address = scenario.address("node1")
    return cluster


@pytest.fixture(scope="module")
def before(scenario, living, say) -> dict[str, Snapshot]:
    """Bare machines, and what they look like."""
    machines.renew(scenario, say)
    return {node: living.snapshot(node) for node in living.nodes}


def test_a_cluster_with_the_earlier_versions(living, before):
    assert living.play_with("site", artifacts_versions=living.earlier).rc == 0
    assert set(living.versions().values()) == {OLD}
    assert living.shims() == {OLD_SHIM}
    merged = yaml.safe_load((living.folder / "kubeconfig").read_text(encoding="utf-8"))
    assert [context["name"] for context in merged["contexts"]] == ["other", "wasinn-e2e"]
    assert merged["current-context"] == "other"
    assert (living.folder / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_site_does_not_change_versions_unasked(living):
    result = living.play_with("site")
    assert result.rc != 0
    assert (
        f"node2 would change from k3s {OLD} to {NEW}, from the shim {OLD_SHIM} to {NEW_SHIM}, on all nodes at once."
        " Remedy: run wasinn.cluster.upgrade" in " ".join(result.output.split())
    )
    assert changes(result) == []


def test_versions_that_nothing_can_override_are_refused(living):
    """Going back needs other versions than the wanted ones."""
    result = living.play(
        "upgrade",
        "-e",
        yaml.safe_dump({"artifacts_versions": living.variables["artifacts_versions"]}, default_flow_style=True),
    )
    assert result.rc != 0
    assert "artifacts_versions is given with --extra-vars" in result.output


def test_a_dry_run_of_an_upgrade_tells_the_plan_and_changes_nothing(living):
    result = living.play_with("upgrade", "--check")
    assert result.rc == 0
    assert f"k3s {OLD} to {NEW}" in result.output
    assert set(living.versions().values()) == {OLD}
    assert living.shims() == {OLD_SHIM}
    assert living.cordoned() == []


def test_a_node_that_fails_goes_back_and_the_others_are_not_touched(living):
    """What is named as the new k3s is an archive, so that the service cannot start."""
    pin = {"k3s": published_sha256(STATIC_SHIM)}
    result = living.play_with(
        "upgrade", artifacts_urls={"k3s": STATIC_SHIM}, artifacts_checksums=pin, k3s_join_timeout=90
    )
    assert result.rc != 0
    assert re.search(
        r"node1 was not upgraded \(k3s .* to .*\)\. It runs with the versions it had\. "
        r".*The file that is installed as k3s is no program for this machine\. Remedy: ",
        result.output,
    )
    assert not re.search(r"node[23] was not upgraded", result.output)
    assert set(living.versions().values()) == {OLD}
    assert living.shims() == {OLD_SHIM}
    assert living.cordoned() == []


@pytest.fixture(scope="module")
def alone(living) -> dict[str, Any]:
    """Variables with which the controller has nothing but two bundles: one of the wanted versions, one to go back by."""
    folder = living.scenario.state / "bundles"  # in the inventory, Ansible would read them
    shutil.rmtree(folder, ignore_errors=True)
    closed = {"artifacts_mirror": "", "artifacts_offline": True, "artifacts_cache": str(folder / "cache")}
    for name, versions in {"earlier": living.earlier, "wanted": living.variables["artifacts_versions"]}.items():
        variables = {"bundle_dir": str(folder), "bundle_name": name, "artifacts_versions": versions}
        assert living.play_with("bundle", **variables).rc == 0
        assert living.play_with("bundle_open", extra=closed, **variables).rc == 0
    return closed


def test_an_upgrade_of_kubernetes_and_the_runtime_under_load_fails_no_request(living, alone, outside):
    """Its files are those of bundles, and the controller reaches nothing but the machines."""
    url = f"http://{living.address}:{PORT}"
    kept = living.kept()
    with asking(2, lambda _number: ask(url, MODEL, max_tokens=4)) as answers:
        result = living.play_with("upgrade", extra=alone, env=outside.env)
    assert result.rc == 0
    assert set(living.versions().values()) == {NEW}
    assert living.shims() == {NEW_SHIM}
    assert living.cordoned() == []
    assert len(living.kept()) == len(kept) + 1
    assert len(answers) > 20
    assert not failures(answers), (failures(answers), len(answers))


def test_a_second_upgrade_changes_nothing(living):
    result = living.play_with("upgrade")
    assert (result.rc, changes(result)) == (0, [])


def test_a_node_that_an_upgrade_left_cordoned_gets_its_pods_back(living):
    """By the mark that it left there; the cordon that an operator made stays."""
    for node in ("node2", "node3"):
        living.run("node1", f"k3s kubectl cordon {node}")
    mark = "import json; p = '{0}'; d = json.load(open(p)); d['upgrade'] = {{'cordoned': True}}; json.dump(d, open(p, 'w'))"
    living.run("node3", f'python3 -c "{mark.format("/etc/ansible/facts.d/wasinn.fact")}"')
    assert living.play_with("upgrade").rc == 0
    assert living.cordoned() == ["node2"]
    living.run("node1", "k3s kubectl uncordon node2")
    again = living.play_with("upgrade")
    assert (again.rc, changes(again)) == (0, [])


def test_a_machine_that_leaves_is_emptied_and_clean(living, before):
    """A budget that lets its pod go after a while is waited for; the pod is evicted and not only lost with its node."""
    living.move("node3", "k3s_leaving")
    assert living.play_with("scale", "--check").rc == 0
    assert (set(living.versions()), living.cordoned()) == (set(living.nodes), [])
    living.guard("node3")
    with ThreadPoolExecutor(1) as pool:
        scale = pool.submit(living.play_with, "scale")
        wait_for(lambda: scale.done() or living.cordoned() == ["node3"], 1800, "node3 is not cordoned")
        time.sleep(90)  # a drain asks again meanwhile
        assert living.guarded("node3") == {"phase": "Running", "goes": []}
        living.run("node1", "k3s kubectl delete pdb guarded")
        wait_for(lambda: living.guarded("node3")["goes"] == ["EvictionByEvictionAPI"], 60, "it was not evicted")
    assert scale.result().rc == 0
    living.run("node1", "k3s kubectl delete deployment guarded")
    assert set(living.versions()) == {"node1", "node2"}
    assert differences(before["node3"], living.snapshot("node3")) == []
    again = living.play_with("scale")
    assert (again.rc, changes(again)) == (0, [])


def test_it_joins_again_while_a_dead_one_leaves(living, scenario):
    docker("stop", "-t", "1", scenario.container("node2"))
    living.move("node3", "k3s_agent")
    living.move("node2", "k3s_leaving")
    result = living.play_with("scale")
    assert result.rc == 0
    assert set(living.versions()) == {"node1", "node3"}
    assert "Paris" in living.report.read_text(encoding="utf-8")
