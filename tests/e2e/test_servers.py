# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same inventory with three servers in place of one: embedded etcd, and an API that outlives the first."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from .cluster import Cluster, changes


@pytest.fixture(scope="module")
def servers(inventory: Path) -> Path:
    """The inventory with every agent made a server."""
    folder = inventory.parent / "servers"
    folder.mkdir(exist_ok=True)
    content = yaml.safe_load((inventory / "hosts.yml").read_text())
    groups = content["all"]["children"]["k3s_cluster"]["children"]
    groups["k3s_server"]["hosts"].update(groups["k3s_agent"].pop("hosts"))
    (folder / "hosts.yml").write_text(yaml.safe_dump(content))
    if not (folder / "group_vars").exists():
        (folder / "group_vars").symlink_to(inventory / "group_vars")
    return folder


@pytest.fixture
def cluster(fresh_machines, run_playbook, on, servers) -> Cluster:
    return Cluster(fresh_machines, lambda *args, **options: run_playbook(*args, inventory=servers, **options), on)


def test_three_servers_and_the_loss_of_the_first(cluster, servers):
    assert cluster.play("site").rc == 0
    assert "Paris" in cluster.report.read_text(encoding="utf-8")
    again = cluster.play("site")
    assert (again.rc, changes(again)) == (0, [])
    roles = {node["metadata"]["name"]: node["metadata"]["labels"] for node in cluster.kubectl("get", "nodes")["items"]}
    assert all("node-role.kubernetes.io/etcd" in labels for labels in roles.values())
    cluster.run("node1", "systemctl stop k3s")
    answer = cluster.run("node2", "k3s kubectl get --raw /readyz --request-timeout=30s", check=False)
    assert answer.stdout.strip() == "ok", answer.stderr
    # The lost server leaves, although it was the first: another takes its place, and the datastore forgets its member.
    content = yaml.safe_load((servers / "hosts.yml").read_text())
    groups = content["all"]["children"]["k3s_cluster"]["children"]
    groups["k3s_leaving"] = {"hosts": {"node1": groups["k3s_server"]["hosts"].pop("node1")}}
    (servers / "hosts.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert cluster.play("scale").rc == 0
    names = cluster.run("node2", "k3s kubectl get nodes -o name").stdout.split()
    assert sorted(names) == ["node/node2", "node/node3"]
    assert "node1 left the datastore" in "".join(
        cluster.run(node, "journalctl -u k3s -o cat --no-pager").stdout for node in ("node2", "node3")
    )
    assert cluster.run("node1", "test -e /var/lib/rancher", check=False).returncode != 0
    assert "Paris" in cluster.report.read_text(encoding="utf-8")
