# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a pod's creation to Ready: the role's own wasm pod, and the same pod with runc, another image and nothing to load."""

from __future__ import annotations

import copy
import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from .node import KUBECTL, Broken, kubectl, ready

LOGS = Path("/var/log/pods")
LISTENING = "listening on"
START_SECONDS = 90
Event = tuple[float, str, dict[str, Any]]  # seconds since 1970, type, pod


def pod_specs(spec: dict[str, Any], image: str) -> dict[str, dict[str, Any]]:
    """Pods by kind, from a Deployment's pod: all is alike but the runtime, the image and what the server is told."""
    wasm = copy.deepcopy(spec)
    for field in ("topologySpreadConstraints", "priorityClassName"):
        wasm.pop(field, None)
    wasm["terminationGracePeriodSeconds"] = 2
    container = wasm["containers"][0]
    container.pop("lifecycle", None)  # the drain, for which a balancer would need time
    container["imagePullPolicy"] = "Never"
    runc = copy.deepcopy(wasm)
    runc.pop("runtimeClassName", None)
    runc["containers"][0]["image"] = image
    for field in ("args", "env"):
        runc["containers"][0].pop(field, None)
    return {"wasm": wasm, "runc": runc}


def measure(namespace: str, spec: dict[str, Any], image: str, count: int) -> Iterator[dict[str, Any]]:
    """So many starts of each kind by turns, after one of each that warms up."""
    specs = pod_specs(spec, image)
    with _watched(namespace) as events:
        for number in range(-1, count):
            for kind, pod in specs.items():
                figures = _start(namespace, f"benchmark-{kind}{number + 1}", pod, events)
                if number >= 0:
                    yield {"start": number, "kind": kind, **figures}


@contextmanager
def _watched(namespace: str) -> Iterator[queue.Queue[Event]]:
    """Changes of pods as they come; the clock is read when a change arrives."""
    events: queue.Queue[Event] = queue.Queue()
    path = f"/api/v1/namespaces/{namespace}/pods?watch=1"
    with subprocess.Popen([*KUBECTL, "get", "--raw", path], stdout=subprocess.PIPE) as child:

        def read() -> None:
            for line in child.stdout or ():
                at = time.time()
                event = json.loads(line)
                events.put((at, event["type"], event["object"]))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield events
        finally:
            child.terminate()


def _start(namespace: str, name: str, spec: dict[str, Any], events: queue.Queue[Event]) -> dict[str, float]:
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(manifest), output=False)
    created = _wait(events, name, lambda kind, _pod: kind == "ADDED")[0]
    at, pod = _wait(events, name, lambda _kind, pod: ready(pod))
    log = next(LOGS.glob(f"{namespace}_{name}_{pod['metadata']['uid']}/*/0.log"))
    listening = listening_at(log.read_text())
    kubectl("delete", "pod", "-n", namespace, name, "--wait=false", output=False)
    _wait(events, name, lambda kind, _pod: kind == "DELETED")
    return {"listening_ms": (listening - created) * 1e3, "ready_ms": (at - created) * 1e3}


def _wait(events: queue.Queue[Event], name: str, condition: Any) -> tuple[float, dict[str, Any]]:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            at, kind, pod = events.get(timeout=max(until - time.monotonic(), 0))
        except queue.Empty:
            raise Broken(f"pod {name} did not get on within {START_SECONDS} s: kubectl describe pod -A") from None
        if pod["metadata"].get("name") == name and condition(kind, pod):
            return at, pod


def listening_at(log: str) -> float:
    """When the server said that it listens, by the time that containerd wrote beside it; seconds since 1970.

    :raises Broken: where it did not.
    """
    for line in log.splitlines():
        if LISTENING in line:
            return datetime.fromisoformat(line.partition(" ")[0]).timestamp()
    raise Broken(f"the server never said that it is {LISTENING} a port: {log[-300:]}")
