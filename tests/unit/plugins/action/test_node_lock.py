# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that want the same machine at the same time, as real processes on this one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.wasinn.cluster.plugins.module_utils import run_lock

REPO = Path(__file__).parents[4]
COLLECTIONS = Path(run_lock.__file__).parents[5]
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Keep other runs away
      wasinn.cluster.node_lock:
        path: "{{ path }}"
      register: lock
    - ansible.builtin.assert:
        that: lock.findings | length == 0
        fail_msg: "{{ lock.findings | map(attribute='cause') | join }}"
    - name: Work
      ansible.builtin.wait_for:
        path: "{{ path }}.end"
        sleep: 1
    - name: Let other runs at the machine
      wasinn.cluster.node_lock:
        path: "{{ path }}"
        state: absent
"""
ROLE = """
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - ansible.builtin.import_role: {name: wasinn.cluster.node, tasks_from: reach}
"""
FREE = """
- hosts: all
  gather_facts: false
  module_defaults: {wasinn.cluster.node_lock: {path: "{{ path }}"}}
  tasks:
    - ansible.builtin.import_role: {name: wasinn.cluster.node, tasks_from: free}
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(*options)``: a run of the playbook, in a process group of its own."""
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "play.yml").write_text(PLAY)
    known = {"ansible_connection": "local", "path": str(tmp_path / "lock")}
    inventory = {"all": {"hosts": {"node": {"ansible_python_interpreter": sys.executable}}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    children: list[subprocess.Popen[str]] = []

    def run(*options: str) -> subprocess.Popen[str]:
        program = Path(sys.executable).parent / "ansible-playbook"
        argv = [program, "-i", tmp_path / "hosts.json", "-e", json.dumps(known), *options, tmp_path / "play.yml"]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        }
        child = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
        )
        children.append(child)
        return child

    yield run
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout:
            child.stdout.close()


def working(child: subprocess.Popen[str], lock: Path) -> run_lock.Holder:
    """Wait until a run has the machine."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        found = run_lock.look(str(lock), run_lock.Holder(), None, 3600)
        if found is not None and found.pid == child.pid:
            return found
        time.sleep(0.1)
    raise AssertionError(child.communicate()[0])


def test_the_second_run_is_refused_until_the_first_has_ended_or_was_killed(start: Start, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    first = start()
    assert working(first, lock).playbook == "play.yml"

    second = start()
    said = second.communicate(timeout=60)[0]
    assert second.returncode != 0
    assert re.search(rf"Another run works on this machine since \S+ UTC: play\.yml of .*, process {first.pid}\.", said)
    assert start("--check").communicate(timeout=60)[0].count(f"process {first.pid}") > 0

    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    third = start()
    working(third, lock)
    (tmp_path / "lock.end").touch()
    assert "changed=0" in third.communicate(timeout=60)[0]
    assert third.returncode == 0
    assert not lock.exists()


def test_who_only_looks_is_refused_until_the_other_has_ended_and_takes_nothing(start: Start, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    first = start()
    holder = working(first, lock)
    (tmp_path / "play.yml").write_text(FREE)

    looking = start()
    said = looking.communicate(timeout=60)[0]
    assert looking.returncode != 0
    assert re.search(
        rf"node: \[locked\] Another run works on this machine since .*, process {first.pid}\. Remedy: Wait", said
    )
    assert run_lock.look(str(lock), run_lock.Holder(), None, 3600) == holder

    (tmp_path / "lock.end").touch()
    first.communicate(timeout=60)
    free = start()
    assert free.communicate(timeout=60)[0].count("changed=0") == 1
    assert free.returncode == 0
    assert not lock.exists()


@pytest.mark.parametrize("name", ["verify", "report"])
def test_playbooks_that_judge_look_first(name: str) -> None:
    plays = yaml.safe_load((REPO / "playbooks" / f"{name}.yml").read_text(encoding="utf-8"))
    assert plays[0]["ansible.builtin.import_playbook"] == "wasinn.cluster.free"


def test_a_machine_without_python_is_told_with_a_remedy(start: Start, tmp_path: Path) -> None:
    """The others are not kept from telling what is wrong with them, and nothing else runs."""
    (tmp_path / "play.yml").write_text(ROLE)
    hosts = {
        "good": {"ansible_python_interpreter": sys.executable},
        "bare": {"ansible_python_interpreter": "/opt/none/python3"},
        "far": {
            "ansible_connection": "ssh",
            "ansible_host": "no-such-name.invalid",
            "ansible_python_interpreter": "auto",
        },
    }
    inventory = {"all": {"hosts": hosts}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    child = start("-e", json.dumps({"ansible_connection": "{{ 'ssh' if inventory_hostname == 'far' else 'local' }}"}))
    said = child.communicate(timeout=90)[0]
    assert child.returncode != 0
    assert "2 findings stand in the way:" in said
    assert re.search(
        r"bare: \[reach_python\] The machine has no Python at /opt/none/python3\. Remedy: Install python3 there", said
    )
    assert re.search(
        r"far: \[reach_name\] The controller finds no address for the name no-such-name\.invalid\. Remedy: ", said
    )
