# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings of k3s are refused, what its proxies are not for, and what a firewall has to let through."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.filter.k3s_settings import (
    k3s_addresses,
    k3s_environment,
    k3s_openings,
    k3s_settings_findings,
    k3s_taints,
)

NODES = ["192.0.2.11", "192.0.2.12", "node3.example.com"]
DUAL = {"cluster-cidr": "10.42.0.0/16,fd42::/56", "service-cidr": "10.43.0.0/16,fd43::/112"}


def found(own=None, cluster=None, **more) -> list[str]:
    findings = k3s_settings_findings(own or {}, cluster or {}, more.pop("nodes", NODES), **more)
    for item in findings:
        assert item["cause"].endswith("."), item
        assert item["remedy"].endswith("."), item
    return [item["check"] for item in findings]


@pytest.mark.parametrize(
    ("own", "cluster"),
    [
        ({}, {}),
        ({}, DUAL),
        ({"node-ip": "192.0.2.11,2001:db8::11"}, DUAL),
        (
            {"node-ip": "192.0.2.11"},
            {"cluster-cidr": "172.20.0.0/14", "service-cidr": "172.24.0.0/16", "cluster-dns": "172.24.0.53"},
        ),
        ({}, {"cluster-cidr": "10.42.0.0/25", "kube-controller-manager-arg": ["node-cidr-mask-size=28"]}),
        ({}, {"flannel-backend": "wireguard-native"}),
        ({}, {"datastore-endpoint": "postgres://k3s:secret@db.example.com:5432/k3s"}),
        ({}, {"datastore-endpoint": "https://10.0.0.1:2379,https://10.0.0.2:2379"}),
        (
            {
                "node-label": [
                    "disk=nvme",
                    "example.com/zone=a",
                    "node.kubernetes.io/x=",
                    "topology.kubernetes.io/zone=z",
                ]
            },
            {},
        ),
        ({"node-taint": ["gpu=true:NoSchedule", "dedicated:NoExecute"]}, {}),
    ],
)
def test_allowed(own, cluster):
    assert found(own, cluster) == []


@pytest.mark.parametrize(
    ("own", "cluster", "check"),
    [
        ({}, {"cluster-cidr": "10.42.0.1/16"}, "k3s_range"),
        ({}, {"cluster-cidr": "ten"}, "k3s_range"),
        ({}, {"cluster-dns": "10.43.0.0/24"}, "k3s_range"),
        ({}, {"cluster-cidr": "10.42.0.0/16,fd42::/56"}, "k3s_families"),
        ({}, {**DUAL, "service-cidr": "fd43::/112,10.43.0.0/16"}, "k3s_families"),
        (
            {},
            {"cluster-cidr": "10.42.0.0/16,10.44.0.0/16", "service-cidr": "10.43.0.0/16,10.45.0.0/16"},
            "k3s_families",
        ),
        ({}, {"service-cidr": "10.42.128.0/20"}, "k3s_overlap"),
        ({}, {"cluster-cidr": "192.0.0.0/16"}, "k3s_overlap"),
        ({"node-ip": "10.43.7.1"}, {}, "k3s_overlap"),
        ({}, {"service-cidr": "10.96.0.0/16", "cluster-dns": "10.43.0.10"}, "k3s_dns"),
        ({"node-ip": "192.0.2.11"}, DUAL, "k3s_node_ip"),
        ({"node-ip": "2001:db8::11"}, {}, "k3s_node_ip"),
        ({}, {"cluster-cidr": "10.42.0.0/23"}, "k3s_room"),
        ({}, {"flannel-backend": "udp"}, "k3s_backend"),
        ({}, {"datastore-endpoint": "db.example.com:5432"}, "k3s_datastore"),
        ({}, {"datastore-endpoint": "mysql://a@tcp(b)/c", "etcd-s3": True}, "k3s_datastore"),
        ({"node-label": ["disk"]}, {}, "k3s_label"),
        ({"node-label": ["disk=a b"]}, {}, "k3s_label"),
        ({"node-label": ["node-role.kubernetes.io/worker=true"]}, {}, "k3s_label"),
        ({"node-taint": ["gpu=true"]}, {}, "k3s_taint"),
        ({"node-taint": ["gpu=true:Never"]}, {}, "k3s_taint"),
    ],
)
def test_refused(own, cluster, check):
    assert found(own, cluster) == [check]


def test_no_finding_holds_the_datastores_password():
    for endpoint in ("k3s:hunter22@db:5432", "oracle://k3s:hunter22@db/x"):
        assert "hunter22" not in str(k3s_settings_findings({}, {"datastore-endpoint": endpoint, "etcd-s3": 1}))


@pytest.mark.parametrize(
    ("registries", "count"),
    [
        ({}, 0),
        (
            {
                "mirrors": {
                    "docker.io": {"endpoint": ["https://mirror.example.com/v2"], "rewrite": {"^a": "b"}},
                    "*": None,
                }
            },
            0,
        ),
        (
            {"configs": {"mirror.example.com": {"auth": {"username": "a", "password": "b"}, "tls": {"ca_file": "/x"}}}},
            0,
        ),
        ({"mirror": {}}, 1),
        ({"mirrors": ["docker.io"]}, 1),
        ({"mirrors": {"docker.io": {"endpoints": ["https://x"]}}}, 1),
        ({"mirrors": {"docker.io": {"endpoint": "https://x"}}}, 1),
        ({"mirrors": {"docker.io": {"endpoint": ["mirror.example.com"]}}}, 1),
        ({"configs": {"x": {"username": "a"}}}, 1),
    ],
)
def test_registries(registries, count):
    assert found(registries=registries) == ["k3s_registries"] * count


@pytest.mark.parametrize(
    ("token", "agents", "count"),
    [
        ("", "", 0),
        ("server-secret", "agent-secret", 0),
        ("", "agent-secret", 0),
        ("same-secret", "same-secret", 1),
        ("K10abc::server:same-secret", "same-secret", 1),
        ("", "short", 1),
        ("", "K10abc::node:agent-secret", 1),
        ("", "two words", 1),
    ],
)
def test_the_agents_token(token, agents, count):
    assert found(tokens=[token, agents]) == ["k3s_agent_token"] * count


@pytest.mark.parametrize(
    ("token", "has", "count"),
    [
        ("secret", "K10abc::server:secret\n", 0),
        ("K10abc::server:secret", "K10abc::server:secret", 0),
        ("", "K10abc::server:secret", 0),
        ("secret", "", 0),
        ("other", "K10abc::server:secret", 1),
        ("K10abc::server:other", "K10abc::server:secret", 1),
    ],
)
def test_the_token_that_a_server_has(token, has, count):
    assert found(tokens=[token, "", has]) == ["k3s_token"] * count


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ({}, {"secrets-encryption": True}, 0),
        ({"node-name": "n"}, {}, 0),
        ({"node-name": "n"}, {"cluster-cidr": "10.42.0.0/16"}, 0),
        ({"node-name": "n"}, {"secrets-encryption": True}, 1),
        ({"node-name": "n", "secrets-encryption": True}, {"secrets-encryption": True}, 0),
        ({"node-name": "n", "secrets-encryption": True}, {}, 1),
        ({"node-name": "n", "cluster-cidr": "10.50.0.0/16"}, {"service-cidr": "10.51.0.0/16"}, 2),
    ],
)
def test_what_a_living_cluster_cannot_change(before, after, count):
    assert found(after, before=before) == ["k3s_lasting"] * count


def test_the_cluster_goes_past_its_proxies():
    given = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".example.com", "OTHER": "x"}
    made = k3s_environment(given, DUAL, ["192.0.2.11,2001:db8::11", "node2"])
    assert made == {
        **given,
        "NO_PROXY": ".example.com,127.0.0.0/8,localhost,.svc,.cluster.local,10.42.0.0/16,fd42::/56,10.43.0.0/16,fd43::/112,"
        "192.0.2.11,2001:db8::11,node2",
    }


def test_each_spelling_of_a_proxy_has_its_own_exceptions():
    made = k3s_environment({"CONTAINERD_HTTP_PROXY": "p", "https_proxy": "p", "http_proxy": "p"}, {}, [])
    assert sorted(made) == ["CONTAINERD_HTTP_PROXY", "CONTAINERD_NO_PROXY", "http_proxy", "https_proxy", "no_proxy"]


@pytest.mark.parametrize("environment", [{}, {"A": "b"}, {"HTTP_PROXY": ""}, {"NO_PROXY": "x"}])
def test_without_a_proxy_nothing_is_added(environment):
    assert k3s_environment(environment, {}, ["192.0.2.11"]) == environment


def test_a_server_opens_the_api_to_all_and_the_rest_to_nodes():
    made = k3s_openings({}, True, 6443, ["192.0.2.11", "192.0.2.13"], ["192.0.2.10", "192.0.2.11", "192.0.2.13"])
    assert made == {
        "openings": [
            {"protocol": "tcp", "ports": ["6443"], "sources": []},
            {"protocol": "tcp", "ports": ["2379", "2380"], "sources": ["192.0.2.11", "192.0.2.13"]},
            {"protocol": "tcp", "ports": ["10250"], "sources": ["192.0.2.10/31", "192.0.2.13"]},
            {"protocol": "udp", "ports": ["8472"], "sources": ["192.0.2.10/31", "192.0.2.13"]},
        ],
        "trusted": ["10.42.0.0/16", "10.43.0.0/16"],
    }


@pytest.mark.parametrize(
    ("cluster", "ports"),
    [
        ({}, ["10250", "8472"]),
        ({"flannel-backend": "host-gw"}, ["10250"]),
        ({"flannel-backend": "wireguard-native"}, ["10250", "51820", "51821"]),
        ({"flannel-backend": "none", "embedded-registry": True}, ["10250", "5001"]),
    ],
)
def test_an_agent_opens_what_its_network_needs(cluster, ports):
    made = k3s_openings(cluster, False, 6443, ["192.0.2.11"], ["192.0.2.11", "2001:db8::12"])
    assert [port for opening in made["openings"] for port in opening["ports"]] == ports
    assert made["openings"][0]["sources"] == ["192.0.2.11", "2001:db8::12"]


def test_a_machine_without_an_address_is_named():
    with pytest.raises(AnsibleFilterError, match=r"nobody\.invalid.*k3s_node_ip"):
        k3s_openings({}, False, 6443, [], ["nobody.invalid"])


def test_addresses_of_hosts():
    variables = {
        "a": {"k3s_registered_addresses": ["10.0.0.1", "fd00::1"], "ansible_host": "192.0.2.1"},
        "b": {"k3s_node_ip": "10.0.0.2,fd00::2"},
        "c": {"ansible_host": "192.0.2.3"},
        "d": {},
    }
    assert k3s_addresses(variables, ["a", "b", "c", "d"]) == [
        "10.0.0.1",
        "fd00::1",
        "10.0.0.2",
        "fd00::2",
        "192.0.2.3",
        "d",
    ]


def test_taints_of_both_kinds_are_alike():
    node = [
        {"key": "gpu", "value": "true", "effect": "NoSchedule", "timeAdded": "x"},
        {"key": "a", "effect": "NoExecute"},
    ]
    assert k3s_taints(["gpu=true:NoSchedule", "a:NoExecute"]) == k3s_taints(node)
