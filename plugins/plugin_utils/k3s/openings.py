# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which ports a machine of a cluster needs, and from whom (https://docs.k3s.io/installation/requirements#networking)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.wasinn.cluster.plugins.plugin_utils.k3s.networks import ranges, words

#: UDP ports between nodes, by flannel's backend. host-gw routes without any.
BACKEND_PORTS = {"vxlan": ["8472"], "wireguard-native": ["51820", "51821"]}


def openings(
    cluster: Mapping[str, Any], server: bool, port: int, servers: Iterable[str], nodes: Iterable[str], etcd: bool
) -> dict[str, Any]:
    """``openings`` (protocol, ports, sources; no source is anybody) and ``trusted`` (ranges of pods and Services)."""
    everyone = resolved(nodes)
    found: list[dict[str, Any]] = []
    if server:
        found.append({"protocol": "tcp", "ports": [str(port)], "sources": []})
        if etcd:
            found.append({"protocol": "tcp", "ports": ["2379", "2380"], "sources": resolved(servers)})
    found.append({"protocol": "tcp", "ports": ["10250"], "sources": everyone})
    tunnels = BACKEND_PORTS.get(str(cluster.get("flannel-backend") or "vxlan"), [])
    if tunnels:
        found.append({"protocol": "udp", "ports": tunnels, "sources": everyone})
    if cluster.get("embedded-registry"):
        found.append({"protocol": "tcp", "ports": ["5001"], "sources": everyone})
    inside = [*ranges(cluster, "cluster-cidr"), *ranges(cluster, "service-cidr")]
    return {"openings": found, "trusted": list(map(str, inside))}


def resolved(hosts: Iterable[str]) -> list[str]:
    """Addresses of hosts as few exact ranges. Raises ``ValueError`` for a name that has no address."""
    networks: dict[int, list[Any]] = {4: [], 6: []}
    for host in (word for value in hosts for word in words(value)):
        for address in _addresses(host):
            network = ipaddress.ip_network(address)
            networks[network.version].append(network)
    collapsed = [net for version in (4, 6) for net in ipaddress.collapse_addresses(networks[version])]
    return [str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net) for net in collapsed]


def _addresses(host: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(
            f"the machines' firewalls need the address of {host}, which has none here ({error}): set k3s_node_ip for it"
        ) from error
    return sorted({str(answer[4][0]).partition("%")[0] for answer in answers})
