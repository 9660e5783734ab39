# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of a machine: on this one where it can be, on a written tree for what this one has not got."""

from __future__ import annotations

import os
import resource
import socket
import time
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import neighbours, node_checks
from ansible_collections.wasinn.cluster.plugins.module_utils.node_checks import Machine
from ansible_collections.wasinn.cluster.plugins.module_utils.ports import listeners, unit_of


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def checks(machine: Machine) -> list[str]:
    for item in machine.findings:
        assert item["cause"].endswith(".")
        assert item["remedy"].endswith(".")
    return [item["check"] for item in machine.findings]


def test_this_machine_is_a_linux_with_glibc() -> None:
    machine = Machine()
    machine.system([os.uname().machine], "2.28", "3.9")
    machine.commands(["sh", "ls"])
    assert checks(machine) == []
    assert machine.memory(1) > 1 << 28


def test_what_this_machine_is_not() -> None:
    machine = Machine()
    machine.system(["s390x"], "99.1", "9.9")
    machine.commands(["sh", "no-such-program"])
    machine.memory(1 << 60)
    assert checks(machine) == ["architecture", "glibc", "python", "command", "memory"]
    assert "no-such-program" in machine.findings[3]["cause"]


def test_musl(monkeypatch) -> None:
    monkeypatch.setattr(node_checks, "node_glibc", lambda: "")
    machine = Machine()
    machine.system([], "2.28", "3.9")
    assert checks(machine) == ["glibc"]


def test_old_glibc_names_the_release_that_will_do(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(node_checks, "node_glibc", lambda: "2.31")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=ubuntu\nID_LIKE=debian\n")
    machine = Machine(str(tmp_path))
    machine.system([], "2.34", "3.9")
    (item,) = machine.findings
    assert item["cause"] == "This machine has glibc 2.31; the runtime needs 2.34 or newer."
    assert item["remedy"] == "Use Ubuntu 22.04 or newer on this machine."


def test_own_socket_is_found_with_its_process() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        ports = {"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]}
        mine = Path("/proc/self/comm").read_text().strip()
        for protocol, port in ports.items():
            (entry,) = [item for item in listeners() if (item.port, item.protocol) == (port, protocol)]
            assert entry.process == mine
        machine = Machine()
        machine.ports([{"port": ports["tcp"], "protocol": "tcp"}], [])
        assert checks(machine) == ["port"]
        assert mine in machine.findings[0]["cause"]
    machine = Machine()
    machine.ports([{"port": ports["tcp"], "protocol": "tcp"}], [])
    assert checks(machine) == []


def test_unit_of_a_process() -> None:
    assert unit_of("0::/system.slice/k3s.service") == "k3s.service"
    assert unit_of("0::/system.slice/k3s.service/containerd") == "k3s.service"
    assert unit_of("12:pids:/system.slice/ssh.service\n0::/") == "ssh.service"
    assert unit_of("0::/user.slice/user-0.slice/session-3.scope") == "session-3.scope"
    assert unit_of("0::/") == ""


def test_port_of_our_own_unit(tmp_path: Path) -> None:
    line = "   0: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 {} 1 0\n"
    write(tmp_path / "proc/net/tcp6", "header\n" + line.format(77) + line.format(0))
    write(tmp_path / "proc/12/comm", "k3s-server\n")
    write(tmp_path / "proc/12/cgroup", "0::/system.slice/k3s.service\n")
    (tmp_path / "proc/12/fd").mkdir()
    (tmp_path / "proc/12/fd/5").symlink_to("socket:[77]")
    write(tmp_path / "proc/12/fd/6", "")  # no link: as one that is closed before it is read
    machine = Machine(str(tmp_path))
    machine.ports([{"port": 6443}], ["k3s.service"])
    assert checks(machine) == []
    machine.ports([{"port": 6443}], ["other.service"])
    assert "k3s-server (k3s.service)" in machine.findings[0]["cause"]


@pytest.mark.parametrize("first", ["systemd", "init", ""])
def test_systemd(tmp_path: Path, first: str) -> None:
    write(tmp_path / "proc/1/comm", first + "\n")
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    machine = Machine(str(tmp_path))
    machine.systemd()
    assert checks(machine) == ([] if first == "systemd" else ["systemd"])


def test_cgroups_of_both_versions(tmp_path: Path) -> None:
    machine = Machine(str(tmp_path))
    text = "#subsys_name hierarchy num_cgroups enabled\ncpu 1 1 1\nmemory 2 1 0\npids 3 1 1\n"
    write(tmp_path / "proc/cgroups", text)
    (tmp_path / "sys/fs/cgroup/cpu").mkdir(parents=True)
    assert machine.controllers() == {"version": 1, "controllers": ["cpu"]}
    machine.cgroups(["cpu", "memory", "pids"])
    assert "memory, pids" in machine.findings[0]["cause"]
    write(tmp_path / "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    machine = Machine(str(tmp_path))
    machine.cgroups(["cpu", "memory", "pids"])
    assert checks(machine) == []
    assert machine.controllers()["version"] == 2


def test_memory_of_a_limited_container(tmp_path: Path) -> None:
    write(tmp_path / "proc/meminfo", "MemTotal:        8000000 kB\n")
    write(tmp_path / "sys/fs/cgroup/memory.max", "1073741824\n")
    assert Machine(str(tmp_path)).memory(0) == 1 << 30
    write(tmp_path / "sys/fs/cgroup/memory.max", "max\n")
    assert Machine(str(tmp_path)).memory(0) == 8000000 * 1024


def test_disk(tmp_path: Path) -> None:
    machine = Machine()
    place = str(tmp_path / "not" / "yet")
    free = machine.disk({place: 1})
    assert free[place] > 0
    assert checks(machine) == []
    # Each fits alone, both together do not.
    machine.disk({place: free[place] * 2 // 3, str(tmp_path / "other"): free[place] * 2 // 3})
    assert checks(machine) == ["disk"]
    assert place in machine.findings[0]["cause"]


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch) -> None:
    """Root may write everywhere but on a read-only mount, as access(2) knows."""
    machine = Machine(str(tmp_path))
    machine.writable(["/opt/wasinn/not/yet"])
    assert checks(machine) == []
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path / "opt"))
    (tmp_path / "opt").mkdir()
    machine.writable(["/opt/wasinn", "/usr/local/bin"])
    assert checks(machine) == ["read_only"]
    assert str(tmp_path / "opt") in machine.findings[0]["cause"]


def test_names_that_are_not_resolved() -> None:
    machine = Machine()
    machine.resolves(["127.0.0.1", "::1", "localhost", "no-such-name.invalid"])
    assert checks(machine) == ["dns"]
    assert "no-such-name.invalid" in machine.findings[0]["cause"]


def test_kernel(tmp_path: Path) -> None:
    machine = Machine(str(tmp_path))
    machine.kernel()
    assert checks(machine) == ["overlay", "netfilter", "ip_forward"]
    write(tmp_path / "proc/filesystems", "nodev\toverlay\n")
    write(tmp_path / "proc/sys/net/ipv4/ip_forward", "0\n")
    write(tmp_path / f"lib/modules/{os.uname().release}/modules.dep", "kernel/net/netfilter/nf_tables.ko.zst:\n")
    machine = Machine(str(tmp_path))
    machine.kernel()
    assert checks(machine) == []


@pytest.mark.parametrize(
    ("name", "good"),
    [("node-1", True), ("NODE-1", True), ("a.b.c", True), ("node_1", False), ("-a", False), ("localhost", False)],
)
def test_node_name(name: str, good: bool) -> None:
    machine = Machine()
    assert machine.name(name) == name.lower()
    assert checks(machine) == ([] if good else ["hostname"])


def test_another_kubernetes(tmp_path: Path) -> None:
    write(tmp_path / "etc/systemd/system/k3s.service", "# wasinn.cluster\n[Unit]\n")
    machine = Machine(str(tmp_path))
    machine.kubernetes("wasinn.cluster")
    assert checks(machine) == []
    write(tmp_path / "etc/systemd/system/k3s.service", "[Unit]\n")
    write(tmp_path / "usr/lib/systemd/system/kubelet.service", "[Unit]\n")
    machine.kubernetes("wasinn.cluster")
    assert checks(machine) == ["kubernetes", "kubernetes"]
    assert "kubelet.service" in machine.findings[0]["cause"]


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ("kubeadm", "usr/lib/systemd/system/kubelet.service"),
        ("rke2", "usr/local/lib/systemd/system/rke2-agent.service"),
        ("k3s", "etc/systemd/system/k3s.service"),
    ],
)
def test_a_kubernetes_that_may_stay(tmp_path: Path, kind: str, unit: str) -> None:
    machine = Machine(str(tmp_path))
    machine.kubernetes("wasinn.cluster", kind)
    assert checks(machine) == ["kubernetes"]
    assert f"k3s_existing is {kind}, but there is no" in machine.findings[0]["cause"]
    write(tmp_path / unit, "[Unit]\n")
    machine = Machine(str(tmp_path))
    machine.kubernetes("wasinn.cluster")
    assert checks(machine) == ["kubernetes"]
    assert f"set k3s_existing to {kind}, so that it stays" in machine.findings[0]["remedy"]
    machine = Machine(str(tmp_path))
    machine.kubernetes("wasinn.cluster", kind)
    assert checks(machine) == []


def test_two_kinds_of_kubernetes_and_our_own_are_no_existing_cluster(tmp_path: Path) -> None:
    write(tmp_path / "usr/lib/systemd/system/kubelet.service", "[Unit]\n")
    write(tmp_path / "usr/lib/systemd/system/k0sworker.service", "[Unit]\n")
    machine = Machine(str(tmp_path))
    machine.kubernetes("wasinn.cluster", "kubeadm")
    assert checks(machine) == ["kubernetes"]
    assert machine.findings[0]["remedy"] == "Uninstall it first, or use another machine."
    write(tmp_path / "etc/systemd/system/k3s.service", "# wasinn.cluster\n[Unit]\n")
    machine = Machine(str(tmp_path))
    machine.kubernetes("wasinn.cluster", "k3s")
    assert "this collection installed the k3s of this machine" in machine.findings[-1]["cause"]


def test_clock() -> None:
    machine = Machine()
    assert abs(machine.clock(time.time(), 60)) < 5
    assert checks(machine) == []
    machine.clock(time.time() + 3600, 60)
    assert checks(machine) == ["clock"]
    assert "behind" in machine.findings[0]["cause"]


def test_inotify_instances_that_are_used_up(tmp_path: Path) -> None:
    machine = Machine(str(tmp_path))
    machine.inotify()
    assert checks(machine) == []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, hard))  # EMFILE as well
    try:
        machine.inotify()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert checks(machine) == ["inotify"]
    assert "16" in machine.findings[0]["cause"]


def test_selinux_asks_for_its_policy_and_tools(tmp_path: Path) -> None:
    write(tmp_path / "sys/fs/selinux/enforce", "0")
    permissive = Machine(str(tmp_path))
    permissive.selinux("")
    assert checks(permissive) == []
    write(tmp_path / "sys/fs/selinux/enforce", "1")
    enforcing = Machine(str(tmp_path))
    enforcing.selinux("")
    assert checks(enforcing) == ["selinux", "selinux"]
    assert "k3s-selinux" in enforcing.findings[0]["remedy"]
    assert "semanage and restorecon" in enforcing.findings[1]["cause"]
    write(tmp_path / "usr/share/selinux/packages/k3s.pp", "")
    for name in ("semanage", "restorecon"):
        write(tmp_path / "usr/sbin" / name, "")
        (tmp_path / "usr/sbin" / name).chmod(0o755)
    ready = Machine(str(tmp_path))
    ready.selinux("")
    assert checks(ready) == []


def test_selinux_asks_an_existing_cluster_for_its_own_policy_alone(tmp_path: Path) -> None:
    write(tmp_path / "sys/fs/selinux/enforce", "1")
    rke2, kubeadm = Machine(str(tmp_path)), Machine(str(tmp_path))
    rke2.selinux("rke2")
    assert ["rke2-selinux" in item["remedy"] for item in rke2.findings] == [True]
    kubeadm.selinux("kubeadm")
    assert checks(kubeadm) == []


def test_an_address_that_somebody_has_is_told() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        machine = Machine()
        machine.free(["127.0.0.1"], port)
        assert checks(machine) == ["address"]
        assert "127.0.0.1" in machine.findings[0]["cause"]
    assert neighbours.taken("127.0.0.1", port)  # who refuses is there


def test_a_neighbour_is_there_only_with_its_hardware(tmp_path: Path) -> None:
    head = "IP address       HW type     Flags       HW address            Mask     Device\n"
    table = tmp_path / "arp"
    table.write_text(
        head
        + "192.0.2.1        0x1         0x2         02:42:0a:d5:08:0b     *        eth0\n"
        + "192.0.2.2        0x1         0x0         00:00:00:00:00:00     *        eth0\n"
    )
    assert neighbours.neighbour("192.0.2.1", str(table))
    assert not neighbours.neighbour("192.0.2.2", str(table))
    assert not neighbours.neighbour("192.0.2.3", str(table))
