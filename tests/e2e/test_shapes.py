# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hardened cluster on guarded machines: agents' own token, registries, proxies, ranges, labels, encrypted Secrets, firewall, and none of it left.

The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import json
from functools import partial
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.machines import image, machines

from .cluster import Cluster, changes
from .snapshot import Snapshot, differences

pytestmark = [pytest.mark.in_order, pytest.mark.slow(15)]

MODEL = "smollm2-135m-instruct"
AGENTS = "of-the-agents-0d4c1f6a"
NODES = ("node1", "node2")
# What a careful administrator has: nobody gets in or through but by ssh.
GUARD = """\
#!/usr/sbin/nft -f
flush ruleset
table inet guard {
  chain input { type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "lo" accept
    tcp dport 22 accept
    icmp type echo-request accept
    meta l4proto ipv6-icmp accept
  }
  chain forward { type filter hook forward priority filter; policy drop;
    ct state established,related accept
  }
}
"""
KERNEL = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1}
KERNEL |= {"kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}
SHAPE = {
    "k3s_agent_token": AGENTS,
    "k3s_cis_hardening": True,
    "k3s_registries": {"mirrors": {"docker.io": {"endpoint": ["https://mirror.invalid"]}}},
    # Nobody is there: whatever goes to the proxy is lost.
    "k3s_environment": {"HTTPS_PROXY": "http://192.0.2.1:3128", "HTTP_PROXY": "http://192.0.2.1:3128"},
}


@pytest.fixture(scope="module")
def cluster(scenario, run_playbook, on, inventory, say) -> Cluster:
    """A server with rules of nftables and an agent with firewalld; the kernel's settings are files with other values, since they are the host's."""
    folder = inventory.parent / "shapes"
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))
    agents = hosts["all"]["children"]["k3s_cluster"]["children"]["k3s_agent"]["hosts"]
    del agents["node3"]
    server = hosts["all"]["children"]["k3s_cluster"]["children"]["k3s_server"]["hosts"]
    for number, node in enumerate((server["node1"], agents["node2"]), 1):
        node["k3s_node_ip"] = f"{node['ansible_host']},fd51::{number}"
    agents["node2"] |= {"k3s_node_labels": ["disk=nvme"], "k3s_node_taints": ["wasinn.test/soft=true:PreferNoSchedule"]}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False), encoding="utf-8")
    variables = yaml.safe_load((inventory / "group_vars" / "k3s_cluster.yml").read_text(encoding="utf-8"))
    small = next(model for model in variables["models_catalogue"] if model["name"] == MODEL)
    ranges = {"cluster-cidr": "10.52.0.0/16,fd52::/56", "service-cidr": "10.53.0.0/16,fd53::/112"}
    variables |= {**SHAPE, "models_catalogue": [small | {"replicas": 2}]}
    variables["k3s_server_config"] = {**variables["k3s_server_config"], **ranges}
    (folder / "group_vars" / "k3s_cluster.yml").write_text(yaml.safe_dump(variables, sort_keys=False), encoding="utf-8")
    made = Cluster(scenario, partial(run_playbook, inventory=folder), on)
    machines.renew(scenario, say, image.GUARDED_NODE)
    on("node1", "cat >/etc/nftables.conf && systemctl start nftables", stdin=GUARD)
    on("node2", "systemctl start firewalld")
    for number, node in enumerate(NODES, 1):
        on(node, f"sysctl -qw net.ipv6.conf.all.disable_ipv6=0 && ip address add fd51::{number}/64 dev eth0")
        for name in KERNEL:
            cover = f"/run/cover/{name}"
            made.run(node, f"mkdir -p $(dirname {cover}) && echo 7 >{cover} && mount --bind {cover} /proc/sys/{name}")
    return made


@pytest.fixture(scope="module")
def before(cluster) -> dict[str, Snapshot]:
    return {node: cluster.snapshot(node) for node in NODES}


def mode(cluster: Cluster, node: str, path: str) -> str:
    return cluster.run(node, f"stat -c %a {path}").stdout.strip()


def secret(cluster: Cluster) -> str:
    return cluster.run("node1", "cat /var/lib/rancher/k3s/server/token").stdout.strip().rpartition(":")[2]


def test_models_answer_on_it(cluster, before):
    result = cluster.play("site")
    assert result.rc == 0
    assert "Paris" in cluster.report.read_text(encoding="utf-8")
    assert AGENTS not in result.output
    assert secret(cluster) not in result.output


def test_a_second_run_changes_nothing(cluster):
    again = cluster.play("site")
    assert (again.rc, changes(again)) == (0, [])


def test_an_agent_has_its_own_token_alone(cluster):
    servers = secret(cluster)
    look = "cat /etc/rancher/k3s/token; stat -c %a /etc/rancher/k3s/token; grep -rl {} /etc /var/lib/rancher/k3s/agent; true"
    text = cluster.run("node2", look.format(servers)).stdout.split()
    assert text[0].endswith(f"::node:{AGENTS}")
    assert text[1:] == ["600"]
    assert {mode(cluster, "node1", f"/etc/rancher/k3s/{name}") for name in ("agent-token", "config.yaml")} == {"600"}
    for node in NODES:
        processes = cluster.run(node, "ps -eww -o args=; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'").stdout
        assert AGENTS not in processes
        assert servers not in processes


def test_settings_reach_k3s(cluster):
    for node in NODES:
        assert mode(cluster, node, "/etc/rancher/k3s/registries.yaml") == "600"
        there = cluster.run(node, "cat /var/lib/rancher/k3s/agent/etc/containerd/certs.d/docker.io/hosts.toml").stdout
        assert "https://mirror.invalid/v2" in there
    items = {item["metadata"]["name"]: item for item in cluster.kubectl("get", "nodes")["items"]}
    assert items["node2"]["metadata"]["labels"]["disk"] == "nvme"
    assert [taint["key"] for taint in items["node2"]["spec"]["taints"]] == ["wasinn.test/soft"]
    assert "disk" not in items["node1"]["metadata"]["labels"]
    for item in items.values():
        four, six = item["spec"]["podCIDRs"]
        assert (four[:6], six[:5]) == ("10.52.", "fd52:")
    assert cluster.kubectl("get", "service", "kubernetes")["spec"]["clusterIP"] == "10.53.0.1"


def got(cluster: Cluster, node: str, url: str) -> CompletedProcess[str]:
    """What a node gets from an address; machines have no curl."""
    get = f"import urllib.request as r; print(r.urlopen('{url}', timeout=10).read().decode())"
    return cluster.run(node, f'python3 -c "{get}"', check=False)


def test_pods_are_reached_by_both_versions_of_ip(cluster):
    """CoreDNS' page of health, from the node where it is and from the other one."""
    (pod,) = cluster.kubectl("get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
    four, six = (item["ip"] for item in pod["status"]["podIPs"])
    for node in NODES:
        for address in (four, f"[{six}]"):
            said = got(cluster, node, f"http://{address}:8080/health")
            assert said.stdout.strip() == "OK", f"{node}, {address}: {said.stderr}"


def test_models_and_balancer_are_reached_by_both_versions_of_ip(cluster):
    """Each pod from its own node, which no NetworkPolicy forbids; and the Service has an address of both."""
    service = cluster.kubectl("get", "service", "-n", "llamaedge", "balancer")["spec"]
    assert [address[:5] for address in service["clusterIPs"]] == ["10.53", "fd53:"]
    pods = cluster.kubectl("get", "pods", "-n", "llamaedge", "-l", "app.kubernetes.io/managed-by=wasinn.cluster")[
        "items"
    ]
    assert {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in pods} == {"llama-api-server", "balancer"}
    for pod in pods:
        four, six = (item["ip"] for item in pod["status"]["podIPs"])
        for address in (four, f"[{six}]"):
            said = got(cluster, pod["spec"]["nodeName"], f"http://{address}:8080/v1/models")
            assert MODEL in said.stdout, f"{pod['metadata']['name']}, {address}: {said.stderr}"


def test_secrets_are_no_plain_text_in_etcd(cluster):
    """The ConfigMap shows that what is looked for would be found."""
    for kind, field in (("Secret", "stringData"), ("ConfigMap", "data")):
        named = {"name": "looked-for", "namespace": "default"}
        cluster.apply({"apiVersion": "v1", "kind": kind, "metadata": named, field: {"key": f"text-in-a-{kind}"}})
    cluster.run("node1", "k3s etcd-snapshot save --name looked-for")
    count = "grep -a -c {} /var/lib/rancher/k3s/server/db/snapshots/looked-for-*; true"
    found = {
        text: int(cluster.run("node1", count.format(text)).stdout) > 0
        for text in ("text-in-a-Secret", "text-in-a-ConfigMap", "k8s:enc:aescbc:v1:")
    }
    assert found == {"text-in-a-Secret": False, "text-in-a-ConfigMap": True, "k8s:enc:aescbc:v1:": True}
    assert mode(cluster, "node1", "/var/lib/rancher/k3s/server/cred/encryption-config.json") == "600"
    data = cluster.kubectl("get", "secret", "looked-for")["data"]["key"]
    assert cluster.run("node1", f"echo {data} | base64 -d").stdout == "text-in-a-Secret"


def test_it_is_hardened(cluster):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reads-the-node", "namespace": "default"}}
    volume = {"name": "etc", "hostPath": {"path": "/etc"}}
    pod["spec"] = {"containers": [{"name": "a", "image": "x"}], "volumes": [volume]}
    refused = cluster.run("node1", f"echo '{json.dumps(pod)}' | k3s kubectl apply -f -", check=False)
    assert "violates PodSecurity" in refused.stderr
    log = cluster.run("node1", "tail -n 50 /var/lib/rancher/k3s/server/logs/audit.log").stdout.splitlines()
    assert {json.loads(line)["level"] for line in log} == {"Metadata"}
    assert mode(cluster, "node1", "/var/lib/rancher/k3s/server/logs") == "700"
    assert cluster.run("node1", "find /var/lib/rancher/k3s/server/tls -perm /077").stdout == ""
    for node in NODES:
        values = {name: int(cluster.run(node, f"cat /proc/sys/{name}").stdout) for name in KERNEL}
        assert values == KERNEL
        settings = yaml.safe_load(cluster.run(node, "cat /var/lib/rancher/k3s/agent/etc/kubelet.yaml").stdout)
        assert settings["protectKernelDefaults"] is True


def test_its_ports_are_open_to_nodes(cluster):
    assert jumps(cluster) == ["forward", "input"]
    ours = cluster.run("node1", "nft list chain inet guard wasinn-input").stdout
    assert all(port in ours for port in ("6443", "2379", "10250"))
    rules = cluster.run("node2", "firewall-cmd --list-rich-rules; firewall-cmd --zone=trusted --list-sources").stdout
    assert 'port="10250"' in rules
    assert "10.52.0.0/16" in rules
    assert 'port="6443"' not in rules


def jumps(cluster: Cluster) -> list[str]:
    """Chains of the administrator's from which ours are called."""
    listed = json.loads(cluster.run("node1", "nft -j list ruleset").stdout)["nftables"]
    rules: list[dict[str, Any]] = [item["rule"] for item in listed if "rule" in item]
    return sorted(rule["chain"] for rule in rules if rule.get("comment") == "wasinn.cluster")


def test_the_ranges_of_a_living_cluster_stay(cluster):
    refused = cluster.play("preflight", extra={"k3s_server_config": {}})
    assert refused.rc != 0
    assert (
        "cluster-cidr was 10.52.0.0/16, fd52::/56 when the cluster was formed, and cannot become 10.42.0.0/16."
        in " ".join(refused.output.split())
    )


def test_openings_outlive_a_restart_of_the_firewall(cluster):
    for verb in ("restart", "reload"):
        cluster.run("node1", f"systemctl {verb} nftables")
        assert jumps(cluster) == ["forward", "input"]


def left(cluster: Cluster, node: str, before: Snapshot) -> list[str]:
    """What differs, but for what firewalld keeps of zones that were changed once, and the lock of ufw, which was asked whether it is active."""
    found = differences(before, cluster.snapshot(node))
    theirs = ("/etc/firewalld/zones", "_trusted_", "run: new ufw.lock")
    return [line for line in found if not any(words in line for words in theirs)]


def test_reset_leaves_nothing_of_it(cluster, before):
    assert cluster.play("reset").rc == 0
    for node in NODES:
        assert "\n".join(left(cluster, node, before[node])) == ""
    assert cluster.run("node2", "firewall-cmd --permanent --list-rich-rules").stdout.strip() == ""
    assert cluster.run("node2", "firewall-cmd --permanent --zone=trusted --list-sources").stdout.strip() == ""
