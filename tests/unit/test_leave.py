# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role k3s where a node leaves or is waited for: which machines stay, and how it ends where the API does not answer."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.unit.kubernetes_api import Handler, discovery, resource, serving, write_kubeconfig

INVENTORY = "k3s_server: {hosts: {node1: {ansible_connection: local}}}"
PLAY = """
- hosts: node1
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: "wasinn.cluster.{{ role }}", tasks_from: "{{ tasks }}"}
"""
ANSWERS = discovery(resource("nodes", "Node", "get", "list", "delete", namespaced=False))
NO_QUORUM = "etcdserver: request timed out, possibly due to previous leader failure"


class _Handler(Handler):
    server: Api

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path in ANSWERS:
            self.send(ANSWERS[path])
        elif path != "/api/v1/nodes/node1" or self.server.gone:
            self.status(404, "not found")
        elif self.server.failure:
            self.status(500, self.server.failure)
        else:
            ready = "True" if self.server.ready > 0 else "Unknown"
            self.server.ready -= 1
            status = {"conditions": [{"type": "Ready", "status": ready}]}
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}, "status": status}
            self.send({**node, "spec": {"unschedulable": self.server.cordoned}})

    def do_PATCH(self) -> None:
        self.server.cordoned = json.loads(self.read())["spec"]["unschedulable"]
        self.do_GET()

    def do_DELETE(self) -> None:
        self.server.gone = True
        self.send({"kind": "Status", "apiVersion": "v1", "status": "Success"})


class Api(http.server.ThreadingHTTPServer):
    """An API with one node, which is Ready for that many questions; of pods it knows nothing, so that no drain ends well."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ready = 0
        self.failure = ""
        self.cordoned = False
        self.gone = False


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as server:
        yield server


@pytest.fixture
def play(play_in, tmp_path):
    """``play(port, tasks, **variables) -> (exit status, output)``."""

    def run(port: int, tasks: str, **variables: Any) -> tuple[int, str]:
        extra = {
            "ansible_python_interpreter": sys.executable,
            "role": "k3s",
            "tasks": tasks,
            "k3s_api_endpoint": "127.0.0.1",
            "k3s_api_port": port,
            "k3s_kubeconfig": str(tmp_path / "kubeconfig"),
            "k3s_join_timeout": 2,
            "k3s_drain_timeout": 1,
            "__k3s_dead_after": 6,
            **variables,
        }
        write_kubeconfig(tmp_path / "kubeconfig", f"http://{extra['k3s_api_endpoint']}:{port}")
        (tmp_path / "hosts.yml").write_text(INVENTORY)
        (tmp_path / "play.yml").write_text(PLAY)
        return play_in(tmp_path, "-i", "hosts.yml", "play.yml", "-e", json.dumps(extra), timeout=120)

    return run


def test_a_machine_that_lives_is_not_taken_for_dead(play, api):
    api.ready = 1000
    status, output = play(api.server_port, "leave", k3s_leaves_dead=True)
    assert status != 0
    assert "node1: Ansible does not reach the machine, but its node node1 is Ready: " in output
    assert "Remedy: Let Ansible in again" in output
    assert not api.gone


def test_a_machine_that_died_just_now_leaves_once_the_api_knows(play, api):
    api.ready = 2
    status, output = play(api.server_port, "leave", k3s_leaves_dead=True)
    assert status == 0, output
    assert api.gone


def test_a_cordon_that_was_there_before_outlives_a_drain_that_fails(play, api):
    api.ready, api.cordoned = 1000, True
    status, output = play(api.server_port, "leave")
    assert status != 0
    assert "could not be emptied" in output
    assert (api.cordoned, api.gone) == (True, False)


def test_a_datastore_without_quorum_is_a_sentence(play, api):
    api.failure = NO_QUORUM
    status, output = play(api.server_port, "leave")
    assert status != 0
    assert "node1: The API at https://127.0.0.1:" in output
    assert "gets no answer from its datastore. Remedy: See that k3s runs on more than half of the servers" in output


LABEL = {"role": "verify", "__verify_labels": {}, "__verify_passed": True}


@pytest.mark.parametrize(
    ("tasks", "given", "said"),
    [
        ("verify", {}, "node1: The controller does not reach the API at https://127.0.0.2:{port}. Remedy: "),
        ("leave", {}, "node1: The controller does not reach the API at https://127.0.0.2:{port}. Remedy: "),
        ("label", LABEL, "Timeout when waiting for 127.0.0.2:{port}"),  # of which verdict.yml makes the sentence
    ],
)
def test_a_firewall_that_drops_is_told_in_time(play, tasks, given, said):
    """A queue of connections that is full drops as a firewall does; on the server itself the API answers."""
    with ExitStack() as open_:
        there = open_.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = there.getsockname()[1]
        deaf = open_.enter_context(socket.create_server(("127.0.0.2", port), backlog=0))
        for _number in range(4):
            waiting = open_.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        began = time.monotonic()
        status, output = play(port, tasks, k3s_api_endpoint="127.0.0.2", **given)
        assert time.monotonic() - began < 60
    assert status != 0
    assert said.format(port=port) in output
