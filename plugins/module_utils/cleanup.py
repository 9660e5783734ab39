# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Find and end what a container runtime leaves behind: processes, mounts, interfaces, namespaces, cgroups.

Everything found is read from /proc and /sys, so the same functions serve check mode. Linux only.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import signal
import stat
import time
from typing import Union

from ansible_collections.wasinn.cluster.plugins.module_utils.mounts import mount_path

PROC = "/proc"
CGROUP_ROOT = "/sys/fs/cgroup"


def processes_of(prefixes: list[str], proc: str = PROC) -> list[int]:
    """Return the ids of processes whose executable begins with one of the prefixes, and of their descendants.

    A process of ours whose executable was replaced reads C(path (deleted)), which the prefix covers.
    The calling process and its ancestors are never returned.
    """
    parents: dict[int, int] = {}
    chosen: set[int] = set()
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        pid = int(name)
        try:
            with open(os.path.join(proc, name, "stat"), encoding="utf-8", errors="replace") as handle:
                parents[pid] = int(handle.read().rpartition(")")[2].split()[1])
            executable = os.readlink(os.path.join(proc, name, "exe"))
        except (OSError, IndexError, ValueError):
            continue
        if any(executable.startswith(prefix) for prefix in prefixes):
            chosen.add(pid)
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in chosen and pid not in chosen}
        chosen |= children
        grown = bool(children)
    own = os.getpid()
    while own in parents:
        chosen.discard(own)
        own = parents[own]
    return sorted(chosen)


def end_processes(prefixes: list[str], timeout: float = 20.0) -> None:
    """Kill the processes of C(processes_of) until none is left.

    Raises C(TimeoutError) when some are still there after C(timeout) seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        left = processes_of(prefixes)
        if not left:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"processes {', '.join(map(str, left))} cannot be ended, since they wait in the kernel. "
                "Remedy: restart the machine and run the reset again."
            )
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def mounts_under(prefixes: list[str], emptied: list[str], proc: str = PROC) -> list[str]:
    """Return the mount points that begin with one of the prefixes, innermost first.

    A prefix ending in C(-) matches names, any other a directory and what is below it. A mount point that is one of the paths
    to be C(emptied) stays: it is the machine's, such as a disk for the datastore, and what is on it is to go.
    """
    points = []
    with open(os.path.join(proc, "self", "mounts"), encoding="utf-8", errors="surrogateescape") as handle:
        for line in handle:
            point = mount_path(line.split()[1])
            if point not in emptied and any(
                point == prefix or point.startswith(prefix if prefix.endswith("-") else prefix + "/")
                for prefix in prefixes
            ):
                points.append(point)
    return list(reversed(points))


def interfaces_of(names: list[str], root: str = "/sys/class/net") -> list[str]:
    """Return those of the interfaces that exist, with the ports of a bridge among them first."""
    found: list[str] = []
    for name in names:
        if not os.path.isdir(os.path.join(root, name)):
            continue
        ports = os.path.join(root, name, "brif")
        found += sorted(os.listdir(ports)) if os.path.isdir(ports) else []
        found.append(name)
    return found


Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


def _within(inner: Network, outer: Network) -> bool:
    """Whether a network lies in another one; those of different versions never do."""
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def routes_into(networks: list[str], listing: str) -> list[str]:
    """Return the destinations of the routes that lie within the networks.

    C(listing) is what C(ip -json route show) prints. Raises C(ValueError) for a network that is none.
    """
    wanted = [ipaddress.ip_network(network) for network in networks]
    found = []
    for route in json.loads(listing or "[]"):
        try:
            destination = ipaddress.ip_network(route["dst"])
        except ValueError:  # "default"
            continue
        if any(_within(destination, network) for network in wanted):
            found.append(str(destination))
    return found


def without_chains(rules: str, prefixes: list[str]) -> str:
    """Return what C(iptables-save) prints without the chains whose names begin so, and without rules that name them."""
    ours = re.compile(r"(?:^:|\s)(?:" + "|".join(map(re.escape, prefixes)) + ")") if prefixes else None
    return "".join(line for line in rules.splitlines(True) if not (ours and ours.search(line)))


def namespaces_of(prefix: str, root: str = "/run/netns") -> list[str]:
    """Return the names of network namespaces that begin with the prefix."""
    if not prefix or not os.path.isdir(root):
        return []
    return sorted(name for name in os.listdir(root) if name.startswith(prefix))


def cgroups_of(names: list[str], root: str = CGROUP_ROOT) -> list[str]:
    """Return the directories of the named top-level cgroups in every hierarchy, innermost first."""
    hierarchies = [root] + [os.path.join(root, name) for name in sorted(os.listdir(root))]
    found: list[str] = []
    for hierarchy in hierarchies:
        for name in names:
            top = os.path.join(hierarchy, name)
            if os.path.isdir(top) and not os.path.islink(hierarchy):
                found += [where for where, _dirs, _files in os.walk(top, topdown=False)]
    return found


def remove_cgroups(paths: list[str]) -> None:
    """Remove empty cgroups. One that still has a process is left: the next run finds it again."""
    for path in paths:
        try:
            os.rmdir(path)
        except OSError:
            continue


def dead_sockets_in(folders: list[str], proc: str = PROC) -> list[str]:
    """Return the sockets in the folders that no process has bound any more, such as those of shims that were killed."""
    with open(os.path.join(proc, "net", "unix"), encoding="utf-8", errors="replace") as handle:
        bound = {line.split()[-1] for line in handle}
    found = []
    for folder in folders:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            path = os.path.join(folder, name)
            if stat.S_ISSOCK(os.lstat(path).st_mode) and path not in bound:
                found.append(path)
    return found


def paths_of(paths: list[str]) -> list[str]:
    """Return those of the paths that exist with something to remove: an empty mount point stays as it is."""
    return [path for path in paths if os.path.lexists(path) and not (os.path.ismount(path) and not os.listdir(path))]


def remove_path(path: str) -> None:
    """Remove a file, link or tree. What is mounted at C(path) itself is emptied and stays mounted."""
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
    elif os.path.ismount(path):
        for name in os.listdir(path):
            remove_path(os.path.join(path, name))
    else:
        shutil.rmtree(path)


def empty_of(paths: list[str], leaving: list[str]) -> list[str]:
    """Return the directories that are empty, or will be once C(leaving) is gone. Mount points are never returned."""
    gone = set(leaving)
    for path in paths:
        if not os.path.isdir(path) or os.path.ismount(path):
            continue
        if all(os.path.join(path, name) in gone for name in os.listdir(path)):
            gone.add(path)
    return [path for path in paths if path in gone and path not in leaving]
