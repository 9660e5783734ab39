# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes objects and results, as small as a report takes them, of a cluster that is well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.wasinn.cluster.plugins.plugin_utils.report import document as report
from ansible_collections.wasinn.cluster.plugins.plugin_utils.report import history

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def node(
    name: str = "node1", ready: str = "True", verified: str = "wasmedge-0.14.1", **conditions: str
) -> dict[str, Any]:
    labels = {"node-role.kubernetes.io/control-plane": "true", "wasinn.cluster/verified": verified}
    return {
        "metadata": {"name": name, "labels": {key: value for key, value in labels.items() if value}},
        "spec": {},
        "status": {
            "conditions": [{"type": key, "status": value} for key, value in {"Ready": ready, **conditions}.items()],
            "nodeInfo": {
                "kubeletVersion": "v1.34.4+k3s1",
                "osImage": "Debian GNU/Linux 13 (trixie)",
                "kernelVersion": "6.12.0",
                "containerRuntimeVersion": "containerd://2.1.5-k3s1",
            },
            "allocatable": {"cpu": "2", "memory": "8Gi"},
        },
    }


def pod(
    name: str = "smollm2-1", phase: str = "Running", ready: bool = True, restarts: int = 0, **more: Any
) -> dict[str, Any]:
    status = {"name": "server", "ready": ready, "restartCount": restarts, **more}
    return {
        "metadata": {"namespace": "llamaedge", "name": name, "creationTimestamp": "2026-11-24T06:00:00Z"},
        "spec": {"nodeName": "node1", "containers": [{"name": "server"}]},
        "status": {"phase": phase, "containerStatuses": [status]},
    }


def service(name: str = "smollm2") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "llamaedge", "name": name},
        "spec": {"clusterIP": "10.43.0.9", "ports": [{"port": 8080}], "selector": {"app": name}},
    }


def endpoints(name: str = "smollm2", *ready: bool) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "llamaedge", "name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"conditions": {"ready": each}} for each in ready],
    }


def probe(speed: float = 60.0, **more: Any) -> dict[str, Any]:
    figures = {"load_ms": 64.0, "prompt_ms": 20.0, "peak_memory_bytes": 150 << 20, "backend": "GGML"}
    return {"model": "smollm2", "text": " Paris.", "tokens_per_second": speed, "findings": [], **figures, **more}


def phase(**more: Any) -> dict[str, Any]:
    figures = {
        "name": "concurrent",
        "requests": 30,
        "concurrency": 4,
        "succeeded": 30,
        "failed": 0,
        "unsent": 0,
        "seconds": 9.0,
        "requests_per_second": 3.33,
        "latency_ms": {"p50": 1000.0, "p95": 1900.0, "p99": 2000.0, "max": 2000.0},
        "first_token_ms": {"p50": 200.0, "p95": 400.0, "p99": 500.0, "max": 500.0},
        "tokens": 300,
        "tokens_per_second": 33.3,
        "models": {"smollm2": 30},
        "failures": [],
    }
    return {**figures, **more}


def replica(name: str = "balancer-1", state: str = "ready", **more: Any) -> dict[str, Any]:
    """One of the balancer's pods with what its /api/status answers (rust/balancer/src/observe/status.rs), as far as it is read."""
    endpoint = {
        "address": "10.42.0.9:8080",
        "pod": "smollm2-1",
        "node": "node1",
        "state": state,
        "reason": "check" if state == "ejected" else None,
        "ejected_s": None,
        "in_flight": 0,
        "slots": 1,
        "totals": {"requests": 30, "errors": 0, "tokens_out": 300},
    }
    pool = {
        "name": "smollm2",
        "model": "smollm2",
        "aliases": [],
        "weight": 2,
        "in_flight": 1,
        "waiting": 3,
        "queue_limit": 64,
        "totals": {"requests": 35, "errors": 0, "tokens_out": 350},
        "endpoints": [endpoint],
    }
    return {"pod": name, "node": "node1", "status": {"ready": True, "draining": False, "pools": [pool], **more}}


SHARE = {"model": "smollm2", "answers": 30, "share": 1.0, "expected": 1.0, "within": True}


def data(**more: Any) -> dict[str, Any]:
    """A healthy cluster, but for what is given."""
    healthy: dict[str, Any] = {
        "name": "demo",
        "nodes": [node()],
        "pods": [pod()],
        "services": [service()],
        "endpoint_slices": [endpoints("smollm2", True)],
        "events": [],
        "node_metrics": [{"metadata": {"name": "node1"}, "usage": {"cpu": "150m", "memory": "2Gi"}}],
        "pod_metrics": [],
        "probes": {"node1": [probe()]},
        "runtimes": {"node1": {"wasmedge": "0.14.1", "shim": "0.1.0"}},
        "balancer": {"url": "http://10.43.0.5:8080", "models": ["smollm2"], "replicas": [replica()]},
        "answers": [
            {
                "model": "smollm2",
                "nodes": ["node1"],
                "asker": "node1",
                "content": "Paris.",
                "latency_s": 0.6,
                "tokens": 3,
            }
        ],
        "load": {"phases": [phase()], "shares": [SHARE], "findings": [], "passed": True},
        "findings": [],
        "restarts": 5,
    }
    return {**healthy, **more}


def made(**more: Any) -> dict[str, Any]:
    document = report.build(data(**more), NOW)
    return {**document, "history": [history.line_of(document)]}
