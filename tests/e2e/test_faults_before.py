# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that are found before anything is changed: docs/faults.md's first list, brought about on one server and one agent.

A few runs show many of them at once, since findings of all machines are told together.
"""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import ExitStack

import pytest

from tests.demo import playbook

from .cluster import changes
from .sick import NOBODY, finding, says

pytestmark = [pytest.mark.in_order, pytest.mark.slow(8)]

SKEW = "/usr/local/lib/python3.13/dist-packages/skew.pth"


def test_an_inventory_without_a_server(sick, tmp_path):
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("all: {children: {k3s_servers: {hosts: {node1: {}}}}}\n")
    result = sick._run_playbook("site", inventory=hosts)
    assert "k3s_servers" in says(result, r"The inventory has no machine in the group k3s_server .*Remedy: ")


# -- machines that cannot be worked on ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def out_of_reach(sick, scenario, tmp_path_factory) -> playbook.Result:
    """One run against a machine for each fault; they are other ways to node2, or to nothing."""
    folder = tmp_path_factory.mktemp("keys")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "other")], check=True)
    key = (folder / "other.pub").read_text().split()
    (folder / "known_hosts").write_text(f"{scenario.address('node2')} {key[0]} {key[1]}\n")
    common = sick.hosts["all"]["children"]["k3s_cluster"]["vars"]["ansible_ssh_common_args"]
    node2 = scenario.address("node2")
    hosts = {
        "unplugged": {"ansible_host": f"{scenario.prefix}.99"},
        "nameless": {"ansible_host": NOBODY},
        "deaf": {"ansible_host": node2, "ansible_port": 2222},
        "locked-out": {"ansible_host": node2, "ansible_ssh_private_key_file": str(folder / "other")},
        "made-anew": {
            "ansible_host": node2,
            "ansible_ssh_common_args": common.replace("{{ demo_ssh }}/known_hosts", str(folder / "known_hosts")),
        },
        "rootless": {"ansible_host": node2, "ansible_user": "op"},
        "pythonless": {"ansible_host": node2, "ansible_python_interpreter": "/opt/python/bin/python3"},
    }
    user = "useradd -m -s /bin/sh op && echo 'op ALL=(ALL) ALL' >/etc/sudoers.d/op && cp -r /root/.ssh /home/op/ && chown -R op /home/op"
    with (
        sick.broken("node2", user, "userdel -r op 2>&1; rm /etc/sudoers.d/op"),
        sick.inventory(hosts),
    ):
        return sick.fresh("site")


@pytest.mark.parametrize(
    ("host", "check", "cause"),
    [
        ("unplugged", "reach_network", r"The machine cannot be reached \("),
        ("nameless", "reach_name", f"The controller finds no address for the name {NOBODY}"),
        ("deaf", "reach_no_ssh", r"The machine \S+ answers, but no SSH server listens on its port 2222"),
        ("locked-out", "reach_key", "The machine does not let the user in"),
        ("made-anew", "reach_host_key", "The machine's host key is not the one that the controller knows"),
        ("rootless", "reach_become_password", "The user needs a password to become root"),
        ("pythonless", "reach_python", "The machine has no Python at /opt/python/bin/python3"),
    ],
    ids=[
        "unplugged",
        "no such name",
        "no SSH server",
        "key refused",
        "another host key",
        "sudo's password",
        "no Python",
    ],
)
def test_a_machine_that_cannot_be_worked_on(out_of_reach, host, check, cause):
    says(out_of_reach, finding(host, check, cause))
    assert not re.search(r"node[12]: \[", out_of_reach.output)
    assert changes(out_of_reach) == []


def test_one_machine_twice(sick, scenario):
    with sick.inventory({"again": {"ansible_host": scenario.address("node2")}}):
        says(sick.play("site"), "Two machines of the inventory have the same address .*Remedy: ")


def test_two_machines_with_one_name(sick):
    with sick.inventory(k3s_node_name="node1"):
        says(sick.play("site"), r"Two machines would get the same node name \(node1, node1\).*Remedy: ")


def test_a_variable_of_another_type(sick):
    result = sick.play("site", extra={"k3s_join_timeout": "soon"})
    says(result, "k3s_join_timeout.*soon.*int")
    assert changes(result) == []


# -- machines that cannot become nodes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unfit(sick) -> playbook.Result:
    """One run against two machines that have everything at once."""
    listen = "systemd-run -q --unit squatter{0} python3 -m http.server {0}; for _ in $(seq 50); do ss -Hltn | grep -q :{0} && exit; sleep 0.1; done; exit 1"
    with ExitStack() as faults:
        for node, port in (("node1", 6443), ("node2", 10250), ("node2", 30080)):
            faults.enter_context(sick.broken(node, listen.format(port), f"systemctl stop squatter{port}"))
        for line, mend in (
            (
                f"mkdir -p {os.path.dirname(SKEW)} && echo 'import time; time.time = lambda real=time.time: real() + 3600' >{SKEW}",
                f"rm {SKEW}",
            ),
            ("mount -t tmpfs -o size=20m tmpfs /opt", "umount /opt"),
            (
                "mkdir /var/lib/wasinn && mount -t tmpfs -o size=30m tmpfs /var/lib/wasinn",
                "umount /var/lib/wasinn && rmdir /var/lib/wasinn",
            ),
            (
                "mount --bind /usr/local/bin /usr/local/bin && mount -o remount,ro,bind /usr/local/bin",
                "umount /usr/local/bin",
            ),
        ):
            faults.enter_context(sick.broken("node2", line, mend))
        return sick.play("site", extra={"k3s_api_endpoint": NOBODY})


@pytest.mark.parametrize(
    ("host", "check", "cause"),
    [
        ("node1", "port", r"Port 6443/tcp is taken by python3 \(squatter6443\.service\)"),
        ("node2", "port", r"Port 10250/tcp is taken by python3 \(squatter10250\.service\)"),
        ("node2", "port", r"Port 30080/tcp is taken by python3 \(squatter30080\.service\)"),
        ("node2", "clock", r"The clock of this machine is 3[56]\d\d s ahead of the controller's"),
        ("node2", "disk", r"The disk of /opt has \S+ MiB free"),
        ("node2", "disk", r"\S+ MiB of models are still to come to /var/lib/wasinn/models"),
        ("node2", "read_only", r"/usr/local/bin cannot be written"),
        ("node2", "dns", f"This machine finds no address for {NOBODY}"),
    ],
    ids=["API's port", "kubelet's port", "node port", "clock", "disk", "models' disk", "read-only", "DNS"],
)
def test_a_machine_that_cannot_become_a_node(unfit, host, check, cause):
    says(unfit, finding(host, check, cause))
    assert changes(unfit) == []
