# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a machine can become a node: everything that would otherwise fail late, looked at before anything changes.

Only reads. Each check is a method of :class:`Machine`; *root* lets tests look at another tree than the machine's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.distribution import (
    first_release,
    read_distribution,
    version_tuple,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding, human_bytes
from ansible_collections.wasinn.cluster.plugins.module_utils.loader import node_glibc
from ansible_collections.wasinn.cluster.plugins.module_utils.neighbours import taken
from ansible_collections.wasinn.cluster.plugins.module_utils.ports import listeners, read

#: RFC 1123 subdomain, as Kubernetes wants a node's name.
NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
UNIT_FOLDERS = (
    *("etc/systemd/system", "run/systemd/system"),
    *("usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"),
)
#: Units of other ways to run Kubernetes; k3s' own are ours only if they say so.
KUBERNETES_UNITS = {
    "kubelet.service": "a kubelet (kubeadm or a distribution's package)",
    "rke2-server.service": "RKE2",
    "rke2-agent.service": "RKE2",
    "k0scontroller.service": "k0s",
    "k0sworker.service": "k0s",
    "snap.microk8s.daemon-kubelite.service": "MicroK8s",
    "k3s.service": "k3s",
    "k3s-agent.service": "k3s",
}
#: Clusters that are there already and may be used, by the value of k3s_existing that says so.
EXISTING = {
    "kubeadm": ("kubelet.service",),
    "rke2": ("rke2-server.service", "rke2-agent.service"),
    "k3s": ("k3s.service", "k3s-agent.service"),
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """Collects findings about this machine."""

    def __init__(self, root: str = "/"):
        self.root = root
        self.findings: list[Finding] = []

    def _path(self, *parts: str) -> str:
        return os.path.join(self.root, *(part.lstrip("/") for part in parts))

    def _say(self, check: str, cause: str, remedy: str) -> None:
        self.findings.append(finding(check, cause, remedy))

    def system(self, architectures: Iterable[str], glibc: str, python: str) -> None:
        """Kernel, architecture, C library, Python."""
        if platform.system() != "Linux":
            self._say("os", f"This machine runs {platform.system()}.", "Use a machine with Linux.")
        allowed = list(architectures)
        if allowed and platform.machine() not in allowed:
            cause = f"This machine is {platform.machine()}; there are artifacts for {', '.join(allowed)} only."
            self._say("architecture", cause, "Use another machine, or add the architecture to the catalogue.")
        found = node_glibc()
        if glibc and not found:
            cause = "This machine's C library is not glibc (perhaps musl), which WasmEdge's plugins need."
            self._say("glibc", cause, "Use a distribution with glibc, such as Debian, Ubuntu or a RHEL relative.")
        elif glibc and version_tuple(found) < version_tuple(glibc):
            cause = f"This machine has glibc {found}; the runtime needs {glibc} or newer."
            newer = first_release(f"GLIBC_{glibc}", read_distribution(self._path("etc/os-release")))
            self._say("glibc", cause, f"Use {newer} on this machine.")
        if python and sys.version_info[:2] < version_tuple(python)[:2]:
            cause = f"Ansible runs Python {platform.python_version()} here; {python} or newer is needed."
            self._say("python", cause, "Install a newer Python and set ansible_python_interpreter to it.")

    def rights(self) -> None:
        """Root, without which nothing can be installed."""
        if os.geteuid() != 0:
            self._say("root", f"The task runs as user {os.geteuid()}, not as root.", "Set become to true.")

    def systemd(self) -> None:
        """systemd as the first process."""
        first = read(self._path("proc/1/comm"))
        if first != "systemd" or not os.path.isdir(self._path("run/systemd/system")):
            cause = f"The first process of this machine is {first or 'unknown'}, not systemd."
            self._say("systemd", cause, "Use a machine (or container) that boots with systemd.")

    def controllers(self) -> dict[str, Any]:
        """Version and controllers of the cgroups."""
        unified = read(self._path("sys/fs/cgroup/cgroup.controllers"))
        if unified:
            return {"version": 2, "controllers": unified.split()}
        lines = [line.split() for line in read(self._path("proc/cgroups")).splitlines() if not line.startswith("#")]
        names = [
            words[0] for words in lines if words[3] == "1" and os.path.isdir(self._path("sys/fs/cgroup", words[0]))
        ]
        return {"version": 1, "controllers": names}

    def cgroups(self, wanted: Iterable[str]) -> None:
        """The controllers the kubelet cannot do without."""
        missing = [name for name in wanted if name not in self.controllers()["controllers"]]
        if missing:
            remedy = "Enable them on the kernel's command line, e.g. cgroup_enable=memory cgroup_memory=1, and reboot."
            self._say("cgroups", f"The cgroup controllers {', '.join(missing)} are not available.", remedy)

    def memory(self, wanted: int) -> int:
        """Total memory in bytes (that of the container, where it is limited), which is also returned."""
        found = re.search(r"^MemTotal:\s+(\d+) kB", read(self._path("proc/meminfo")), re.MULTILINE)
        total = int(found.group(1)) * 1024 if found else 0
        limit = read(self._path("sys/fs/cgroup/memory.max"))
        total = min(total, int(limit)) if limit.isdigit() else total
        if total < wanted:
            cause = f"This machine has {human_bytes(total)} of memory; {human_bytes(wanted)} are needed."
            self._say("memory", cause, "Give it more memory, or place fewer or smaller models on it.")
        return total

    def disk(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Free bytes for each path, which are also returned; paths on one filesystem are added up."""
        free: dict[str, int] = {}
        devices: dict[int, list[str]] = {}
        for path in wanted:
            place = self._path(path)
            while not os.path.exists(place):
                place = os.path.dirname(place)
            status = os.statvfs(place)
            free[path] = status.f_bavail * status.f_frsize
            devices.setdefault(os.stat(place).st_dev, []).append(path)
        for paths in devices.values():
            needed, left = sum(wanted[path] for path in paths), free[paths[0]]
            if left < needed:
                cause = (
                    f"The disk of {' and '.join(paths)} has {human_bytes(left)} free; {human_bytes(needed)} are needed."
                )
                self._say("disk", cause, "Free some space, or mount a larger disk there.")
        return free

    def writable(self, wanted: Iterable[str]) -> None:
        """Folders that something is installed into; of one that is not there, the one that it would be made in."""
        for path in wanted:
            place = self._path(path)
            while not os.path.exists(place):
                place = os.path.dirname(place)
            if not os.access(place, os.W_OK):
                remedy = "Mount it read-write (findmnt -T tells what is mounted there), or use a machine whose system can be changed."
                self._say("read_only", f"{place} cannot be written, but files have to go to {path}.", remedy)

    def resolves(self, wanted: Iterable[str]) -> None:
        """Names that this machine has to find an address for."""
        for name in wanted:
            try:
                socket.getaddrinfo(name, None)
            except OSError as error:
                cause = f"This machine finds no address for {name} ({error.strerror or error})."
                remedy = "Correct the name, or let the machine resolve it (its DNS server, or /etc/hosts)."
                self._say("dns", cause, remedy)

    def ports(self, wanted: Iterable[Mapping[str, Any]], own_units: Iterable[str]) -> None:
        """Ports nobody but our own units may listen on."""
        own = set(own_units)
        bound = listeners(self.root)
        for entry in wanted:
            port, protocol = entry["port"], entry.get("protocol") or "tcp"
            others = {
                str(item) for item in bound if (item.port, item.protocol) == (port, protocol) and item.unit not in own
            }
            if others:
                cause = f"Port {port}/{protocol} is taken by {', '.join(sorted(others))}."
                self._say("port", cause, "Stop that service, or give it another port.")

    def kernel(self) -> None:
        """What containers and the pod network need of the kernel."""
        if "overlay" not in read(self._path("proc/filesystems")) and not self._module("overlay"):
            cause = "The kernel has no overlay filesystem, which containerd keeps images on."
            self._say("overlay", cause, "Use a kernel with CONFIG_OVERLAY_FS, or install its modules package.")
        names = ("br_netfilter", "nf_tables")
        if not os.path.isdir(self._path("proc/sys/net/bridge")) and not any(self._module(name) for name in names):
            cause = "The kernel has neither br_netfilter nor nf_tables, without which Services cannot work."
            self._say("netfilter", cause, "Use a distribution's kernel, or install its modules package.")
        forward = self._path("proc/sys/net/ipv4/ip_forward")
        if read(forward) != "1" and not os.access(forward, os.W_OK):
            cause = "net.ipv4.ip_forward is off and cannot be written, so pods of other nodes would be out of reach."
            self._say("ip_forward", cause, "Set it on the host; in a container, make /proc/sys writable.")

    def inotify(self, wanted: int = 16) -> None:
        """Whether *wanted* inotify instances can be opened: kubelet and containerd hold about a dozen, and fail without.

        A kubelet that gets none says "inotify_init: too many open files" (measured), far from the cause.
        """
        limit = read(self._path("proc/sys/fs/inotify/max_user_instances")) or "all"
        libc = ctypes.CDLL(None, use_errno=True)
        handles: list[int] = []
        try:
            while len(handles) < wanted:
                handle = libc.inotify_init1(os.O_CLOEXEC)
                if handle < 0:
                    if ctypes.get_errno() == errno.EMFILE:
                        cause = f"Of a user's {limit} inotify instances fewer than {wanted} are left for kubelet and containerd."
                        self._say(
                            "inotify", cause, "Set fs.inotify.max_user_instances=1024 with sysctl and in /etc/sysctl.d."
                        )
                    return
                handles.append(handle)
        finally:
            for handle in handles:
                os.close(handle)

    def _module(self, name: str) -> bool:
        """Whether a kernel module is loaded, built in, or there to be loaded."""
        if os.path.isdir(self._path("sys/module", name)):
            return True
        folder = self._path("lib/modules", platform.release())
        lists = read(os.path.join(folder, "modules.builtin")) + read(os.path.join(folder, "modules.dep"))
        return f"/{name}.ko" in lists

    def name(self, node_name: str) -> str:
        """The node's name, which is also returned: the host's own where *node_name* is empty. k3s lowers its case."""
        chosen = (node_name or platform.node()).lower()
        if not NODE_NAME.fullmatch(chosen) or len(chosen) > 253:
            remedy = "Set a host name of letters, digits and hyphens."
            self._say("hostname", f"The name {chosen!r} cannot be a Kubernetes node's name.", remedy)
        elif chosen.split(".")[0] == "localhost":
            self._say("hostname", "The machine's name is localhost.", "Give each machine a host name of its own.")
        return chosen

    def commands(self, wanted: Iterable[str]) -> None:
        """Programs that have to be installed already."""
        missing = [name for name in wanted if shutil.which(name, path=PATH) is None]
        if missing:
            self._say("command", f"These programs are missing: {', '.join(missing)}.", "Install their packages.")

    def kubernetes(self, own_mark: str, existing: str = "") -> None:
        """Another Kubernetes; units that have *own_mark* in their text are this collection's.

        That of *existing*, a key of :data:`EXISTING`, has to be there, and is nobody else's.
        """
        wanted = EXISTING.get(existing, ())
        seen = {unit: path for unit in KUBERNETES_UNITS if (path := self._unit(unit))}
        ours = [unit for unit, path in seen.items() if own_mark and own_mark in read(path)]
        for unit, path in seen.items():
            if unit in ours or unit in wanted:
                continue
            kind = next((kind for kind, units in EXISTING.items() if unit in units), "")
            cause = f"There is {KUBERNETES_UNITS[unit]} on this machine that this collection did not install ({path})."
            remedy = "Uninstall it first, or use another machine"
            if kind and not existing:
                remedy += (
                    f", or set k3s_existing to {kind}, so that it stays and only models and their runtime are added"
                )
            self._say("kubernetes", cause, f"{remedy}.")
        if not existing:
            return
        if ours:
            cause = (
                f"k3s_existing is {existing}, but this collection installed the k3s of this machine ({seen[ours[0]]})."
            )
            self._say(
                "kubernetes",
                cause,
                "Take k3s_existing out of the inventory, or run wasinn.cluster.reset without it first.",
            )
        elif not any(unit in seen for unit in wanted):
            cause = f"k3s_existing is {existing}, but there is no {' or '.join(wanted)} on this machine."
            remedy = "Let the machine join that cluster first, or take k3s_existing out of the inventory for a k3s of our own."
            self._say("kubernetes", cause, remedy)

    def _unit(self, name: str) -> str:
        """Path of a systemd unit, or nothing."""
        paths = [self._path(folder, name) for folder in UNIT_FOLDERS]
        return next((path for path in paths if os.path.isfile(path)), "")

    def selinux(self, existing: str) -> None:
        """The policy of what is or was installed, where SELinux is enforced, and for our k3s the programs by which files get types.

        :param existing: which Kubernetes is there that is not ours (``kubeadm`` has no policy of its own); empty for none.
        """
        if read(self._path("sys/fs/selinux/enforce")) != "1" or existing == "kubeadm":
            return
        kind = existing or "k3s"
        modules = (f"usr/share/selinux/packages/{kind}.pp", f"var/lib/selinux/targeted/active/modules/200/{kind}")
        if not any(os.path.exists(self._path(module)) for module in modules):
            cause = f"SELinux is enforced on this machine, and it has no policy for {kind}."
            remedy = f"Install the package {kind}-selinux from rpm.rancher.io, or set SELinux to permissive."
            self._say("selinux", cause, remedy)
        if existing:
            return
        missing = [name for name in ("semanage", "restorecon") if not self._program(name)]
        if missing:
            cause = f"SELinux is enforced, and {' and '.join(missing)}, by which files get their types, is missing."
            self._say("selinux", cause, "Install the package policycoreutils-python-utils.")

    def _program(self, name: str) -> bool:
        return any(os.access(self._path(folder, name), os.X_OK) for folder in PATH.split(":"))

    def free(self, addresses: Iterable[str], port: int) -> None:
        """Addresses that the cluster is to take and nobody may have."""
        for address in addresses:
            if taken(address, port):
                cause = f"Somebody answers at {address}, which the cluster's API is to take as its own."
                self._say("address", cause, "Set k3s_api_endpoint to a free address of the servers' network.")

    def clock(self, epoch: float, most: float) -> float:
        """Seconds by which this machine's clock is ahead of *epoch*, which is also returned."""
        ahead = round(time.time() - epoch, 1)
        if abs(ahead) > most:
            word = "ahead of" if ahead > 0 else "behind"
            cause = f"The clock of this machine is {abs(ahead):.0f} s {word} the controller's."
            self._say("clock", cause, "Synchronise both by NTP (chrony, systemd-timesyncd); certificates depend on it.")
        return ahead
