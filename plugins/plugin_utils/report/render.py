# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report's document as Markdown, JSON, a page and metrics; the templates lie beside this file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .prometheus import metrics

#: Size of a sparkline in its own units.
WIDTH, HEIGHT = 300, 60
FORMATS = {"markdown": "report.md", "json": "report.json", "html": "report.html", "prometheus": "report.prom"}
#: Figures of the history that are drawn, with their titles.
DRAWN = {
    "p95_ms": "p95 latency, ms",
    "first_token_p50_ms": "first token p50, ms",
    "tokens_per_second": "tokens per second",
    "errors": "errors",
}


def render(form: str, document: Mapping[str, Any]) -> str:
    """The document in one of FORMATS."""
    if form == "json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if form == "prometheus":
        return metrics(document)
    name = {"markdown": "report.md.j2", "html": "report.html.j2"}[form]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=form == "html",  # names and answers are the cluster's, not ours
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(cell=cell, size=size, age=age)
    return environment.get_template(name).render(
        **document, bars=bars(document["load"]["phases"]), lines=lines(document["history"])
    )


def cell(value: Any) -> str:
    """Text that stays within its cell of a Markdown table and is no markup there."""
    text = " ".join(str(value).split())
    for sign in "\\`|*_<>[]":
        text = text.replace(sign, "\\" + sign)
    return text


def size(count: float) -> str:
    """Bytes for people; nothing for 0, which stands for unknown."""
    return f"{count / (1 << 20):.0f} MiB" if count else ""


def age(seconds: int) -> str:
    """The largest fitting unit, as kubectl tells ages."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def bars(phases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Percentiles of all phases on one scale, ``width`` in percent."""
    rows = [
        {"phase": phase["name"], "kind": kind, "name": name, "ms": phase[key][name]}
        for phase in phases
        for kind, key in (("answer", "latency_ms"), ("first token", "first_token_ms"))
        for name in ("p50", "p95", "p99")
        if phase[key]
    ]
    most = max((row["ms"] for row in rows), default=0) or 1
    return [{**row, "width": round(100 * row["ms"] / most, 1)} for row in rows]


def lines(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A sparkline for each figure of which at least two runs have a value."""
    drawn = []
    for key, title in DRAWN.items():
        values = [float(run[key]) for run in history if isinstance(run.get(key), (int, float))]
        if len(values) < 2:
            continue
        most = max(values) or 1
        step = WIDTH / (len(values) - 1)
        points = " ".join(
            f"{index * step:.1f},{HEIGHT - value / most * (HEIGHT - 4) - 2:.1f}" for index, value in enumerate(values)
        )
        drawn.append({"title": title, "points": points, "first": values[0], "last": values[-1], "most": max(values)})
    return drawn
