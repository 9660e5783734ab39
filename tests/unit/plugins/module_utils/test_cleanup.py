# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container runtime leaves: found on real processes and on made-up /proc and /sys trees."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import cleanup


@pytest.fixture
def sleeper(tmp_path):
    """A process whose executable lies in tmp_path and which has a child elsewhere."""
    program = tmp_path / "runtime" / "shell"
    program.parent.mkdir()
    shutil.copy2("/bin/dash", program)
    process = subprocess.Popen([program, "-c", "/bin/sleep 300 & wait"])
    yield process, str(program.parent)
    process.kill()
    process.wait()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as handle:
        return [int(child) for child in handle.read().split()]


def test_processes_are_found_by_executable_with_their_children(sleeper):
    process, prefix = sleeper
    while not children(process.pid):
        pass
    assert cleanup.processes_of([prefix]) == sorted([process.pid, *children(process.pid)])


def test_processes_are_ended_with_their_children(sleeper):
    process, prefix = sleeper
    while not children(process.pid):
        pass
    (child,) = children(process.pid)
    cleanup.end_processes([prefix])
    process.wait(timeout=5)
    assert not os.path.exists(f"/proc/{child}/exe")


def test_the_calling_process_is_spared():
    assert os.getpid() not in cleanup.processes_of([os.readlink("/proc/self/exe")])


def test_mounts_come_innermost_first(tmp_path):
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mounts").write_text(
        "tmpfs /run/k3s tmpfs rw 0 0\n"
        "tmpfs /run/k3s-not tmpfs rw 0 0\n"
        "overlay /run/k3s/containerd/a\\040b overlay rw 0 0\n"
        "nsfs /run/netns/cni-1 nsfs rw 0 0\n"
        "nsfs /run/netns/mine nsfs rw 0 0\n",
        encoding="utf-8",
    )
    assert cleanup.mounts_under(["/run/k3s", "/run/netns/cni-"], [], str(tmp_path)) == [
        "/run/netns/cni-1",
        "/run/k3s/containerd/a b",
        "/run/k3s",
    ]


def test_a_disk_at_a_path_that_is_emptied_stays_mounted(tmp_path):
    (tmp_path / "self").mkdir()
    table = b"/dev/vdb /var/lib/kubelet ext4 rw 0 0\ntmpfs /var/lib/kubelet/pods/d\xe9j\xc3\xa0 tmpfs rw 0 0\n"
    (tmp_path / "self" / "mounts").write_bytes(table)
    found = cleanup.mounts_under(["/var/lib/kubelet"], ["/var/lib/kubelet"], str(tmp_path))
    assert [os.fsencode(path) for path in found] == [b"/var/lib/kubelet/pods/d\xe9j\xc3\xa0"]


def test_the_ports_of_a_bridge_go_with_it(tmp_path):
    for name in ("cni0/brif/veth1", "cni0/brif/veth0", "eth0"):
        (tmp_path / name).mkdir(parents=True)
    assert cleanup.interfaces_of(["cni0", "flannel.1"], str(tmp_path)) == ["veth0", "veth1", "cni0"]


def test_cgroups_are_found_in_every_hierarchy_innermost_first(tmp_path):
    for name in ("memory/kubepods/pod1", "cpu/kubepods", "cpu/system.slice"):
        (tmp_path / name).mkdir(parents=True)
    found = cleanup.cgroups_of(["kubepods"], str(tmp_path))
    assert found == [str(tmp_path / name) for name in ("cpu/kubepods", "memory/kubepods/pod1", "memory/kubepods")]
    cleanup.remove_cgroups(found)
    assert not (tmp_path / "memory" / "kubepods").exists()
    assert (tmp_path / "cpu" / "system.slice").exists()


def test_routes_into_the_pods_network_are_found():
    listing = """[{"dst": "default", "gateway": "10.0.0.1"}, {"dst": "10.42.1.0/24", "gateway": "10.0.0.12"},
                  {"dst": "10.42.0.7", "dev": "veth1"}, {"dst": "10.4.0.0/16", "dev": "eth0"}]"""
    assert cleanup.routes_into(["10.42.0.0/16"], listing) == ["10.42.1.0/24", "10.42.0.7/32"]
    assert cleanup.routes_into(["fd00::/8"], listing) == []
    assert cleanup.routes_into(["10.42.0.0/16"], "") == []
    with pytest.raises(ValueError, match="does not appear to be"):
        cleanup.routes_into(["pods"], listing)


def test_chains_go_with_the_rules_that_lead_to_them():
    rules = """*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:MY-KUBE - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p tcp -j MY-KUBE
-A KUBE-FIREWALL -j DROP
COMMIT
"""
    assert cleanup.without_chains(rules, ["KUBE-", "CNI-"]).splitlines() == [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        ":MY-KUBE - [0:0]",
        "-A INPUT -p tcp -j MY-KUBE",
        "COMMIT",
    ]
    assert cleanup.without_chains(rules, []) == rules


def test_namespaces_are_chosen_by_the_beginning_of_their_name(tmp_path):
    for name in ("cni-1", "mine"):
        (tmp_path / name).touch()
    assert cleanup.namespaces_of("cni-", str(tmp_path)) == ["cni-1"]
    assert cleanup.namespaces_of("", str(tmp_path)) == []


def test_paths_and_then_empty_directories_are_removed(tmp_path):
    (tmp_path / "etc/rancher/k3s").mkdir(parents=True)
    (tmp_path / "etc/rancher/k3s/config.yaml").touch()
    (tmp_path / "etc/cni/other").mkdir(parents=True)
    (tmp_path / "link").symlink_to("nowhere")
    paths = cleanup.paths_of([str(tmp_path / name) for name in ("etc/rancher/k3s", "link", "absent")])
    assert paths == [str(tmp_path / "etc/rancher/k3s"), str(tmp_path / "link")]
    empty = cleanup.empty_of([str(tmp_path / "etc/rancher"), str(tmp_path / "etc/cni")], paths)
    assert empty == [str(tmp_path / "etc/rancher")]
    for path in paths:
        cleanup.remove_path(path)
    assert os.listdir(tmp_path) == ["etc"]
    assert os.listdir(tmp_path / "etc/rancher") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_mount_point_is_emptied_and_stays(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)
    try:
        (tmp_path / "k3s" / "server").mkdir(parents=True)
        assert cleanup.paths_of([str(tmp_path)]) == [str(tmp_path)]
        cleanup.remove_path(str(tmp_path))
        assert os.listdir(tmp_path) == []
        assert cleanup.paths_of([str(tmp_path)]) == []
        assert cleanup.empty_of([str(tmp_path)], []) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_sockets_that_nobody_has_bound_are_dead(tmp_path):
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as dead:
        living.bind(str(tmp_path / "living"))
        dead.bind(str(tmp_path / "dead"))
        dead.close()
        (tmp_path / "file").touch()
        assert cleanup.dead_sockets_in([str(tmp_path), str(tmp_path / "absent")]) == [str(tmp_path / "dead")]
