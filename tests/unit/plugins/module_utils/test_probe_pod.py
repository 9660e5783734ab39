# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe as a pod: what is asked of the API, and what becomes of its answers. A cluster's own are in tests/e2e."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import kubernetes_validate
import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import probe_pod
from ansible_collections.wasinn.cluster.plugins.module_utils.probe import Question, report
from ansible_collections.wasinn.cluster.plugins.module_utils.probe_pod import Api, Place, Pod, manifest

QUESTION = Question(model="/var/lib/wasinn/models/m.gguf", prompt="The capital of France is", timeout=2)
PLACE = Place(node="node1", namespace="llamaedge", runtime_class="wasinn", image="wasinn.local/probe:0.1.0")
ANSWER = {"text": " Paris.", "tokens_per_second": 30.0, "prompt_tokens": 5, "prompt_ms": 50.0}
PODS = "/api/v1/namespaces/llamaedge/pods"


class Refused(Exception):
    """As the client's: a status and a body."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.body = status, json.dumps({"kind": "Status", "message": message}).encode()


class Cluster:
    """Answers by path; *states* are the pod's, one after the other, the last again and again."""

    def __init__(self, *states: dict[str, Any], log: str = "", events: tuple[str, ...] = ()) -> None:
        self.states, self.log, self.events = list(states), log, events
        self.node: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.left: list[dict[str, Any]] = []
        self.refuse: Refused | None = None
        self.made: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.used = 0

    def request(self, method: str, path: str, body: Any, query_params: list[tuple[str, str]], serialize: bool) -> Any:
        assert serialize is False
        return SimpleNamespace(data=self.answer(method, path, body).encode())

    def answer(self, method: str, path: str, body: Any) -> str:
        name = path.rpartition("/")[2]
        if path == "/api/v1/nodes/node1":
            return json.dumps({"status": self.node})
        if path.endswith("/proxy/stats/summary"):
            containers = [{"name": "probe", "memory": {"usageBytes": self.used}}]
            return json.dumps({"pods": [{"podRef": {"uid": "u"}, "containers": containers}]})
        if path.endswith("/events"):
            return json.dumps({"items": [{"message": message} for message in self.events]})
        if method == "POST":
            if self.refuse:
                raise self.refuse
            self.made.append(body)
            return json.dumps(body)
        if method == "DELETE":
            self.deleted.append(name)
            return "{}"
        if path == PODS:
            return json.dumps({"items": self.left})
        if path.endswith("/log"):
            return self.log
        if path.startswith(PODS):
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return json.dumps({"metadata": {"uid": "u"}, "status": state})
        raise Refused(404, f"{path} not found")


def container(phase: str, **state: Any) -> dict[str, Any]:
    return {"phase": phase, "containerStatuses": [{"name": "probe", "state": state}]}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return container("Pending", waiting={"reason": reason, "message": message})


def ended(code: int, reason: str, message: str = "") -> dict[str, Any]:
    said = {"exitCode": code, "reason": reason, "message": message}
    return container("Failed" if code else "Succeeded", terminated=said)


def ask(cluster: Cluster, expect: str = "") -> dict[str, Any]:
    outcome = Pod(Api(cluster, Refused), PLACE).ask(QUESTION)
    return report(outcome, QUESTION, expect)


def only(answer: dict[str, Any]) -> dict[str, str]:
    (found,) = answer["findings"]
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(probe_pod, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(probe_pod, "PATIENCE", 0.1)


def test_the_pod_is_a_valid_one_and_confined():
    pod = manifest(PLACE, QUESTION, "wasinn-probe-1")
    kubernetes_validate.validate(pod, "1.34", strict=True)
    spec = pod["spec"]
    (one,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert one["securityContext"]["readOnlyRootFilesystem"] is True
    assert [mount["readOnly"] for mount in one["volumeMounts"]] == [True]
    assert one["env"] == [{"name": "WASMEDGE_WASINN_PRELOAD", "value": "default:GGML:AUTO:/models/m.gguf"}]


def test_it_answers_and_is_taken_away():
    running = container("Running", running={})
    cluster = Cluster(
        waiting("ContainerCreating"), running, ended(0, "Completed"), log=f"noise\n{json.dumps(ANSWER)}\n"
    )
    cluster.used = 123_000_000
    answer = ask(cluster, "Paris")
    assert answer["findings"] == []
    assert answer["text"] == " Paris."
    assert answer["prompt_tokens_per_second"] == 100.0
    assert answer["peak_memory_bytes"] == 123_000_000
    assert answer["verdict"] == "passed"
    assert cluster.deleted == [cluster.made[0]["metadata"]["name"]]


def test_a_pod_that_cannot_be_taken_away_spoils_no_answer(monkeypatch):
    cluster = Cluster(ended(0, "Completed"), log=json.dumps(ANSWER))

    def refused(path: str) -> None:
        raise probe_pod.ApiError(403, f"{path} is forbidden")

    api = Api(cluster, Refused)
    monkeypatch.setattr(api, "delete", refused)
    assert Pod(api, PLACE).ask(QUESTION).findings == []


def test_pods_that_an_interrupted_run_left_are_taken_away():
    cluster = Cluster(ended(0, "Completed"), log=json.dumps(ANSWER))
    cluster.left = [
        {"metadata": {"name": "old"}, "status": {"phase": "Failed"}},
        {"metadata": {"name": "of-another"}, "status": {"phase": "Running"}},
    ]
    ask(cluster)
    assert cluster.deleted == ["old", cluster.made[0]["metadata"]["name"]]


@pytest.mark.parametrize(
    ("state", "events", "check"),
    [
        (
            {"phase": "Pending", "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."}]},
            (),
            "node_unreleased",
        ),
        (
            waiting("ErrImageNeverPull", 'Container image "wasinn.local/probe:9" is not present with pull policy of Never'),
            (),
            "image_missing",
        ),
        (
            waiting(
                "ErrImagePull",
                'failed to pull and unpack image "registry.invalid/none:1": failed to resolve reference "registry.invalid/none:1": '
                'failed to do request: Head "https://registry.invalid/v2/none/manifests/1": dial tcp: lookup registry.invalid: no such host',
            ),
            (),
            "image_pull",
        ),
        (waiting("ImagePullBackOff", 'Back-off pulling image "registry.invalid/none:1"'), (), "image_pull"),
        (
            waiting("ContainerCreating"),
            ('Failed to create pod sandbox: rpc error: code = Unknown desc = no runtime for "wasmedge" is configured',),
            "runtime_not_configured",
        ),
        (
            waiting("ContainerCreating"),
            ('MountVolume.SetUp failed for volume "model" : hostPath type check failed: /m.gguf is not a file',),
            "model_missing",
        ),
        (ended(137, "OOMKilled"), (), "memory_killed"),
        (waiting("ContainerCreating"), ("something new",), "pod_pending"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_pod_that_does_not_come_to_answer(state, events, check):
    cluster = Cluster(state, events=events)
    answer = ask(cluster)
    assert only(answer)["check"] == check
    assert answer["verdict"] == "failed"
    assert len(cluster.deleted) == 1


def test_a_pod_that_starts_late_is_no_failure():
    late = [waiting("ErrImageNeverPull", "on its way")] * 3
    cluster = Cluster(*late, ended(0, "Completed"), log=json.dumps(ANSWER))
    assert ask(cluster)["findings"] == []


def test_what_the_shim_said_in_the_log_comes_first():
    said = (
        "containerd-shim-wasmedge: plugin p.so: it has plugin API version 3, but WasmEdge 0.14.1 takes 4 only; get it"
    )
    assert only(ask(Cluster(ended(125, "Error"), log=said)))["check"] == "plugin_api"


def test_a_pod_that_never_ends_is_given_up():
    assert only(ask(Cluster(container("Running", running={}))))["check"] == "timeout"


def test_a_refused_pod():
    cluster = Cluster(ended(0, "Completed"))
    cluster.refuse = Refused(403, 'pods "p" is forbidden: pod rejected: RuntimeClass "wasinn" not found')
    assert only(ask(cluster))["check"] == "runtime_class_missing"
    cluster.refuse = Refused(403, "you may not")
    found = only(ask(cluster))
    assert found["check"] == "pod_refused"
    assert "(403): you may not." in found["cause"]


def test_a_node_that_is_not_there_or_not_ready():
    cluster = Cluster(ended(0, "Completed"))
    cluster.node = {
        "conditions": [{"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting status."}]
    }
    found = only(ask(cluster))
    assert found["check"] == "node_not_ready"
    assert "Kubelet stopped posting status." in found["cause"]
    outcome = Pod(Api(cluster, Refused), Place("node9", "llamaedge", "wasinn", "i")).ask(QUESTION)
    assert [each["check"] for each in outcome.findings] == ["node_missing"]
    assert cluster.made == []
