# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubernetes objects (core/v1, discovery.k8s.io/v1, metrics.k8s.io/v1beta1) as the report's rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

VERIFIED = "wasinn.cluster/verified"
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
MOST_EVENTS = 50
Data = Mapping[str, Any]


def node_row(node: Data, metrics: Data | None) -> dict[str, Any]:
    """A Node; ``usage`` only where metrics-server tells it."""
    meta, status = node["metadata"], node.get("status") or {}
    labels, info = meta.get("labels") or {}, status.get("nodeInfo") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
    role = "node-role.kubernetes.io/"
    return {
        "name": meta["name"],
        "ready": conditions.get("Ready") == "True",
        "cordoned": bool((node.get("spec") or {}).get("unschedulable")),
        "roles": sorted(label[len(role) :] for label in labels if label.startswith(role)) or ["agent"],
        "version": info.get("kubeletVersion", ""),
        "os": info.get("osImage", ""),
        "kernel": info.get("kernelVersion", ""),
        "container_runtime": info.get("containerRuntimeVersion", ""),
        "verified": labels.get(VERIFIED, ""),
        "pressure": [name for name in PRESSURES if conditions.get(name) == "True"],
        "capacity": _resources(status.get("allocatable")),
        "usage": _resources((metrics or {}).get("usage")),
    }


def pod_row(pod: Data, now: datetime, metrics: Data | None) -> dict[str, Any]:
    """A Pod; ``reason`` is why it is not ready, ``last`` why a container of it ended before."""
    meta, status = pod["metadata"], pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    ready = sum(bool(each.get("ready")) for each in containers)
    wanted = len((pod.get("spec") or {}).get("containers") or containers)
    return {
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "node": (pod.get("spec") or {}).get("nodeName") or "",
        "phase": status.get("phase", "Unknown"),
        "ready": f"{ready}/{wanted}",
        "whole": status.get("phase") == "Succeeded" or (status.get("phase") == "Running" and ready == wanted),
        "restarts": sum(each.get("restartCount") or 0 for each in containers),
        "age_seconds": _age(meta.get("creationTimestamp"), now),
        "reason": _reason(status, containers),
        "last": next(filter(None, (_ended(each.get("lastState")) for each in containers)), ""),
        "usage": [
            {"container": each["name"], **_resources(each.get("usage"))}
            for each in (metrics or {}).get("containers", [])
        ],
    }


def service_row(service: Data, slices: Iterable[Data]) -> dict[str, Any]:
    """A Service with the endpoints of its slices; ``ready`` unset counts as true, as the API says."""
    meta, spec = service["metadata"], service.get("spec") or {}
    place = (meta.get("namespace"), meta["name"])
    found = [
        endpoint
        for each in slices
        if (each["metadata"].get("namespace"), (each["metadata"].get("labels") or {}).get("kubernetes.io/service-name"))
        == place
        for endpoint in each.get("endpoints") or []
    ]
    # Of a service with two address families a pod is in a slice of each.
    ready: dict[str, bool] = {}
    for endpoint in found:
        target = endpoint.get("targetRef") or {}
        name = target.get("uid") or target.get("name") or str(endpoint.get("addresses") or len(ready))
        ready[name] = ready.get(name, False) or (endpoint.get("conditions") or {}).get("ready") is not False
    return {
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "type": spec.get("type", "ClusterIP"),
        "cluster_ip": spec.get("clusterIP") or "",
        "ports": [f"{each['port']}/{each.get('protocol', 'TCP')}" for each in spec.get("ports") or []],
        "selects": bool(spec.get("selector")) and spec.get("type") != "ExternalName",
        "endpoints": len(ready),
        "ready_endpoints": sum(ready.values()),
    }


def event_rows(events: Iterable[Data]) -> list[dict[str, Any]]:
    """Warnings, newest first; the same about the same object once, with its count."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for event in events:
        if event.get("type") != "Warning":
            continue
        about = event.get("involvedObject") or {}
        row = {
            "namespace": about.get("namespace") or "",
            "object": f"{about.get('kind', '')}/{about.get('name', '')}",
            "reason": event.get("reason") or "",
            "message": event.get("message") or "",
        }
        known = rows.setdefault(tuple(row.values()), {**row, "count": 0, "last": ""})
        known["count"] += event.get("count") or (event.get("series") or {}).get("count") or 1
        known["last"] = max(known["last"], event.get("lastTimestamp") or event.get("eventTime") or "")
    return sorted(rows.values(), key=lambda row: row["last"], reverse=True)[:MOST_EVENTS]


def _resources(values: Data | None) -> dict[str, str]:
    return {name: str(values[name]) for name in ("cpu", "memory") if name in values} if values else {}


def _age(created: str | None, now: datetime) -> int:
    if not created:
        return 0
    return max(0, int((now - datetime.fromisoformat(created.replace("Z", "+00:00"))).total_seconds()))


def _reason(status: Data, containers: Iterable[Data]) -> str:
    for each in containers:
        state = each.get("state") or {}
        found = (state.get("waiting") or {}).get("reason") or _ended(state)
        if found and not each.get("ready"):
            return str(found)
    unscheduled = (
        each for each in status.get("conditions") or [] if each.get("status") == "False" and each.get("reason")
    )
    return status.get("reason") or next((str(each["reason"]) for each in unscheduled), "")


def _ended(state: Data | None) -> str:
    return str(((state or {}).get("terminated") or {}).get("reason") or "")
