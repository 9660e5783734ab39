# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One document of a cluster's health, from Kubernetes objects and this collection's own results; docs/report.schema.json."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from .balancer import balancer_row
from .judgement import judge
from .objects import event_rows, node_row, pod_row, service_row

SCHEMA_VERSION = 1
Data = Mapping[str, Any]
# Control characters but tab and line feed, halves of surrogate pairs, and what is no character at all.
_UNPRINTABLE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]")


def build(data: Data, now: datetime | None = None) -> dict[str, Any]:
    """The whole document but its history. *data* has the options of the module cluster_report."""
    now = now or datetime.now(UTC)
    usage = {
        kind: {_key(each): each for each in data[kind]}  # by namespace and name
        for kind in ("node_metrics", "pod_metrics")
    }
    nodes = [node_row(each, usage["node_metrics"].get(_key(each))) for each in data["nodes"]]
    for node in nodes:
        node["runtime"] = dict(data["runtimes"].get(node["name"], {}))
        node["probes"] = [_probe_row(each) for each in data["probes"].get(node["name"], [])]
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "generated": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cluster": {"name": data["name"], "kubernetes": sorted({node["version"] for node in nodes})},
        "nodes": _sorted(nodes),
        "pods": _sorted(pod_row(each, now, usage["pod_metrics"].get(_key(each))) for each in data["pods"]),
        "services": _sorted(service_row(each, data["endpoint_slices"]) for each in data["services"]),
        "events": event_rows(data["events"]),
        "balancer": balancer_row(data["balancer"]),
        "answers": [dict(each) for each in data["answers"]],
        "load": {key: data["load"].get(key, []) for key in ("phases", "shares")},
    }
    own = [
        {"severity": "error", "subject": "", **each} for each in [*data["load"].get("findings", []), *data["findings"]]
    ]
    # A probe's findings come with its node's as well; each is told once, errors first.
    told = {(each["check"], each["cause"]): each for each in [*own, *judge(document, data)]}
    findings = sorted(told.values(), key=lambda each: each["severity"])
    document["findings"] = findings
    document["verdict"] = _verdict(document, findings)
    printable: dict[str, Any] = _printable(document)
    return printable


def _verdict(document: Data, findings: list[dict[str, str]]) -> dict[str, Any]:
    errors = [each for each in findings if each["severity"] == "error"]
    phases = document["load"]["phases"]
    if errors:
        noun = "error" if len(errors) == 1 else "errors"
        sentence = f"{len(errors)} {noun}; the first: {errors[0]['cause']}"
    else:
        parts = [_count(len(document["nodes"]), "node"), _count(len(document["pods"]), "pod")]
        parts += [_count(len(document["answers"]), "model")] if document["answers"] else []
        sent, answered = (sum(phase[key] for phase in phases) for key in ("requests", "succeeded"))
        parts += [f"{answered} of {sent} requests answered"] if phases else []
        sentence = f"Everything passed: {', '.join(parts)}."
    return {
        "passed": not errors,
        "sentence": sentence,
        "errors": len(errors),
        "warnings": len(findings) - len(errors),
    }


def _probe_row(probe: Data) -> dict[str, Any]:
    figures = ("load_ms", "prompt_ms", "tokens_per_second", "peak_memory_bytes")
    return {
        "model": probe.get("model", ""),
        "text": probe.get("text", ""),
        "backend": probe.get("backend", ""),
        **{name: probe.get(name) or 0 for name in figures},
        "baseline_tokens_per_second": (probe.get("baseline") or {}).get("tokens_per_second") or 0,
        "findings": list(probe.get("findings") or []),
    }


def _sorted(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row.get("namespace", ""), row["name"]))


def _printable(value: Any) -> Any:
    """The same without characters that steer a terminal, are no XML or cannot be written as UTF-8: models say anything."""
    if isinstance(value, str):
        return _UNPRINTABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_printable(key): _printable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(each) for each in value]
    return value


def _key(item: Data) -> tuple[str, str]:
    meta = item["metadata"]
    return meta.get("namespace") or "", meta["name"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
