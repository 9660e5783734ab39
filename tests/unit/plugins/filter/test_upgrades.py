# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which upgrades are refused, and with which sentence."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.filter.upgrades import (
    installed_versions,
    unchanged_artifacts,
    upgrade_findings,
    version_changes,
)

METRICS = """\
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="flowcontrol.apiserver.k8s.io",removed_release="1.35",resource="flowschemas",subresource="",version="v1beta3"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
apiserver_request_total{code="200",resource="nodes"} 12
"""


def refused(before: str, wanted: str, metrics: str = "") -> list[str]:
    return [found["check"] for found in upgrade_findings(before, wanted, "node1", True, metrics)]


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("v1.34.2+k3s1", "v1.34.4+k3s1"),
        ("v1.34.4+k3s1", "v1.34.4+k3s1"),
        ("v1.34.4+k3s1", "v1.34.4+k3s2"),
        ("v1.34.4+k3s1", "v1.34.10+k3s1"),
        ("v1.33.9+k3s1", "v1.34.0+k3s1"),
    ],
)
def test_later_patches_and_the_next_minor_version_are_allowed(before, wanted):
    assert refused(before, wanted) == []


@pytest.mark.parametrize(
    ("before", "wanted", "check"),
    [
        ("v1.34.4+k3s1", "v1.34.2+k3s1", "upgrade_older"),
        ("v1.34.4+k3s2", "v1.34.4+k3s1", "upgrade_older"),
        ("v1.32.9+k3s1", "v1.34.0+k3s1", "upgrade_skips"),
        ("v1.34.0+k3s1", "v2.0.0+k3s1", "upgrade_skips"),
    ],
)
def test_others_are_refused(before, wanted, check):
    assert refused(before, wanted) == [check]


def test_an_api_that_the_new_version_lacks_is_named():
    (found,) = upgrade_findings("v1.34.4+k3s1", "v1.35.0+k3s1", "node1", True, METRICS)
    assert found["check"] == "upgrade_api"
    assert "flowschemas in flowcontrol.apiserver.k8s.io/v1beta3, which v1.35.0+k3s1 no longer has" in found["cause"]
    assert refused("v1.34.2+k3s1", "v1.34.4+k3s1", METRICS) == []


def server(version: str, name: str = "node1") -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"nodeInfo": {"kubeletVersion": version}}}


def test_a_kubelet_later_than_an_api_server_is_refused():
    servers = [server("v1.34.4+k3s1"), server("v1.35.0+k3s1", "node2")]
    (found,) = upgrade_findings("v1.34.4+k3s1", "v1.35.0+k3s1", "node3", True, "", servers)
    assert found["check"] == "upgrade_skew"
    assert "later than the API server of node1 (v1.34.4+k3s1), which this run leaves as it is" in found["cause"]
    assert "--limit k3s_server" in found["remedy"]


@pytest.mark.parametrize("version", ["v1.34.2+k3s1", "v1.35.0+k3s1"])
def test_a_kubelet_of_the_minor_version_of_its_api_servers_is_not(version):
    assert upgrade_findings("v1.34.2+k3s1", "v1.34.4+k3s1", "node3", True, "", [server(version)]) == []


def test_a_node_that_the_cluster_does_not_know_is_sent_to_site():
    (found,) = upgrade_findings("", "v1.34.4+k3s1", "node1", False)
    assert found["check"] == "upgrade_unknown"
    assert "wasinn.cluster.site" in found["remedy"]


def test_what_is_no_version_is_said():
    with pytest.raises(AnsibleFilterError, match="'latest' is no version of k3s"):
        upgrade_findings("v1.34.4+k3s1", "latest", "node1", True)


LOCAL = {
    "k3s": {"version": "v1.34.2+k3s1", "node": "node1"},
    "wasmedge": {"version": "0.14.1", "plugins": {}},
    "shim": {"version": "0.0.9", "sha256": "0" * 64},
    "upgrade": {"cordoned": True},
}
WANTED = {"k3s": "v1.34.4+k3s1", "wasmedge": "0.14.1", "wasinn": "0.1.0", "llama_api_server": "0.28.1"}


def test_what_differs_from_what_the_node_has_is_told():
    assert version_changes(installed_versions(LOCAL), WANTED) == [
        "k3s v1.34.2+k3s1 to v1.34.4+k3s1",
        "the shim 0.0.9 to 0.1.0",
    ]


def test_what_a_node_does_not_have_is_no_change():
    assert installed_versions({}) == {}
    assert version_changes(installed_versions({"wasmedge": {"version": "0.14.1"}}), WANTED) == []


def test_addresses_of_versions_that_change_are_not_for_going_back():
    urls = {name: name for name in ("k3s", "k3s_images", "shim", "probe", "wasmedge", "wasmedge_plugin_ggml")}
    before = {**WANTED, "k3s": "v1.34.2+k3s1"}
    assert list(unchanged_artifacts(urls, before, WANTED)) == ["shim", "probe", "wasmedge", "wasmedge_plugin_ggml"]
    before = {**WANTED, "wasinn": "0.0.9", "wasmedge": "0.14.0"}
    assert list(unchanged_artifacts(urls, before, WANTED)) == ["k3s", "k3s_images"]
