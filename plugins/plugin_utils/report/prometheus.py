# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report's figures for node_exporter's textfile collector (Prometheus text format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

Sample = tuple[dict[str, str], float]


def metrics(document: Mapping[str, Any]) -> str:
    """All metrics, each with its help and type; all are gauges, since each run begins anew."""
    return "".join(line for name, text, samples in _families(document) for line in _family(name, text, samples))


def _families(document: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Sample]]]:
    verdict, nodes, load = document["verdict"], document["nodes"], document["load"]
    when = datetime.fromisoformat(document["generated"].replace("Z", "+00:00")).timestamp()
    found = [({"severity": word[:-1]}, verdict[word]) for word in ("errors", "warnings")]
    speeds = [
        ({"node": node["name"], "model": probe["model"]}, probe["tokens_per_second"])
        for node in nodes
        for probe in node["probes"]
    ]
    results = [
        ({"phase": phase["name"], "result": key}, phase[key])
        for phase in load["phases"]
        for key in ("succeeded", "failed", "unsent")
    ]
    yield "passed", "Whether the last report had no error.", [({}, verdict["passed"])]
    yield "timestamp_seconds", "When the last report was made.", [({}, when)]
    yield "findings", "Findings of the last report.", found
    yield "node_ready", "Whether a node is Ready.", [({"node": node["name"]}, node["ready"]) for node in nodes]
    yield (
        "node_verified",
        "Whether a node passed its probe.",
        [({"node": node["name"]}, bool(node["verified"])) for node in nodes],
    )
    yield "probe_tokens_per_second", "Speed of a model's probe on a node.", speeds
    yield "load_requests", "Requests of the last report's load.", results
    yield "load_latency_seconds", "Seconds to the whole answer.", list(_quantiles(load["phases"], "latency_ms"))
    yield "load_first_token_seconds", "Seconds to the first token.", list(_quantiles(load["phases"], "first_token_ms"))
    yield (
        "load_tokens_per_second",
        "Tokens a second of a phase.",
        [({"phase": p["name"]}, p["tokens_per_second"]) for p in load["phases"]],
    )
    yield (
        "model_share_ratio",
        "A model's share of the answers.",
        [({"model": row["model"]}, row["share"]) for row in load["shares"]],
    )


def _quantiles(phases: Iterable[Mapping[str, Any]], key: str) -> Iterator[Sample]:
    for phase in phases:
        for name, quantile in (("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99")):
            if name in phase[key]:
                yield {"phase": phase["name"], "quantile": quantile}, phase[key][name] / 1000


def _family(name: str, text: str, samples: list[Sample]) -> Iterator[str]:
    if not samples:
        return
    yield f"# HELP wasinn_report_{name} {text}\n# TYPE wasinn_report_{name} gauge\n"
    for labels, value in samples:
        told = ",".join(f'{key}="{_escape(word)}"' for key, word in labels.items())
        yield (
            f"wasinn_report_{name}{{{told}}} {float(value)!r}\n" if told else f"wasinn_report_{name} {float(value)!r}\n"
        )


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
