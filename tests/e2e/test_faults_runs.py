# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are cut off, or meet another one, and a cluster that is hit: the next run finishes.

The tests build on each other: the cluster is made by the run that is not disturbed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.demo import playbook
from tests.machines.engine import docker

from .cluster import changes
from .sick import WASMEDGE_FILE, failing, finding, says, seed
from .test_journey import MODEL_FILE

pytestmark = [pytest.mark.in_order, pytest.mark.slow(24)]


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


def test_a_kubeconfig_of_another_cluster(sick):
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
