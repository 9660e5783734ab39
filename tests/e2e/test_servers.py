# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three servers: their datastore saved and restored, their token and certificates rotated, the first of them lost, all of them lost;
from a bundle alone they come back, and one more joins.

The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import ssl
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.machines import machines
from tests.machines.engine import docker

from .cluster import Cluster, changes
from .load import ask
from .test_journey import MODEL, OF_MODEL
from .waiting import wait_for

pytestmark = [pytest.mark.in_order, pytest.mark.slow(50)]

PORT = 30080
PRIVATE = ("/var/lib/rancher/k3s/server/token", "/etc/rancher/k3s/token", "/etc/rancher/k3s/config.yaml")


class Servers(Cluster):
    """The cluster with its inventory and its backups."""

    folder: Path
    backups: Path

    def rewrite(self, change) -> None:
        """Change the inventory's groups."""
        path = self.folder / "hosts.yml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(content["all"]["children"]["k3s_cluster"]["children"])
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def make(self, name: str) -> None:
        """A ConfigMap to recognise a state of the cluster by."""
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
        self.apply(manifest)

    def made(self) -> set[str]:
        """Which of them there are."""
        items = self.kubectl("get", "configmaps", "-n", "default")["items"]
        return {item["metadata"]["name"] for item in items} - {"kube-root-ca.crt"}

    def nodes_there(self, via: str = "node1") -> list[str]:
        """Names of the nodes that are Ready."""
        lines = self.run(via, "k3s kubectl get nodes --no-headers").stdout.splitlines()
        return sorted(line.split()[0] for line in lines if line.split()[1] == "Ready")

    def wait(self, node: str, line: str) -> None:
        """Until a shell line succeeds on a machine, which may be starting."""
        ask = partial(self.run, node, line, check=False)
        wait_for(lambda: ask().returncode == 0, 120, lambda: f"{node}: {line}: {ask()}")

    def bootstrap(self, node: str, token: str) -> int:
        """The status with which a server answers somebody who would join it as another one."""
        text = base64.b64encode(f"server:{token.rpartition(':')[2]}".encode()).decode()
        server = http.client.HTTPSConnection(
            self.scenario.address(node), 6443, timeout=30, context=ssl._create_unverified_context()
        )
        try:
            server.request("GET", "/v1-k3s/server-bootstrap", headers={"Authorization": f"Basic {text}"})
            return server.getresponse().status
        finally:
            server.close()

    def certificates(self, node: str) -> tuple[str, str]:
        """What a server shows to those who call the API and the kubelet."""
        address = self.scenario.address(node)
        return ssl.get_server_certificate((address, 6443)), ssl.get_server_certificate((address, 10250))

    def answers(self) -> bool:
        """Whether the last run's report has the model's answer."""
        return "Paris" in self.report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cluster(scenario, run_playbook, on, inventory, say) -> Servers:
    """The inventory with every agent made a server, and bare machines."""
    folder = inventory.parent / "servers"
    folder.mkdir(exist_ok=True)
    if not (folder / "group_vars").exists():
        (folder / "group_vars").symlink_to(inventory / "group_vars")
    (folder / "hosts.yml").write_text((inventory / "hosts.yml").read_text(encoding="utf-8"), encoding="utf-8")
    servers = Servers(scenario, partial(run_playbook, inventory=folder), on)
    servers.folder, servers.backups = folder, folder / "backups"
    servers.rewrite(lambda groups: groups["k3s_server"]["hosts"].update(groups["k3s_agent"].pop("hosts")))
    machines.renew(scenario, say)
    return servers


@pytest.fixture(scope="module")
def backup(cluster) -> Path:
    """A backup, taken when the cluster had the ConfigMap ``before`` alone."""
    cluster.make("before")
    there, wanted = set(cluster.backups.glob("*")), {"k3s_backup_dir": str(cluster.backups)}
    look = cluster.play("backup", "--check", extra=wanted)
    assert (look.rc, changes(look), set(cluster.backups.glob("*"))) == (0, [], there)
    assert cluster.play("backup", extra=wanted).rc == 0
    (folder,) = sorted(cluster.backups.iterdir())[-1:]
    cluster.run("node1", "k3s kubectl delete configmap before")
    cluster.make("after")
    return folder


def test_three_servers(cluster):
    assert cluster.play("site").rc == 0
    assert cluster.answers()
    roles = {node["metadata"]["name"]: node["metadata"]["labels"] for node in cluster.kubectl("get", "nodes")["items"]}
    assert all("node-role.kubernetes.io/etcd" in labels for labels in roles.values())


@pytest.mark.parametrize("lost", ["node1", "node2", "node3"])
def test_the_loss_of_each_server_in_turn(cluster, scenario, lost):
    """Its machine goes without a word, and starts again: the others take writes meanwhile, and it finds its way back.

    The model, of which there is one pod, answers as long as that is on another machine: in two cases of the three at least.
    """
    others = [node for node in cluster.nodes if node != lost]
    homes = {pod["spec"].get("nodeName", lost) for pod in cluster.kubectl("get", "pods", *OF_MODEL)["items"]}
    docker("kill", scenario.container(lost))
    for node in others:
        cluster.wait(node, "test $(k3s kubectl get --raw /readyz --request-timeout=20s) = ok")
    cluster.run(others[0], f"k3s kubectl create configmap without-{lost}")
    assert f"without-{lost}" in cluster.run(others[1], "k3s kubectl get configmaps -o name").stdout
    if homes - {lost}:
        question = partial(ask, f"http://{scenario.address(others[0])}:{PORT}", MODEL, timeout=20)
        wait_for(lambda: not question().failure, 120, lambda: question().failure)
    docker("start", scenario.container(lost))
    cluster.wait(others[0], f"k3s kubectl wait --for=condition=Ready node/{lost} --timeout=10s")
    cluster.wait(lost, f"k3s kubectl get configmap without-{lost} --request-timeout=20s")
    cluster.run(lost, f"k3s kubectl delete configmap without-{lost}")


def test_site_after_the_losses_changes_nothing_and_the_models_answer(cluster):
    result = cluster.play("site")
    assert (result.rc, changes(result)) == (0, [])
    assert cluster.answers()


def test_a_backup_is_whole_and_private(backup):
    names = sorted(file.name for file in backup.iterdir())
    assert names == ["backup.json", "snapshot", "token"]
    assert {file.stat().st_mode & 0o777 for file in backup.iterdir()} == {0o600}
    assert {folder.stat().st_mode & 0o777 for folder in (backup, backup.parent)} == {0o700}
    assert json.loads((backup / "backup.json").read_text())["node"] == "node1"


def test_a_damaged_backup_is_refused_before_anything_stops(cluster, backup, tmp_path):
    for file in backup.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "snapshot").open("r+b") as stream:
        stream.seek(10_000)
        stream.write(b"damaged")
    result = cluster.play("restore", extra={"k3s_restore_from": str(tmp_path)})
    assert result.rc != 0
    assert f"{tmp_path} is no whole backup" in result.output
    assert changes(result) == []
    assert cluster.made() == {"after"}


def test_a_snapshot_that_does_not_open_leaves_the_cluster_as_it_was(cluster, backup, tmp_path):
    """Its token is another one: k3s finds that out when the servers are stopped already, and the first has it in its configuration."""
    for file in backup.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    token = (tmp_path / "token").read_text().strip()
    (tmp_path / "token").write_text(f"{token}0\n")
    result = cluster.play("restore", extra={"k3s_restore_from": str(tmp_path), "k3s_token": f"{token}0"})
    assert result.rc != 0
    assert "the servers go on as they were: " in result.output
    assert "encrypted with different token. Remedy: " in result.output
    assert cluster.made() == {"after"}


def test_a_snapshot_on_a_server_is_not_restored_with_another_token(cluster):
    path = cluster.run("node1", "ls -d /var/lib/rancher/k3s/server/db/snapshots/* | tail -n 1").stdout.strip()
    result = cluster.play("restore", extra={"k3s_restore_snapshot": path, "k3s_token": "another"})
    assert result.rc != 0
    assert f"k3s_token does not open {path}. Remedy: " in " ".join(result.output.split())
    assert changes(result) == []
    assert cluster.made() == {"after"}


def test_restored_on_its_own_machines(cluster, backup):
    assert cluster.play("restore", "--check", extra={"k3s_restore_from": str(backup)}).rc == 0
    assert cluster.made() == {"after"}
    assert cluster.play("restore", extra={"k3s_restore_from": str(backup)}).rc == 0
    assert cluster.made() == {"before"}
    assert cluster.nodes_there() == ["node1", "node2", "node3"]
    assert cluster.answers()


def test_another_token_and_other_certificates(cluster):
    old = cluster.run("node1", "cat /var/lib/rancher/k3s/server/token").stdout.strip()
    before = {node: cluster.certificates(node) for node in cluster.nodes}
    look = cluster.play("rotate", "--check")
    assert (look.rc, changes(look)) == (0, [])
    for node in cluster.nodes:
        assert (cluster.bootstrap(node, old), cluster.certificates(node)) == (200, before[node])
    result = cluster.play("rotate")
    assert result.rc == 0
    new = cluster.run("node1", "cat /var/lib/rancher/k3s/server/token").stdout.strip()
    assert old.split("::")[0] == new.split("::")[0]
    assert old != new
    assert old.split(":")[-1] not in result.output
    assert new.split(":")[-1] not in result.output
    for node in cluster.nodes:
        assert cluster.run(node, "cat /var/lib/rancher/k3s/server/token").stdout.strip() == new
        assert not set(cluster.certificates(node)) & set(before[node])
        assert (cluster.bootstrap(node, old), cluster.bootstrap(node, new)) == (401, 200)
        modes = cluster.run(node, f"stat -c %a {' '.join(PRIVATE)}").stdout.split()
        assert set(modes) == {"600"}
    assert cluster.nodes_there() == ["node1", "node2", "node3"]
    again = cluster.play("site")
    assert (again.rc, changes(again)) == (0, [])


def test_the_loss_of_the_first(cluster):
    """It leaves, although it was the first: another takes its place, and the datastore forgets its member."""
    cluster.run("node1", "systemctl stop k3s")
    answer = cluster.run("node2", "k3s kubectl get --raw /readyz --request-timeout=30s", check=False)
    assert answer.stdout.strip() == "ok", answer.stderr
    cluster.rewrite(
        lambda groups: groups.update(k3s_leaving={"hosts": {"node1": groups["k3s_server"]["hosts"].pop("node1")}})
    )
    assert cluster.play("scale").rc == 0
    assert cluster.nodes_there("node2") == ["node2", "node3"]
    assert "node1 left the datastore" in "".join(
        cluster.run(node, "journalctl -u k3s -o cat --no-pager").stdout for node in ("node2", "node3")
    )
    assert cluster.run("node1", "test -e /var/lib/rancher/k3s", check=False).returncode != 0
    assert cluster.answers()


@pytest.fixture(scope="module")
def bundle(cluster) -> Path:
    """Everything that the cluster needs, in one signed archive."""
    folder = cluster.scenario.state / "bundle"  # in the inventory, Ansible would read it
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    public = (folder / "key.pub").read_text()
    (folder / "allowed").write_text(f'wasinn namespaces="wasinn.cluster" {public}')
    wanted = {"bundle_dir": str(folder), "bundle_key": str(folder / "key")}
    there = set(folder.iterdir())
    assert cluster.play("bundle", "--check", extra=wanted).rc == 0
    assert set(folder.iterdir()) == there
    assert cluster.play("bundle", extra=wanted).rc == 0
    again = cluster.play("bundle", extra=wanted)
    assert (again.rc, changes(again)) == (0, [])
    return folder / "wasinn.tar"


@pytest.fixture(scope="module")
def alone(bundle) -> dict[str, Any]:
    """Variables with which the controller has nothing but the bundle: no mirror, and an empty cache at first."""
    return {"artifacts_mirror": "", "artifacts_offline": True, "artifacts_cache": str(bundle.parent / "cache")}


def test_restored_on_new_machines_from_a_bundle(cluster, backup, bundle, alone, outside, scenario, say):
    """All machines are lost. Of the new ones node1 is the only server and node2 an agent; node3 is no part of it."""
    play = partial(cluster.play, env=outside.env)
    signed = {"bundle_file": str(bundle), "bundle_allowed_signers": str(bundle.parent / "allowed")}
    assert play("bundle_open", extra={**alone, **signed}).rc == 0
    machines.renew(scenario, say)

    def smaller(groups) -> None:
        node1 = groups.pop("k3s_leaving")["hosts"]
        groups["k3s_agent"]["hosts"] = {"node2": groups["k3s_server"]["hosts"]["node2"]}
        groups["k3s_server"]["hosts"] = node1

    cluster.rewrite(smaller)
    assert play("restore", extra={**alone, "k3s_restore_from": str(backup)}).rc == 0
    assert cluster.made() == {"before"}
    assert cluster.nodes_there() == ["node1", "node2"]
    assert [item["metadata"]["name"] for item in cluster.kubectl("get", "nodes")["items"]] == ["node1", "node2"]
    assert cluster.answers()
    again = play("site", extra=alone)
    assert (again.rc, changes(again)) == (0, [])


def test_a_second_server_joins_from_the_bundle(cluster, alone, outside, scenario):
    """The cluster's one server has etcd, of which the new machine gets a member. No file comes from elsewhere."""
    play = partial(cluster.play, env=outside.env)
    address = {"ansible_host": scenario.address("node3")}
    cluster.rewrite(lambda groups: groups["k3s_server"]["hosts"].update(node3=address))
    assert play("scale", extra=alone).rc == 0
    assert cluster.nodes_there("node3") == ["node1", "node2", "node3"]
    members = cluster.kubectl("get", "nodes", "-l", "node-role.kubernetes.io/etcd=true")["items"]
    assert sorted(node["metadata"]["name"] for node in members) == ["node1", "node3"]
    assert cluster.answers()
    again = play("scale", extra=alone)
    assert (again.rc, changes(again)) == (0, [])
