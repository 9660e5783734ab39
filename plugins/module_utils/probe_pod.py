# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks a model one question in a pod on a chosen node, and says why the pod did not come to answer.

Runs on the controller, where the kubeconfig is. It has the same fields as a model's pod (role llamaedge), so that what
keeps one from running keeps the other as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.failures import classify
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import finding
from ansible_collections.wasinn.cluster.plugins.module_utils.probe import MODELS, Outcome, Question

Object = dict[str, Any]

LABELS = {"app.kubernetes.io/name": "wasinn-probe", "app.kubernetes.io/managed-by": "wasinn.cluster"}
#: Seconds between two looks at the pod.
WATCH_SECONDS = 0.3
#: Seconds for which a pod may be stuck before it is given up: an image's import or a label may be on its way.
PATIENCE = 6.0
#: Last lines of a pod's log that are read: the answer comes after what llama.cpp says.
LOG_LINES = 1000
#: Bytes of these lines that are read.
LOG_BYTES = 1024 * 1024
#: Reasons of a container that waits and of a pod's conditions that pass by themselves or tell nothing.
USUAL = ("ContainerCreating", "PodInitializing", "ContainersNotReady", "ContainersNotInitialized", "PodCompleted")


@dataclass(frozen=True)
class Place:
    """Where and how the pod runs. *resources* as a container has them; *pull* is its imagePullPolicy."""

    node: str
    namespace: str
    runtime_class: str
    image: str
    pull: str = "IfNotPresent"
    user: int = 65532
    resources: Mapping[str, Any] = field(default_factory=dict)


def manifest(place: Place, question: Question, name: str) -> Object:
    """The pod: the model alone as a volume, no token, nothing it may do beside reading it.

    It takes the way over the scheduler, which says why where it does not fit, and tolerates every taint: a node that is
    cordoned for an upgrade has to be provable. The API server ends it in time, should nobody be there to do so.
    """
    file = os.path.basename(question.model)
    chosen = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [place.node]}]}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": place.namespace, "labels": LABELS},
        "spec": {
            "runtimeClassName": place.runtime_class,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": max(1, int(question.timeout)),
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}],
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": chosen}}
            },
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": place.user,
                "runAsGroup": place.user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": place.image,
                    "imagePullPolicy": place.pull,
                    "args": question.arguments(),
                    "env": [{"name": "WASMEDGE_WASINN_PRELOAD", "value": question.preload(MODELS, file)}],
                    "resources": dict(place.resources),
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "model", "mountPath": f"{MODELS}/{file}", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "model", "hostPath": {"path": question.model, "type": "File"}}],
        },
    }


class ApiError(Exception):
    """The API refused something: its status, and what it said."""

    def __init__(self, status: int, said: str):
        super().__init__(said)
        self.status = status


class Api:
    """The few calls that a probe needs, by path, on *client*, a ``kubernetes.dynamic.DynamicClient``.

    By path, since looking up which kinds there are takes longer than all of the calls. *refused* is its DynamicApiError.
    """

    def __init__(self, client: Any, refused: type[Exception]):
        self._client, self._refused = client, refused

    def get(self, path: str, **query: str) -> Object:
        """An object, or a list of them."""
        answer: Object = json.loads(self.text(path, **query))
        return answer

    def text(self, path: str, **query: str) -> str:
        """What is no object, such as a log: it may look like one."""
        return self._call("GET", path, None, query)

    def create(self, path: str, item: Object) -> Object:
        """The object as it was made."""
        answer: Object = json.loads(self._call("POST", path, item, {}))
        return answer

    def delete(self, path: str) -> None:
        """The kubelet ends what still runs of it."""
        self._call("DELETE", path, None, {})

    def _call(self, method: str, path: str, body: Object | None, query: Mapping[str, str]) -> str:
        try:
            answer = self._client.request(method, path, body=body, query_params=list(query.items()), serialize=False)
        except self._refused as error:
            raise ApiError(getattr(error, "status", 0) or 0, _said(error)) from error
        return str(answer.data.decode("utf-8", "replace"))


def _said(error: Any) -> str:
    """The message in the API's answer, or the answer."""
    body = getattr(error, "body", "") or ""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text or str(error)


@dataclass
class Pod:
    """A pod of the probe on its way."""

    api: Api
    place: Place

    def ask(self, question: Question) -> Outcome:
        """Makes the pod, waits for its end, and takes it away in any case; ``stderr`` has what was said about it."""
        outcome = Outcome([self.place.image, *question.arguments()])
        started = time.monotonic()
        pods = f"/api/v1/namespaces/{self.place.namespace}/pods"
        name = f"wasinn-probe-{secrets.token_hex(6)}"
        try:
            self._look_at_node(outcome)
            if outcome.findings:
                return outcome
            self._sweep(pods)
            self.api.create(pods, manifest(self.place, question, name))
        except ApiError as error:
            remedy = "Correct what it names, or the rights of the kubeconfig's user."
            cause = f"The API refused the probe's pod ({error.status}): {str(error).rstrip('.')}."
            outcome.findings = classify(str(error)) or [finding("pod_refused", cause, remedy)]
            return outcome
        try:
            self._follow(f"{pods}/{name}", name, question, outcome)
        except ApiError as error:
            cause = f"The API no longer tells of the probe's pod {name} ({error.status}): {str(error).rstrip('.')}."
            outcome.findings = [finding("pod_lost", cause, "See who removed it, and that the API server runs.")]
        finally:
            # One that stays has ended, or ends soon; the next probe sweeps it away.
            with contextlib.suppress(ApiError):
                self._remove(f"{pods}/{name}")
        outcome.seconds = time.monotonic() - started
        return outcome

    def _look_at_node(self, outcome: Outcome) -> None:
        """A node that is not there or not ready explains more than a pod that waits for it."""
        try:
            node = self.api.get(f"/api/v1/nodes/{self.place.node}")
        except ApiError as error:
            if error.status != 404:
                raise
            cause = f"The cluster has no node {self.place.node}."
            outcome.findings.append(finding("node_missing", cause, "Let it join (role k3s), or name another one."))
            return
        ready: Object = next((each for each in node["status"].get("conditions") or [] if each["type"] == "Ready"), {})
        if ready.get("status") != "True":
            why = ready.get("message") or ready.get("reason") or "its kubelet has not said so"
            cause = f"The node {self.place.node} is not Ready: {why.rstrip('.')}."
            outcome.findings.append(finding("node_not_ready", cause, "See the journal of k3s or k3s-agent on it."))

    def _sweep(self, pods: str) -> None:
        """Removes pods of the probe on this node that ended, and that nobody took away."""
        labels = ",".join(f"{key}={value}" for key, value in LABELS.items())
        for item in self.api.get(pods, labelSelector=labels, fieldSelector=f"spec.nodeName={self.place.node}")["items"]:
            if item["status"].get("phase") in ("Succeeded", "Failed"):
                self._remove(f"{pods}/{item['metadata']['name']}")

    def _remove(self, path: str) -> None:
        try:
            self.api.delete(path)
        except ApiError as error:
            if error.status != 404:
                raise

    def _follow(self, path: str, name: str, question: Question, outcome: Outcome) -> None:
        """Looks at the pod until it ended, is stuck, or its time is over."""
        began = time.monotonic()
        stuck_since: float | None = None
        running = False
        while True:
            pod = self.api.get(path)
            now = time.monotonic()
            said = list(phrases(pod))
            if pod["status"].get("phase") in ("Succeeded", "Failed"):
                break
            running = any("running" in (each.get("state") or {}) for each in statuses(pod))
            if running:
                outcome.peak_memory_bytes = max(outcome.peak_memory_bytes, self._memory(pod))
            elif now - began > WATCH_SECONDS:
                said += self._warnings(name)
            stuck_since = None if running or not said else stuck_since or now
            if now - began > question.timeout or (stuck_since and now - stuck_since > PATIENCE):
                break
            time.sleep(WATCH_SECONDS)
        ended = next((each["state"]["terminated"] for each in statuses(pod) if "terminated" in each["state"]), None)
        if ended:
            outcome.code = ended.get("exitCode")
        elif pod["status"].get("phase") == "Failed":
            outcome.code = 1  # it never had a container
        if statuses(pod) and "waiting" not in statuses(pod)[0]["state"]:
            outcome.stdout = self.api.text(f"{path}/log", tailLines=str(LOG_LINES), limitBytes=str(LOG_BYTES))
        if outcome.code != 0:
            said = list(dict.fromkeys([*said, *self._warnings(name)]))
            outcome.stderr = "\n".join(said)
            if outcome.code is None and not running and not classify(outcome.stderr):
                cause = f"The probe's pod did not start on {self.place.node} within {now - began:.0f} s: "
                cause += f"{'; '.join(said).rstrip('.') or 'nobody said why'}."
                outcome.findings.append(
                    finding("pod_pending", cause, "See the journal of k3s or k3s-agent on the node.")
                )

    def _warnings(self, name: str) -> list[str]:
        """Messages of the warnings about the pod."""
        events = f"/api/v1/namespaces/{self.place.namespace}/events"
        found = self.api.get(events, fieldSelector=f"involvedObject.name={name},type=Warning")["items"]
        return list(dict.fromkeys(each.get("message") or "" for each in found))

    def _memory(self, pod: Object) -> int:
        """What the node's kubelet says the pod's containers use now; 0 where it does not tell."""
        path = f"/api/v1/nodes/{self.place.node}/proxy/stats/summary"
        try:
            summary = self.api.get(path, only_cpu_and_memory="true")
        except (ApiError, ValueError):
            return 0
        for each in summary.get("pods") or []:
            if each["podRef"].get("uid") == pod["metadata"]["uid"]:
                return sum(
                    int((container.get("memory") or {}).get("usageBytes") or 0)
                    for container in each.get("containers") or []
                )
        return 0


def statuses(pod: Object) -> list[Object]:
    """What is known of the pod's containers, each with a ``state``."""
    return [{**each, "state": each.get("state") or {}} for each in pod["status"].get("containerStatuses") or []]


def phrases(pod: Object) -> Iterator[str]:
    """What the pod's status says is in the way, in the words of those who found it: ``reason: message``."""
    status = pod["status"]
    told = [status, *(each for each in status.get("conditions") or [] if each.get("status") == "False")]
    for each in statuses(pod):
        told += [each["state"].get("waiting") or {}, each["state"].get("terminated") or {}]
    for each in told:
        reason = each.get("reason") or ""
        if reason and reason not in USUAL and not (reason == "Completed" and not each.get("exitCode")):
            yield ": ".join(filter(None, (reason, each.get("message"))))
