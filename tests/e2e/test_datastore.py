# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers without a datastore of their own: both keep the cluster's state in an etcd of the user's, on a third machine.

The API has an address that kube-vip moves between them, whose image comes as an archive. The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
import yaml
from ansible_collections.wasinn.cluster.plugins.module_utils.oci_image import images_in
from kubernetes import client, config
from urllib3.exceptions import HTTPError

from tests.closed_network import mirror
from tests.closed_network.builds import kube_vip
from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place
from tests.machines import machines
from tests.machines.engine import docker
from tests.machines.scenario import Scenario
from tests.servers.certificate import self_signed

from .cluster import Cluster, changes, published_sha256
from .foreign import RELEASE
from .sick import says
from .snapshot import Snapshot, differences
from .waiting import wait_for

pytestmark = [pytest.mark.in_order, pytest.mark.slow(18)]

SERVERS = ("node1", "node2")
FOLDER = "/etc/datastore"


def endpoint(scenario: Scenario) -> str:
    """An address that no machine has."""
    return f"{scenario.prefix}.250"


@pytest.fixture(scope="module")
def cluster(scenario, run_playbook, on, inventory, say, tmp_path_factory) -> Cluster:
    """The datastore runs, the servers have the files that it asks for, and nothing else is there."""
    folder = inventory.parent / "datastore"
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))
    groups = hosts["all"]["children"]["k3s_cluster"]["children"]
    groups["k3s_server"]["hosts"]["node2"] = groups["k3s_agent"].pop("hosts")["node2"]
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False), encoding="utf-8")
    variables = yaml.safe_load((inventory / "group_vars" / "k3s_cluster.yml").read_text(encoding="utf-8"))
    variables |= {"models_catalogue": [variables["models_catalogue"][0] | {"replicas": 2}]}
    mirror.ensure(["kube_vip"], say)
    image = next(iter(images_in(place(MIRROR, kube_vip.ARCHIVE))))
    variables |= {
        "k3s_api_endpoint": endpoint(scenario),
        "k3s_kube_vip_image": image.replace("@", f":{kube_vip.VERSION}@"),
        "k3s_image_archives": [{"name": image, "url": kube_vip.ARCHIVE, "sha256": published_sha256(kube_vip.ARCHIVE)}],
    }
    address = f"{scenario.address('node3')}:2379"
    files = {name: f"{FOLDER}/{name}.pem" for name in ("cert", "key")}
    variables["k3s_server_config"] |= {
        "datastore-endpoint": f"https://{address}",
        "datastore-cafile": files["cert"],
        "datastore-certfile": files["cert"],
        "datastore-keyfile": files["key"],
    }
    (folder / "group_vars" / "k3s_cluster.yml").write_text(yaml.safe_dump(variables, sort_keys=False), encoding="utf-8")
    made = Cluster(scenario, partial(run_playbook, inventory=folder), on)
    machines.renew(scenario, say)
    pems = self_signed(tmp_path_factory.mktemp("datastore"), "datastore", scenario.address("node3"))
    for node in made.nodes:
        for pem in pems:
            on(node, f"install -d -m 700 {FOLDER} && umask 077 && cat >{FOLDER}/{pem.name}", stdin=pem.read_text())
    made.run("node3", "mkdir /opt/datastore")
    docker("cp", str(place(MIRROR, f"{RELEASE}/k3s")), f"{scenario.container('node3')}:/opt/datastore/etcd")
    tls = f"--cert-file={files['cert']} --key-file={files['key']} --trusted-ca-file={files['cert']} --client-cert-auth"
    urls = f"--listen-client-urls=https://{address} --advertise-client-urls=https://{address}"
    line = f"/opt/datastore/etcd --data-dir=/var/lib/datastore --log-level=warn {urls} {tls}"
    made.run("node3", f"chmod 755 /opt/datastore/etcd && systemd-run --unit=datastore {line}")
    return made


@pytest.fixture(scope="module")
def before(cluster, scenario) -> dict[str, Snapshot]:
    """The machines as they were, started once more as one of them will be."""
    for node in SERVERS:
        docker("kill", scenario.container(node))
    machines.up(scenario)
    return {node: cluster.snapshot(node) for node in SERVERS}


def token(cluster: Cluster, node: str) -> str:
    return cluster.run(node, "cat /var/lib/rancher/k3s/server/token").stdout.strip()


def test_models_answer_on_it(cluster, before):
    result = cluster.play("site")
    assert result.rc == 0
    assert "Paris" in cluster.report.read_text(encoding="utf-8")
    assert token(cluster, "node1").rpartition(":")[2] not in result.output


def test_a_second_run_changes_nothing(cluster):
    again = cluster.play("site")
    assert (again.rc, changes(again)) == (0, [])


def test_no_server_keeps_the_state_itself(cluster):
    items = cluster.kubectl("get", "nodes")["items"]
    assert sorted(item["metadata"]["name"] for item in items) == list(SERVERS)
    for item in items:
        assert "node-role.kubernetes.io/control-plane" in item["metadata"]["labels"]
        assert "node-role.kubernetes.io/etcd" not in item["metadata"]["labels"]
    for node in SERVERS:
        assert cluster.run(node, "test -e /var/lib/rancher/k3s/server/db/etcd", check=False).returncode != 0
        assert cluster.run(node, "ss -Hltn sport = :2379").stdout == ""


def names(cluster: Cluster) -> set[str]:
    """ConfigMaps, as whoever has the fetched kubeconfig sees them: at the address; none where nobody answers."""
    api = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    with contextlib.suppress(HTTPError, client.ApiException):
        return {item.metadata.name for item in api.list_namespaced_config_map("default", _request_timeout=5).items}
    return set()


def holder(cluster: Cluster, node: str) -> str:
    """Who answers for the API's address, as the server *node* knows it."""
    lease = "k3s kubectl get lease wasinn-kube-vip --namespace kube-system --output jsonpath={.spec.holderIdentity}"
    return cluster.run(node, f"{lease} --request-timeout=30s", check=False).stdout


def test_the_address_is_one_servers(cluster, scenario):
    address = endpoint(scenario)
    have = [node for node in SERVERS if f" {address}/" in cluster.run(node, "ip -brief address").stdout]
    assert have == [holder(cluster, "node1")]
    assert f"server: https://{address}:6443" in cluster.kubeconfig.read_text(encoding="utf-8")
    assert "kube-root-ca.crt" in names(cluster)


def test_one_server_is_enough(cluster, scenario):
    """The one that answered for the address goes."""
    lost = holder(cluster, "node1")
    (left,) = set(SERVERS) - {lost}
    docker("kill", scenario.container(lost))
    made = cluster.run(left, "k3s kubectl create configmap without-it --request-timeout=30s", check=False)
    assert made.returncode == 0, made.stderr
    wait_for(lambda: holder(cluster, left) == left, 60)
    wait_for(lambda: "without-it" in names(cluster), 60)
    machines.up(scenario)
    look = partial(cluster.run, lost, "k3s kubectl get configmaps -o name", check=False)
    wait_for(lambda: "without-it" in look().stdout, 120)


def test_a_backup_is_refused_with_a_remedy(cluster):
    result = cluster.play("backup")
    says(result, "k3s has no etcd of its own, and saves no other datastore")
    assert "save the datastore of datastore-endpoint by its own means" in " ".join(result.output.split())


def test_another_token(cluster):
    old = token(cluster, "node1")
    assert cluster.play("rotate").rc == 0
    assert {token(cluster, node) for node in SERVERS} == {token(cluster, "node1")}
    assert token(cluster, "node1") != old
    again = cluster.play("site")
    assert (again.rc, changes(again)) == (0, [])


def test_no_cluster_is_formed_over_another(cluster, before):
    """The datastore outlives reset, as it is not ours: what is in it opens with its own token alone."""
    assert cluster.play("reset").rc == 0
    for node in SERVERS:
        assert "\n".join(differences(before[node], cluster.snapshot(node))) == ""
    assert "datastore of another one" in says(cluster.play("site"), "does not take the machine's token. Remedy: ")
    assert cluster.play("reset").rc == 0
