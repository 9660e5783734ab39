# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on the settings of k3s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.plugin_utils.k3s import settings as check
from ansible_collections.wasinn.cluster.plugins.plugin_utils.k3s.environment import proxy_environment
from ansible_collections.wasinn.cluster.plugins.plugin_utils.k3s.networks import network_findings, ranges, words
from ansible_collections.wasinn.cluster.plugins.plugin_utils.k3s.openings import openings


def k3s_settings_findings(
    own: Mapping[str, Any],
    cluster: Mapping[str, Any],
    nodes: Iterable[Any] = (),
    before: Mapping[str, Any] | None = None,
    registries: Mapping[str, Any] | None = None,
    tokens: Iterable[str] = ("", ""),
) -> list[dict[str, str]]:
    """Return what is wrong with a node's settings, C(own), in a cluster with those of its servers, as findings."""
    return [
        *network_findings(cluster, own, list(nodes)),
        *check.datastore_findings(cluster),
        *check.backend_findings(cluster),
        *check.node_findings(own),
        *check.registry_findings(registries or {}),
        *check.token_findings(*tokens),
        *(check.lasting_findings(before, own) if before else []),
    ]


def k3s_environment(
    environment: Mapping[str, str], cluster: Mapping[str, Any], nodes: Iterable[Any] = ()
) -> dict[str, str]:
    """Return the service's environment, in which what is inside the cluster goes past its proxies."""
    inside = [
        *("127.0.0.0/8", "localhost", ".svc", "." + str(cluster.get("cluster-domain") or "cluster.local")),
        *_ranges(cluster),
        *(word for node in nodes for word in str(node).split(",")),
    ]
    return proxy_environment(environment, inside)


def k3s_addresses(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> list[str]:
    """Return the addresses of hosts, by what they announce, or else by what Ansible reaches them with."""
    found = []
    for host in hosts:
        known = hostvars[host]
        value = known.get("k3s_registered_addresses") or known.get("k3s_node_ip") or known.get("ansible_host") or host
        found += words(value)
    return found


def k3s_openings(
    cluster: Mapping[str, Any],
    server: bool,
    port: int,
    servers: Iterable[str],
    nodes: Iterable[str],
    etcd: bool = True,
) -> dict[str, Any]:
    """Return what a machine's firewall has to let through, as the module C(firewall_openings) takes it."""
    try:
        return openings(cluster, server, port, servers, nodes, etcd)
    except ValueError as error:
        raise AnsibleFilterError(f"k3s_firewall: {error}") from error


def k3s_taints(taints: Iterable[Any]) -> list[dict[str, str]]:
    """Return taints, as words or as a Node has them, as the module C(kubernetes.core.k8s_taint) takes them."""
    found = []
    for taint in taints:
        if isinstance(taint, str):
            rest, _colon, effect = taint.rpartition(":")
            key, _equals, value = rest.partition("=")
            taint = {"key": key, "value": value, "effect": effect}
        found.append({name: str(taint[name]) for name in ("key", "value", "effect") if taint.get(name)})
    return found


def _ranges(cluster: Mapping[str, Any]) -> list[str]:
    try:
        return [str(network) for key in ("cluster-cidr", "service-cidr") for network in ranges(cluster, key)]
    except ValueError:
        return []  # preflight has the sentence


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {
            "k3s_settings_findings": k3s_settings_findings,
            "k3s_environment": k3s_environment,
            "k3s_addresses": k3s_addresses,
            "k3s_taints": k3s_taints,
            "k3s_openings": k3s_openings,
        }
