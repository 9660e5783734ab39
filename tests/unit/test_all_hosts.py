# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that looks at all hosts runs once: on each host it would cost the square of their number (benchmarks/scale)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.lint.tree import REPO

#: Looking at the variables of one host after the other; each look costs Ansible more than a millisecond.
ALL = re.compile(r"map\('extract', hostvars|\bfor host in\b|hostvars \| wasinn")
#: The few servers, and the few nodes that one is told of.
FEW = re.compile(r"(groups\[k3s_server_group\]|__models_part\.pulls\[item\.file\]) \| map\('extract', hostvars")
#: Tasks that look at all hosts on one of them alone, each with how.
ON_ONE = {
    ("k3s/tasks/preflight.yml", "Check what the settings say"): "an expression's branch for the first host",
    ("models/tasks/preflight.yml", "Collect what is wrong with them"): "an expression's branch for the first host",
    (
        "llamaedge/tasks/configure.yml",
        "Refuse what the headers contradict",
    ): "an expression's branch for the first host",
    ("llamaedge/tasks/verify.yml", "Wait until every model is ready"): "passed on as it is to a file that runs once",
    ("llamaedge/tasks/render.yml", "Write the models"): "an entry point for one host",
    ("k3s/tasks/restore_start.yml", "Delete nodes whose machines are new or gone"): "an entry point for one host",
    ("k3s/tasks/restore_start.yml", "Let the agents that are there come back"): "an entry point for one host",
    (
        "upgrade/tasks/keep.yml",
        "Save what the cluster is before it changes",
    ): "an earlier condition lets the first server on",
}
INCLUDES = ("include_tasks", "import_tasks")


def flat(tasks: list[dict[str, Any]], once: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each task, with what a block has around it; and whether it runs once."""
    for task in tasks:
        here = once or task.get("run_once") is True
        yield {key: value for key, value in task.items() if key not in ("block", "rescue", "always")}, here
        for part in ("block", "rescue", "always"):
            yield from flat(task.get(part) or [], here)


def expensive(role: Path) -> list[str]:
    """The role's variables that look at all hosts, those that use such a variable included."""
    variables: dict[str, str] = {}
    for path in (role / "defaults" / "main.yml", role / "vars" / "main.yml"):
        if path.exists():
            variables |= {name: str(value) for name, value in (yaml.safe_load(path.read_text()) or {}).items()}
    found = {name for name, text in variables.items() if ALL.search(FEW.sub("", text))}
    while more := {
        name
        for name, text in variables.items()
        if name not in found and any(re.search(rf"\b{it}\b", text) for it in found)
    }:
        found |= more
    return sorted(found)


def files_run_once(role: Path) -> set[str]:
    """Files of tasks that are included by tasks that run once, and by no others."""
    ways: dict[str, list[bool]] = {}
    for path in (role / "tasks").glob("*.yml"):
        for task, once in flat(yaml.safe_load(path.read_text()) or []):
            for word in INCLUDES:
                target = task.get(f"ansible.builtin.{word}")
                if target:
                    ways.setdefault(target if isinstance(target, str) else target["file"], []).append(once)
    return {name for name, kinds in ways.items() if all(kinds)}


def offenders(roles: Path) -> list[str]:
    """Tasks that look at all hosts on each host."""
    found = []
    for role in sorted(roles.iterdir()):
        names, once_files = expensive(role), files_run_once(role)
        pattern = re.compile("|".join([ALL.pattern, *(rf"\b{name}\b" for name in names)]))
        for path in sorted((role / "tasks").glob("*.yml")):
            for task, once in flat(yaml.safe_load(path.read_text()) or []):
                place = str(path.relative_to(roles))
                text = FEW.sub(
                    "", str({key: value for key, value in task.items() if key != "name"}).replace("\\'", "'")
                )
                if once or path.name in once_files or (place, task.get("name")) in ON_ONE:
                    continue
                if match := pattern.search(text):
                    found.append(f"{place}: {task.get('name')} ({match[0]})")
    return found


def test_what_looks_at_all_hosts_runs_once():
    assert offenders(REPO / "roles") == []


def test_it_would_be_found(tmp_path):
    tasks, variables = tmp_path / "x" / "tasks", tmp_path / "x" / "vars"
    for folder in (tasks, variables):
        folder.mkdir(parents=True)
    (variables / "main.yml").write_text("a: \"{{ ansible_play_hosts | map('extract', hostvars) }}\"\nb: '{{ a }}'\n")
    (tasks / "main.yml").write_text(
        "- {name: one, debug: {msg: '{{ b }}'}}\n"
        "- {name: two, run_once: true, debug: {msg: '{{ b }}'}}\n"
        "- {name: three, run_once: true, ansible.builtin.include_tasks: once.yml}\n"
        "- name: four\n  run_once: true\n  block:\n    - {name: five, debug: {msg: '{{ a }}'}}\n"
    )
    (tasks / "once.yml").write_text("- {name: six, debug: {msg: '{{ a }}'}}\n")
    assert offenders(tmp_path) == ["x/tasks/main.yml: one (b)"]
