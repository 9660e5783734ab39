# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong outside this collection, really brought about: each ends with a sentence, and the next run finishes.

docs/faults.md is the list. One server and one agent, the same for all faults, each of which is put right again; a few runs
show many faults at once, since findings of all machines are told together.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place
from tests.demo import playbook
from tests.machines import machines
from tests.machines.engine import docker

from .cluster import changes
from .sick import JOIN, Sick, failing, finding, says
from .test_journey import MODEL, MODEL_FILE, MODEL_URL

CHAIN = "nft add table inet fault && nft 'add chain inet fault in { type filter hook input priority -10; }'"
# All have passed, in parts; whole they take longer than is left of make test.
pytestmark = [pytest.mark.in_order, pytest.mark.slow(100)]

NOBODY = "no-such-name.invalid"
WASMEDGE_FILE = "WasmEdge-0.14.1"
SKEW = "/usr/local/lib/python3.13/dist-packages/skew.pth"
QUICK = {"artifacts_timeout": 2, "artifacts_retries": 0}


@pytest.fixture(scope="module")
def sick(scenario, run_playbook, on, inventory, say) -> Sick:
    """Bare machines and an inventory with one small model."""
    folder = inventory.parent / "faults"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "group_vars").mkdir(parents=True)
    variables = yaml.safe_load((inventory / "group_vars" / "k3s_cluster.yml").read_text(encoding="utf-8"))
    variables["models_catalogue"] = [model for model in variables["models_catalogue"] if model["name"] == MODEL]
    (folder / "group_vars" / "k3s_cluster.yml").write_text(yaml.safe_dump(variables), encoding="utf-8")
    cluster = Sick(scenario, partial(run_playbook, inventory=folder), on)
    cluster.folder, cluster.join = folder, folder / "join.yml"
    cluster.hosts = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))
    cluster.join.write_text(JOIN, encoding="utf-8")
    cluster.write()
    machines.renew(scenario, say)
    return cluster


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


# -- sources that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("404", r"wasmedge: the mirror has no .* \(404 .*\); add it to the mirror"),
        ("503", r"wasmedge: .* answered 503 .*gave up after 1 attempts, run again"),
        ("hangs", r"wasmedge: .*(?:timed out|cannot be reached).*run again"),
        ("login", r"wasmedge: .* has a wrong checksum: expected sha256 .*run again"),
    ],
    ids=["no such file", "not now", "hangs", "login page"],
)
def test_a_mirror_that_fails(sick, tmp_path, way, sentence):
    seed(tmp_path)
    with failing(WASMEDGE_FILE, way) as (url, _served):
        result = sick.play("site", extra={"artifacts_mirror": url, "artifacts_cache": str(tmp_path), **QUICK})
    says(result, sentence)
    assert not list(tmp_path.rglob("*.part")) or way == "hangs"


def test_a_dead_mirror(sick, tmp_path):
    result = sick.play(
        "site", extra={"artifacts_mirror": "http://127.0.0.1:9", "artifacts_cache": str(tmp_path), **QUICK}
    )
    says(
        result,
        r"127\.0\.0\.1:9 cannot be reached \(.*Connection refused.*\): check the network, the proxy and artifacts_mirror",
    )


def test_a_mirror_whose_name_is_not_resolved(sick, tmp_path):
    result = sick.play(
        "site", extra={"artifacts_mirror": f"http://{NOBODY}", "artifacts_cache": str(tmp_path), **QUICK}
    )
    says(result, rf"{NOBODY} cannot be reached \(.*\): check the network, the proxy and artifacts_mirror")


def test_a_cache_that_cannot_be_written(sick, tmp_path):
    (tmp_path / "file").touch()
    result = sick.play("site", extra={"artifacts_cache": str(tmp_path / "file" / "cache")})
    says(result, r"file/cache.*(?:cannot be written|Not a directory).*(?:run again|artifacts_cache)")


# -- runs that are cut off ---------------------------------------------------------------------------------------------


def test_a_mirror_that_dies_in_the_middle_and_a_controller_that_is_killed(sick, tmp_path):
    """The download goes on where it ended; the run is then killed while it installs, and its claim on the machines with it."""
    seed(tmp_path)
    child: list[subprocess.Popen[str]] = []

    def watch(line: str) -> None:
        if line.startswith("TASK [wasinn.cluster.wasmedge : Install libwasmedge") and child:
            os.killpg(child[0].pid, signal.SIGKILL)

    with failing(WASMEDGE_FILE, "dies") as (url, served):
        extra = {"artifacts_mirror": url, "artifacts_cache": str(tmp_path), "artifacts_retries": 2}
        result = sick._run_playbook("site", extra_vars=extra, say=watch, started=child.append, new_session=True)
    assert result.rc == -9
    assert served[0] == ""
    assert re.fullmatch(r"bytes=[1-9]\d+-", served[1])
    assert "wasinn.cluster.site" in sick.run("node2", "cat /run/wasinn.lock").stdout


def test_a_machine_that_is_unplugged_while_a_model_is_copied(sick, scenario):
    """Garbage of an earlier run lies where the copy grows, too."""
    part = f"{Path(MODEL_FILE).parent}/.{Path(MODEL_FILE).name}.0000.part"
    sick.run("node2", f"mkdir -p {Path(part).parent} && head -c 1000000 /dev/urandom >{part}")
    network, container = scenario.network, scenario.container("node2")
    try:
        result = sick.play_and(
            "site",
            "wasinn.cluster.models : Copy the models to the node",
            lambda: docker("network", "disconnect", network, container),
        )
    finally:
        docker("network", "connect", "--ip", scenario.address("node2"), network, container)
    says(result, r"(?:was cut off \d times|not responding|timed out|No route to host|Broken pipe|closed by)")
    assert "node2" in result.recap


def test_two_runs_at_once(sick, inventory, say):
    """The first one is not disturbed, and makes the cluster; it also carries on what was cut off before."""
    other = sick.folder.parent / "faults-other"
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(sick.folder, other)
    second: list[playbook.Result] = []
    again = partial(sick._run_playbook, "site", inventory=other)
    threads: list[threading.Thread] = []

    def start() -> None:
        threads.append(threading.Thread(target=lambda: second.append(again())))
        threads[0].start()

    first = sick.play_and("site", "wasinn.cluster.wasmedge : Install libwasmedge", start)
    threads[0].join()
    cause = r"Another run works on this machine since \S+ UTC: wasinn\.cluster\.site of \S+ on \S+, process \d+\."
    says(second[0], finding("node2", "locked", cause))
    assert changes(second[0]) == []
    assert first.rc == 0
    assert sick.run("node2", "ls -A /var/lib/wasinn/models").stdout.split() == [Path(MODEL_FILE).name]
    assert sick.run("node2", "ls /run/wasinn.lock", check=False).returncode != 0


# -- machines that do not join -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def joined(sick) -> None:
    """Both machines are nodes, also where these tests run alone."""
    if sick.run("node2", "systemctl is-active k3s-agent", check=False).returncode != 0:
        assert sick.play(str(sick.join), "--limit", "node1").rc == 0  # agents ask a server that is there
        assert sick.play(str(sick.join)).rc == 0


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        ("K10{hash}::server:wrong", r"The (?:cluster|server at \S+) does not take the machine's token\."),
        (
            "K10" + "0" * 64 + "::server:wrong",
            r"The machine(?:'s token is| has the token or the certificates) of another cluster",
        ),
    ],
    ids=["wrong token", "token of another cluster"],
)
def test_a_wrong_token(sick, joined, token, cause):
    whole = sick.run("node1", "cat /var/lib/rancher/k3s/server/token").stdout.strip()
    with sick.inventory(k3s_token=token.format(hash=whole.removeprefix("K10").partition("::")[0]), k3s_join_timeout=20):
        result = sick.play(str(sick.join))
    line = says(result, rf"node2: the service k3s-agent .*{cause}.*Remedy: .*k3s_token")
    assert "TCP 6443" in line or "journalctl -u k3s-agent" in line
    assert whole.rpartition(":")[2] not in result.output


def test_a_machine_that_was_made_anew_under_its_name(sick, joined):
    """The remedy is what helps: the old node is deleted."""
    sick.run("node2", "systemctl stop k3s-agent && rm /etc/rancher/node/password")
    with sick.inventory(k3s_join_timeout=20):
        result = sick.play(str(sick.join))
    says(
        result,
        "node2: the service k3s-agent .*The cluster has a node of this name already.*Remedy: .*kubectl delete node",
    )
    sick.run("node1", "k3s kubectl delete node node2")


def test_a_firewall_between_agent_and_server(sick, joined, scenario):
    rule = f"{CHAIN} && nft add rule inet fault in ip saddr {scenario.address('node2')} tcp dport 6443 drop"
    sick.run("node2", "systemctl stop k3s-agent && rm -rf /var/lib/rancher/k3s/agent/etc")
    with sick.broken("node1", rule, "nft delete table inet fault"), sick.inventory(k3s_join_timeout=20):
        result = sick.play(str(sick.join))
    says(result, r"node2: the service k3s-agent .*does not reach .*Remedy: .*firewall keeps it from TCP 6443")


def test_a_firewall_between_controller_and_api(sick, joined, scenario):
    rule = f"{CHAIN} && nft add rule inet fault in ip saddr {scenario.gateway} tcp dport 6443 reject with tcp reset"
    with sick.broken("node1", rule, "nft delete table inet fault"):
        result = sick.play(str(sick.join), "--limit", "node1", extra={"k3s_join_timeout": 40})
    says(result, r"node1: The controller does not reach the API at https://\S+:6443\. Remedy: .*k3s_api_endpoint")


def test_a_kubeconfig_of_another_cluster(sick, joined):
    text = sick.kubeconfig.read_text(encoding="utf-8")
    try:
        sick.kubeconfig.write_text(text.replace(":6443", ":6444"), encoding="utf-8")
        result = sick.play("verify")
    finally:
        sick.kubeconfig.write_text(text, encoding="utf-8")
    says(
        result,
        r"node\d: \[label\] The node's label could not be set: .*Remedy: See that the API answers the controller",
    )


def test_everything_is_well_again(sick):
    """k3s killed on both machines, a model cut short, a controller that dies while it imports an image: one run mends it all."""
    if sick.run("node2", f"test -e {MODEL_FILE}", check=False).returncode != 0:  # where this test runs alone
        assert sick.play("site").rc == 0
    for node, unit in (("node1", "k3s"), ("node2", "k3s-agent")):
        sick.run(node, f"systemctl kill -s KILL {unit}")
    sick.run("node2", f"truncate -s 50000000 {MODEL_FILE}")
    killed = sick.play_and_kill("site", at="wasinn.cluster.workload : Import the image")
    assert killed.rc == -9, killed.output[-3000:]
    assert sick.play("site").rc == 0
    assert "Paris" in sick.report.read_text(encoding="utf-8")
    again = sick.play("site")
    assert (again.rc, changes(again)) == (0, [])


def seed(cache: Path) -> None:
    """The model in a cache, so that only what fails is asked for."""
    target = cache / MODEL_URL.removeprefix("https://")
    target.parent.mkdir(parents=True)
    target.symlink_to(place(MIRROR, MODEL_URL))
