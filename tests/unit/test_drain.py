# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role k3s: how long a drain asks a budget again, against a server that answers what the API server does."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: wasinn.cluster.k3s, tasks_from: drain}
"""
KINDS = {
    "/api/v1": [("nodes", "Node", False), ("pods", "Pod", True)],
    "/apis/policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget", True)],
}
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
BUDGETS = [
    {"metadata": {"name": "guard", "namespace": "default"}, "status": {"disruptionsAllowed": 0}},
    {"metadata": {"name": "other", "namespace": "default"}, "status": {"disruptionsAllowed": 1}},
]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Api

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/version":
            return self._send({"major": "1", "minor": "34", "gitVersion": "v1.34.4"})
        if path == "/api":
            return self._send({"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            version = {"groupVersion": "policy/v1", "version": "v1"}
            group = {"name": "policy", "versions": [version], "preferredVersion": version}
            return self._send({"kind": "APIGroupList", "groups": [group]})
        if path in KINDS:
            verbs = ["get", "list", "patch"]
            resources = [
                {"name": name, "kind": kind, "namespaced": inside, "singularName": "", "verbs": verbs}
                for name, kind, inside in KINDS[path]
            ]
            api = path.removeprefix("/apis/").removeprefix("/api/")
            return self._send({"kind": "APIResourceList", "groupVersion": api, "resources": resources})
        if path == "/api/v1/nodes/node1":
            return self._node()
        if path == "/api/v1/pods":
            return self._list("v1", "Pod", self.server.pods)
        if path == "/api/v1/namespaces/default/pods/guarded-1" and self.server.pods:
            return self._send({"kind": "Pod", "apiVersion": "v1", **self.server.pods[0]})
        if path.endswith("/poddisruptionbudgets"):
            return self._list("policy/v1", "PodDisruptionBudget", BUDGETS)
        return self._status(404, "Not Found")

    def do_PATCH(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.cordoned = json.loads(self.rfile.read(length))["spec"]["unschedulable"]
        self._node()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(time.monotonic())
        if len(self.server.asked) <= self.server.refusals:
            return self._status(429, REFUSED)
        if not self.server.stays:
            self.server.pods.clear()
        return self._send({"kind": "Status", "apiVersion": "v1", "status": "Success"}, 201)

    def _node(self) -> None:
        spec = {"unschedulable": self.server.cordoned}
        self._send({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node1"}, "spec": spec})

    def _list(self, version: str, kind: str, items: list[dict[str, Any]]) -> None:
        self._send({"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": items})

    def _status(self, code: int, message: str) -> None:
        self._send({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}, code)

    def _send(self, body: dict[str, Any], code: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Api(http.server.ThreadingHTTPServer):
    """A node with one pod, whose budget refuses its eviction a number of times."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cordoned = False
        self.refusals = 0
        self.stays = False
        self.asked: list[float] = []
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "guarded", "uid": "1"}
        metadata = {"name": "guarded-1", "namespace": "default", "ownerReferences": [owner]}
        spec = {"nodeName": "node1", "containers": [{"name": "c"}]}
        self.pods: list[dict[str, Any]] = [{"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}]


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def drain(exported, api, tmp_path):
    """``drain(timeout) -> (exit status, output)``."""
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{api.server_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump({**config, "current-context": "c"}))
    (tmp_path / "play.yml").write_text(PLAY)

    def run(timeout: int) -> tuple[int, str]:
        extra = {
            "ansible_python_interpreter": sys.executable,
            "k3s_node_name": "node1",
            "k3s_kubeconfig": str(tmp_path / "kubeconfig"),
            "k3s_drain_timeout": timeout,
        }
        program = Path(sys.executable).parent / "ansible-playbook"
        done = subprocess.run(
            [program, "-i", "localhost,", "-c", "local", tmp_path / "play.yml", "-e", json.dumps(extra)],
            env=dict(os.environ, ANSIBLE_NOCOLOR="1", ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2])),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return run


def test_a_budget_that_relents_in_time_is_waited_for(api, drain):
    api.refusals = 2
    status, output = drain(60)
    assert (status, len(api.asked), api.cordoned) == (0, 3, True), output


def test_a_budget_that_does_not_relent_ends_with_its_name_when_the_time_is_over(api, drain):
    api.refusals = 1000
    status, output = drain(8)
    assert status != 0
    assert 1 <= len(api.asked) <= 3
    assert (
        f"the node node1 could not be emptied (k3s_drain_timeout: 8 s): Failed to delete pod default/guarded-1 due to:"
        f" {REFUSED.removesuffix('.')} (guard). Remedy: give the pods another place" in output
    )
    assert not api.cordoned


def test_a_pod_that_is_evicted_and_does_not_end_is_no_success(api, drain):
    api.stays = True
    status, output = drain(5)
    assert status != 0
    assert "(k3s_drain_timeout: 5 s): pods that were evicted have not ended. Remedy: " in output, output
    assert not api.cordoned


def test_a_pod_that_no_time_moves_is_said_at_once(api, drain):
    del api.pods[0]["metadata"]["ownerReferences"]
    began = time.monotonic()
    status, output = drain(300)
    assert status != 0
    assert time.monotonic() - began < 60
    assert "cannot delete Pods not managed by" in output
    assert not api.asked
