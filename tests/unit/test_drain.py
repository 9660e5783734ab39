# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role k3s: how long a drain asks a budget again, against a server that answers what the API server does."""

from __future__ import annotations

import http.server
import json
import sys
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.kubernetes_api import Handler, serving, write_kubeconfig

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


class _Handler(Handler):
    server: Api

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/version":
            return self.send({"major": "1", "minor": "34", "gitVersion": "v1.34.4"})
        if path == "/api":
            return self.send({"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            version = {"groupVersion": "policy/v1", "version": "v1"}
            group = {"name": "policy", "versions": [version], "preferredVersion": version}
            return self.send({"kind": "APIGroupList", "groups": [group]})
        if path in KINDS:
            verbs = ["get", "list", "patch"]
            resources = [
                {"name": name, "kind": kind, "namespaced": inside, "singularName": "", "verbs": verbs}
                for name, kind, inside in KINDS[path]
            ]
            api = path.removeprefix("/apis/").removeprefix("/api/")
            return self.send({"kind": "APIResourceList", "groupVersion": api, "resources": resources})
        if path == "/api/v1/nodes/node1":
            return self._node()
        if path == "/api/v1/pods":
            self.server.drains += 1
            query = urllib.parse.parse_qs(self.path.partition("?")[2])
            wanted = dict(label.split("=") for label in query.get("labelSelector", []))
            pods = [pod for pod in self.server.pods if wanted.items() <= pod["metadata"]["labels"].items()]
            return self._list("v1", "Pod", pods)
        if path == "/api/v1/namespaces/default/pods/guarded-1" and self.server.pods:
            return self.send({"kind": "Pod", "apiVersion": "v1", **self.server.pods[0]})
        if path.endswith("/poddisruptionbudgets"):
            return self._list("policy/v1", "PodDisruptionBudget", BUDGETS)
        return self.status(404, "Not Found")

    def do_PATCH(self) -> None:
        self.server.cordoned = json.loads(self.read())["spec"]["unschedulable"]
        self._node()

    def do_POST(self) -> None:
        self.read()
        self.server.asked.append(time.monotonic())
        if len(self.server.asked) <= self.server.refusals:
            return self.status(429, REFUSED)
        if not self.server.stays:
            self.server.pods.clear()
        return self.send({"kind": "Status", "apiVersion": "v1", "status": "Success"}, 201)

    def _node(self) -> None:
        spec = {"unschedulable": self.server.cordoned}
        self.send({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node1"}, "spec": spec})

    def _list(self, version: str, kind: str, items: list[dict[str, Any]]) -> None:
        self.send({"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": items})


class Api(http.server.ThreadingHTTPServer):
    """A node with one pod, whose budget refuses its eviction a number of times."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cordoned = False
        self.refusals = 0
        self.stays = False
        self.drains = 0
        self.asked: list[float] = []
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "guarded", "uid": "1"}
        metadata = {
            "name": "guarded-1",
            "namespace": "default",
            "labels": {"app": "guarded"},
            "ownerReferences": [owner],
        }
        spec = {"nodeName": "node1", "containers": [{"name": "c"}]}
        self.pods: list[dict[str, Any]] = [{"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}]


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as server:
        yield server


@pytest.fixture
def drain(play_in, api, tmp_path):
    """``drain(timeout, **variables) -> (exit status, output)``."""
    write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{api.server_port}")
    (tmp_path / "play.yml").write_text(PLAY)

    def run(timeout: int, **variables: Any) -> tuple[int, str]:
        extra = variables | {
            "ansible_python_interpreter": sys.executable,
            "k3s_node_name": "node1",
            "k3s_kubeconfig": str(tmp_path / "kubeconfig"),
            "k3s_drain_timeout": timeout,
        }
        return play_in(tmp_path, "-i", "localhost,", "-c", "local", "play.yml", "-e", json.dumps(extra))

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
    status, output = drain(300)
    assert (status != 0, api.drains) == (True, 1)
    assert "cannot delete Pods not managed by" in output
    assert not api.asked


@pytest.mark.parametrize(("label", "asked"), [("guarded", 1), ("other", 0)])
def test_only_pods_of_the_label_go(api, drain, label, asked):
    status, output = drain(60, k3s_drained_pods=[f"app={label}"])
    assert (status, len(api.asked), api.cordoned) == (0, asked, True), output
