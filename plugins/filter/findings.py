# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on findings, the common result of every check of this collection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def findings_text(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> str:
    """Return the open findings of C(hosts) as one text, in the hosts' order."""
    lines = []
    for host in hosts:
        for finding in hostvars[host].get("node_findings") or []:
            lines.append(f"{host}: [{finding['check']}] {finding['cause']} Remedy: {finding['remedy']}")
    if not lines:
        return ""
    noun = "finding stands" if len(lines) == 1 else "findings stand"
    return "\n".join([f"{len(lines)} {noun} in the way:", *lines])


def failure_finding(result: Mapping[str, Any], task: str) -> dict[str, str]:
    """Return a finding that tells why a task failed, its items' messages included."""
    items = [item for item in result.get("results") or [] if item.get("failed")]
    messages = [str(item.get("msg") or item.get("module_stderr") or "").strip() for item in items or [result]]
    said = "; ".join(dict.fromkeys(message for message in messages if message)) or "it gave no reason"
    return {
        "check": "task_failed",
        "cause": f"The task '{task}' failed: {said.rstrip('.')}.",
        "remedy": "Mend this, or run again with -vvv to see all of it.",
    }


def failure_sentence(result: Mapping[str, Any], task: str) -> str:
    """Return a failed task's message where it has a remedy already, or else what :func:`failure_finding` makes of it."""
    said = str(result.get("msg") or "")
    if "Remedy: " in said:
        return said
    finding = failure_finding(result, task)
    return f"{finding['cause']} Remedy: {finding['remedy']}"


def doctor_findings(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what the shim's own look at the node (C(--doctor)) found; nothing for a look that was left out."""
    if result.get("skipped") or "stdout" not in result:
        return []
    try:
        problems = list(json.loads(result["stdout"])["problems"])
    except (ValueError, KeyError, TypeError):
        said = (str(result.get("stderr") or "").strip().splitlines() or ["it said nothing"])[-1]
        problems = [
            f"it gave no report (exit status {result.get('rc')}): {said}; see what else --doctor says on the node"
        ]
    return [_of_shim(str(problem)) for problem in problems]


def _of_shim(problem: str) -> dict[str, str]:
    """The shim puts a remedy behind a semicolon, where it has one."""
    cause, semicolon, remedy = problem.rstrip(".").rpartition("; ")
    if not semicolon:
        cause, remedy = remedy, "put right what it names, and run the roles wasmedge and shim again"
    return {
        "check": "shim_doctor",
        "cause": f"The shim, asked what a container would find here: {cause}.",
        "remedy": f"{remedy[:1].upper()}{remedy[1:]}.",
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {
            "doctor_findings": doctor_findings,
            "failure_finding": failure_finding,
            "failure_sentence": failure_sentence,
            "findings_text": findings_text,
        }
