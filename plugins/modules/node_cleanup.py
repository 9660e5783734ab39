#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""End what a container runtime left behind on a node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_cleanup
version_added: 0.1.0
short_description: End what a container runtime left running on a node
description:
  - Ends processes by the place of their executable, with all their descendants, then removes their mounts, network
    interfaces, routes, network namespaces, nftables tables, cgroups and files.
  - Pods outlive the service of k3s, so stopping it is not enough to take it away.
  - Only what is named is touched.
extends_documentation_fragment:
  - wasinn.cluster.attributes
options:
  executables:
    description: Beginnings of the paths of executables whose processes are ended, with their descendants.
    type: list
    elements: str
    default: []
  mounts:
    description: >-
      Directories below which everything is unmounted. One ending in C(-) is the beginning of a name. A mount point that is itself
      one of O(paths) stays mounted.
    type: list
    elements: str
    default: []
  interfaces:
    description: Network interfaces to remove. The ports of a bridge go with it.
    type: list
    elements: str
    default: []
  routes:
    description: Networks, such as that of the pods, into which all routes are removed.
    type: list
    elements: str
    default: []
  network_namespaces:
    description: Beginning of the names of network namespaces to remove, with both ends of their veth pairs. Empty removes none.
    type: str
    default: ""
  nftables:
    description: Tables of nftables to remove, as C(family name).
    type: list
    elements: str
    default: []
  iptables_chains:
    description: Beginnings of the names of chains of iptables and ip6tables to remove, with the rules that lead there.
    type: list
    elements: str
    default: []
  cgroups:
    description: Names of top-level cgroups to remove once they are empty.
    type: list
    elements: str
    default: []
  dead_sockets:
    description: Directories from which sockets are removed that no process has bound any more.
    type: list
    elements: path
    default: []
  paths:
    description: Files and directories to remove. Of a mount point the content is removed and the mount stays.
    type: list
    elements: path
    default: []
  empty_directories:
    description: Directories to remove if nothing is left in them, the inner ones named first.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - The wasinn.cluster authors (@wasinn)
"""

EXAMPLES = r"""
- name: End the pods that a stopped k3s left
  wasinn.cluster.node_cleanup:
    executables: [/var/lib/rancher/k3s/]
    mounts: [/run/k3s, /var/lib/kubelet]
    interfaces: [cni0]
    paths: [/var/lib/rancher/k3s, /etc/rancher/k3s]
    empty_directories: [/var/lib/rancher, /etc/rancher]
"""

RETURN = r"""
removed:
  description: What was found and ended, by kind. In check mode what would be.
  returned: always
  type: dict
  sample: {"processes": [812, 840], "mounts": ["/run/k3s/containerd/x/rootfs"], "interfaces": ["cni0"]}
"""

import json
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils import cleanup


def nft_tables(module: AnsibleModule, wanted: list[str]) -> list[str]:
    """Return those of the wanted tables that exist."""
    nft = module.get_bin_path("nft")
    if not nft or not wanted:
        return []
    _rc, out, _err = module.run_command([nft, "list", "tables"])
    existing = {line.removeprefix("table ").strip() for line in out.splitlines()}
    return [table for table in wanted if table in existing]


def iptables_left(module: AnsibleModule, prefixes: list[str]) -> dict[str, str]:
    """Return for C(iptables) and C(ip6tables) the rules without our chains, where there are such chains."""
    left = {}
    for program in ("iptables", "ip6tables") if prefixes else ():
        save = module.get_bin_path(f"{program}-save")
        if save:
            _rc, rules, _err = module.run_command([save])
            kept = cleanup.without_chains(rules, prefixes)
            if kept != rules:
                left[program] = kept
    return left


def pod_routes(module: AnsibleModule, networks: list[str]) -> list[str]:
    """Return the destinations of the routes into the networks."""
    if not networks:
        return []
    ip = module.get_bin_path("ip", required=True)
    listings = [module.run_command([ip, version, "-json", "route", "show"])[1] for version in ("-4", "-6")]
    try:
        return [destination for listing in listings for destination in cleanup.routes_into(networks, listing)]
    except ValueError as exc:
        module.fail_json(msg=f"{exc}. Remedy: write networks like 10.42.0.0/16.")


def remove_pairs(module: AnsibleModule, ip: str, namespace: str) -> None:
    """Remove a namespace's ends of veth pairs, and so the host's: sockets of ended processes that wait for an answer, as behind
    a firewall that drops it, keep a namespace alive for minutes after its name is gone (tcp(7), tcp_orphan_retries)."""
    _rc, out, _err = module.run_command([ip, "-netns", namespace, "-json", "link", "show", "type", "veth"])
    for link in json.loads(out or "[]"):
        if "ifname" in link:  # iproute2 before 5.0 has an empty item for each link of another type
            module.run_command([ip, "-netns", namespace, "link", "delete", link["ifname"]])


def mounts_of(module: AnsibleModule) -> list[str]:
    """Return what is to be unmounted now."""
    return cleanup.mounts_under(module.params["mounts"], module.params["paths"])


def unmount(module: AnsibleModule) -> None:
    """Unmount it all. What stays would have its content removed with the directory that it lies in."""
    for point in mounts_of(module):
        _rc, _out, said = module.run_command([module.get_bin_path("umount", required=True), "--lazy", point])
        if point in mounts_of(module):
            module.fail_json(
                msg=f"{point} cannot be unmounted ({said.strip()}). Remedy: unmount it and run the reset again."
            )


def remove(module: AnsibleModule, found: dict[str, list[Any]]) -> None:
    """Remove what was found, in the order in which it depends on each other."""
    try:
        cleanup.end_processes(module.params["executables"])
    except TimeoutError as exc:
        module.fail_json(msg=str(exc))
    ip = module.get_bin_path("ip", required=bool(found["interfaces"] or found["network_namespaces"] or found["routes"]))
    for namespace in found["network_namespaces"]:
        remove_pairs(module, ip, namespace)
    unmount(module)
    for namespace in found["network_namespaces"]:
        module.run_command([ip, "netns", "delete", namespace])
    for interface in cleanup.interfaces_of(module.params["interfaces"]):
        module.run_command([ip, "link", "delete", interface])
    for destination in pod_routes(module, module.params["routes"]):  # those of interfaces are gone with them
        module.run_command([ip, "route", "delete", destination])
    for table in found["nftables"]:
        module.run_command([module.get_bin_path("nft", required=True), "delete", "table", *table.split()])
    for program, rules in iptables_left(module, module.params["iptables_chains"]).items():
        module.run_command([module.get_bin_path(f"{program}-restore", required=True)], data=rules, check_rc=True)
    cleanup.remove_cgroups(found["cgroups"])
    try:
        for path in cleanup.dead_sockets_in(module.params["dead_sockets"]) + found["paths"]:
            cleanup.remove_path(path)
    except OSError as exc:
        module.fail_json(
            msg=f"{exc.filename} cannot be removed ({exc.strerror}). Remedy: free it and run the reset again."
        )
    for path in cleanup.empty_of(module.params["empty_directories"], []):
        os.rmdir(path)


def main() -> None:
    """Read the parameters, find, remove, report."""
    module = AnsibleModule(
        argument_spec={
            "executables": {"type": "list", "elements": "str", "default": []},
            "mounts": {"type": "list", "elements": "str", "default": []},
            "interfaces": {"type": "list", "elements": "str", "default": []},
            "routes": {"type": "list", "elements": "str", "default": []},
            "network_namespaces": {"type": "str", "default": ""},
            "nftables": {"type": "list", "elements": "str", "default": []},
            "iptables_chains": {"type": "list", "elements": "str", "default": []},
            "cgroups": {"type": "list", "elements": "str", "default": []},
            "dead_sockets": {"type": "list", "elements": "path", "default": []},
            "paths": {"type": "list", "elements": "path", "default": []},
            "empty_directories": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    paths = cleanup.paths_of(module.params["paths"])
    found: dict[str, list[Any]] = {
        "processes": cleanup.processes_of(module.params["executables"]),
        "mounts": mounts_of(module),
        "interfaces": cleanup.interfaces_of(module.params["interfaces"]),
        "routes": pod_routes(module, module.params["routes"]),
        "network_namespaces": cleanup.namespaces_of(module.params["network_namespaces"]),
        "nftables": nft_tables(module, module.params["nftables"]),
        "iptables": list(iptables_left(module, module.params["iptables_chains"])),
        "cgroups": cleanup.cgroups_of(module.params["cgroups"]),
        "dead_sockets": cleanup.dead_sockets_in(module.params["dead_sockets"]),
        "paths": paths,
        "empty_directories": cleanup.empty_of(module.params["empty_directories"], paths),
    }
    changed = any(found.values())
    if changed and not module.check_mode:
        remove(module, found)
    module.exit_json(changed=changed, removed=found)


if __name__ == "__main__":
    main()
