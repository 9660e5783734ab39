# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Earlier runs, a line of JSON each, beside the report; and files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "history.jsonl"
#: What a run without load has, and one of a version that kept less.
UNKNOWN: dict[str, Any] = {
    "errors": 0,
    "warnings": 0,
    "nodes": 0,
    "success": None,
    "p95_ms": None,
    "first_token_p50_ms": None,
    "tokens_per_second": None,
}


def line_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run is kept; figures are those of the load's last phase, which has the most at a time."""
    phases = document["load"]["phases"]
    last = phases[-1] if phases else {}
    sent = sum(phase["requests"] for phase in phases)
    verdict = document["verdict"]
    return {
        "generated": document["generated"],
        "passed": verdict["passed"],
        "errors": verdict["errors"],
        "warnings": verdict["warnings"],
        "nodes": len(document["nodes"]),
        "success": round(sum(phase["succeeded"] for phase in phases) / sent, 4) if sent else None,
        "p95_ms": (last.get("latency_ms") or {}).get("p95"),
        "first_token_p50_ms": (last.get("first_token_ms") or {}).get("p50"),
        "tokens_per_second": last.get("tokens_per_second"),
    }


def read(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """The runs kept so far, oldest first, and how many lines were damaged."""
    try:
        lines = (folder / NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return [], 0
    runs = []
    for line in lines:
        try:
            run = json.loads(line, parse_constant=_no_number)
        except ValueError:
            continue
        if isinstance(run, dict) and isinstance(run.get("passed"), bool) and isinstance(run.get("generated"), str):
            runs.append({**UNKNOWN, **run})
    return runs, len(lines) - len(runs)


def _no_number(name: str) -> None:
    """JSON has no NaN and no Infinity, though Python reads them."""
    raise ValueError(name)


def write(path: Path, text: str) -> None:
    """Replaces a file as a whole, readable for all: a report holds no secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
