# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots that k3s saves by its own schedule into a bucket, and a new machine that is restored from there.

The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.demo import one_node
from tests.machines import machines
from tests.servers.s3 import REGION, Store, store

from .cluster import Cluster, changes
from .sick import says
from .waiting import wait_for

pytestmark = [pytest.mark.in_order, pytest.mark.slow(14)]

FOLDER = "of-the-cluster"
TOKEN = "of-the-snapshots-7b1c40de"
LOG = "journalctl -u k3s -o cat --no-pager"


@pytest.fixture(scope="module")
def bucket(scenario, say) -> Iterator[Store]:
    """The store, at the address that machines know this one by."""
    machines.renew(scenario, say)
    with store({}, host=scenario.gateway) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(scenario, bucket, run_playbook, on) -> Cluster:
    """One server, which saves a snapshot each minute and keeps two on its disk."""
    settings = one_node.variables()["k3s_server_config"] | {
        "etcd-snapshot-schedule-cron": "* * * * *",
        "etcd-snapshot-retention": 2,
        "etcd-s3": True,
        "etcd-s3-endpoint": bucket.endpoint.partition("//")[2],
        "etcd-s3-insecure": True,
        "etcd-s3-region": REGION,
        "etcd-s3-bucket": "models",
        "etcd-s3-folder": FOLDER,
        "etcd-s3-access-key": bucket.reader["access_key"],
        "etcd-s3-secret-key": bucket.reader["secret_key"],
    }
    folder = one_node.inventory(scenario, k3s_server_config=settings, k3s_token=TOKEN)
    return Cluster(scenario, partial(run_playbook, inventory=folder), on)


def uploaded(cluster: Cluster) -> list[str]:
    """Names of the snapshots that k3s says are in the bucket, oldest first."""
    return re.findall(rf"Snapshot {FOLDER}/(\S+) is in the bucket", cluster.run("node1", LOG).stdout)


def test_the_schedule_fills_the_bucket(cluster, bucket):
    result = cluster.play("site")
    assert result.rc == 0
    assert "Paris" in cluster.report.read_text(encoding="utf-8")
    assert bucket.reader["secret_key"] not in result.output
    wait_for(lambda: len(uploaded(cluster)) >= 3, 200, lambda: cluster.run("node1", f"{LOG} -n 20").stdout, every=5)
    kept = cluster.run("node1", "ls /var/lib/rancher/k3s/server/db/snapshots").stdout.split()
    assert 1 <= len(kept) <= 3  # the newest may not be counted yet


def test_keys_are_private(cluster, bucket):
    secret = bucket.reader["secret_key"]
    found = cluster.run(
        "node1", f"grep -rl {secret} /etc/rancher /var/lib/rancher/k3s/agent /etc/systemd; true"
    ).stdout.split()
    assert found
    for path in found:
        assert cluster.run("node1", f"stat -c '%a %U' {path}").stdout.split() == ["600", "root"]
    assert secret not in cluster.run("node1", f"ps -eww -o args=; {LOG}").stdout


def test_what_cannot_be_restored_is_refused_before_anything_stops(cluster):
    since = cluster.run("node1", "systemctl show -P ActiveEnterTimestamp k3s").stdout
    nowhere = {"k3s_restore_snapshot": "/nowhere", "k3s_server_config": one_node.variables()["k3s_server_config"]}
    assert "Remedy" in says(cluster.play("restore", extra=nowhere), "node1 has no file /nowhere")
    assert cluster.run("node1", "systemctl show -P ActiveEnterTimestamp k3s").stdout == since


def test_a_name_that_is_not_there_leaves_the_cluster_as_it_was(cluster):
    result = cluster.play("restore", extra={"k3s_restore_snapshot": "etcd-snapshot-nobodys-1"})
    assert result.rc != 0
    said = " ".join(result.output.split())
    assert f"the snapshot {FOLDER}/etcd-snapshot-nobodys-1 cannot be had from the bucket" in said
    assert "Remedy: see that the snapshot is of this cluster" in said
    assert cluster.run("node1", "systemctl is-active k3s").stdout.strip() == "active"


def test_a_new_machine_is_restored_from_the_bucket(cluster, scenario, say):
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "namespace": "default"}})
    made = time.time()
    wait_for(lambda: int(uploaded(cluster)[-1].rpartition("-")[2]) >= made, 150, every=5)
    name = uploaded(cluster)[-1]
    machines.renew(scenario, say)
    without = cluster.play("restore", extra={"k3s_restore_snapshot": name, "k3s_token": ""})
    assert "Remedy: set k3s_token" in says(without, "node1 has no token")
    assert cluster.play("restore", extra={"k3s_restore_snapshot": name}).rc == 0
    assert json.loads(cluster.run("node1", "k3s kubectl get configmap kept -o json").stdout)["kind"] == "ConfigMap"
    assert "Paris" in cluster.report.read_text(encoding="utf-8")
    again = cluster.play("site")
    assert (again.rc, changes(again)) == (0, [])
