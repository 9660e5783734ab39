# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what the callback wrote, and what ansible-playbook needs to write it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "callback"


def environment(times: Path) -> dict[str, str]:
    """Variables under which ansible-playbook writes its tasks' times to this file."""
    return {
        "ANSIBLE_CALLBACK_PLUGINS": str(FOLDER),
        "ANSIBLE_CALLBACKS_ENABLED": "wasinn_task_times",
        "WASINN_TASK_TIMES": str(times),
    }


@dataclass
class Cost:
    """What all runs of one task came to: wall and processor seconds, results, and those of them that asked the cluster."""

    task: str
    place: str
    action: str
    seconds: float = 0
    cpu: float = 0
    ran: int = 0
    skipped: int = 0
    api: int = 0


def read(path: Path) -> list[Cost]:
    """Tasks in the order of their first run; what lies between tasks is the first one, without a name."""
    return collect(path.read_text().splitlines())


def collect(lines: Iterable[str]) -> list[Cost]:
    """As :func:`read`, from lines."""
    found: dict[tuple[str, str], Cost] = {("", ""): Cost("", "", "")}
    for text in lines:
        line = json.loads(text)
        key = (line["task"], place(line["path"]))
        cost = found.setdefault(key, Cost(*key, line["action"]))
        cost.seconds += line["seconds"]
        cost.cpu += line["cpu"]
        cost.ran += line["ran"]
        cost.skipped += line["skipped"]
        cost.api += line["api"]
    return list(found.values())


def place(path: str) -> str:
    """A task's file as it is in the collection: ``roles/node/tasks/refuse.yml:8``."""
    for folder in ("/roles/", "/playbooks/"):
        head, found, tail = path.rpartition(folder)
        if found:
            return f"{folder[1:]}{tail}" if head else path
    return path
