# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Address ranges of a cluster, and what is wrong with them: k3s finds most of it out only while it starts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: k3s' own ranges (https://docs.k3s.io/cli/server#networking).
DEFAULTS = {"cluster-cidr": "10.42.0.0/16", "service-cidr": "10.43.0.0/16"}
#: Each node gets a range of pods' addresses of this size, by the IP version (kube-controller-manager).
NODE_PREFIX = {4: 24, 6: 64}


def words(value: Any) -> list[str]:
    """The parts of a setting that k3s takes as a list or with commas."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    return [word.strip() for part in parts if part is not None for word in str(part).split(",") if word.strip()]


def addresses_in(values: Iterable[Any]) -> list[Address]:
    """Those of the values that are addresses; names are left out."""
    found = []
    for value in values:
        try:
            found.append(ipaddress.ip_address(str(value)))
        except ValueError:
            continue
    return found


def ranges(settings: Mapping[str, Any], key: str) -> list[Network]:
    """The ranges of a setting. Raises ``ValueError`` for one that is none."""
    return [ipaddress.ip_network(word) for word in words(settings.get(key) or DEFAULTS[key])]


def network_findings(cluster: Mapping[str, Any], own: Mapping[str, Any], nodes: Iterable[Any]) -> Iterator[Finding]:
    """What is wrong with the ranges of *cluster* for a node with the settings *own*, beside the other *nodes*' addresses."""
    machines = list(nodes)
    everyone = addresses_in(word for machine in machines for word in words(machine))
    try:
        pods, services = ranges(cluster, "cluster-cidr"), ranges(cluster, "service-cidr")
        dns = [ipaddress.ip_address(word) for word in words(cluster.get("cluster-dns"))]
        node_ips = [ipaddress.ip_address(word) for word in words(own.get("node-ip"))]
    except ValueError as error:
        remedy = "Write ranges like 10.42.0.0/16 (with no bits set behind the prefix), and addresses without a prefix."
        yield finding("k3s_range", f"A range or an address of the cluster is none: {error}.", remedy)
        return
    families = [network.version for network in pods]
    if families != [network.version for network in services] or len(set(families)) != len(families):
        yield finding(
            "k3s_families",
            "cluster-cidr and service-cidr are not of the same IP versions in the same order, each once.",
            "Give one range each, or for two IP versions two each, as in cluster-cidr: 10.42.0.0/16,fd42::/56.",
        )
        return
    yield from _overlaps(pods, services, everyone + node_ips)
    yield from _dns(dns, services)
    if node_ips and {ip.version for ip in node_ips} != set(families):
        yield finding(
            "k3s_node_ip",
            f"k3s_node_ip is {', '.join(map(str, node_ips))}, but the cluster has "
            + (f"IPv{families[0]} alone." if len(families) == 1 else "IPv4 and IPv6."),
            "Give one address for each of them, with a comma between, in the order of cluster-cidr.",
        )
    yield from _room(pods, len(machines), cluster)


def _overlaps(pods: list[Network], services: list[Network], taken: list[Address]) -> Iterator[Finding]:
    for one, other in ((p, s) for p in pods for s in services):
        if one.version == other.version and one.overlaps(other):
            cause = f"cluster-cidr ({one}) and service-cidr ({other}) have addresses in common."
            yield finding("k3s_overlap", cause, "Give each a range of its own.")
    for network, name in [(n, "cluster-cidr") for n in pods] + [(n, "service-cidr") for n in services]:
        inside = sorted({str(ip) for ip in taken if ip.version == network.version and ip in network})
        if inside:
            yield finding(
                "k3s_overlap",
                f"{name} ({network}) has the address of a machine in it: {', '.join(inside)}.",
                f"Give {name} in k3s_server_config a range that no machine and no network around them uses.",
            )


def _dns(dns: list[Address], services: list[Network]) -> Iterator[Finding]:
    lost = [str(ip) for ip in dns if not any(ip.version == net.version and ip in net for net in services)]
    if lost:
        ranges_text = ", ".join(map(str, services))
        cause = f"cluster-dns ({', '.join(lost)}) is not in service-cidr ({ranges_text})."
        yield finding("k3s_dns", cause, "Leave cluster-dns out, and k3s takes the tenth address of service-cidr.")


def _room(pods: list[Network], count: int, cluster: Mapping[str, Any]) -> Iterator[Finding]:
    if any("node-cidr-mask-size" in word for word in words(cluster.get("kube-controller-manager-arg"))):
        return  # whoever changes that has counted
    for network in pods:
        wanted = NODE_PREFIX[network.version]
        room = 2 ** (wanted - network.prefixlen) if network.prefixlen <= wanted else 0
        if room < count:
            yield finding(
                "k3s_room",
                f"cluster-cidr ({network}) has room for {room} nodes of /{wanted} each, and the inventory has {count}.",
                "Give a wider range; it cannot be changed once the cluster is there.",
            )
