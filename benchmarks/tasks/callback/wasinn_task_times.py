# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes one JSON line for each task: wall and processor seconds, results, and how many of them asked the cluster's API.

Processor seconds are those of ansible-playbook and of all its ended children (workers, and what they ran); other programs on
the same machine do not count, which makes them steadier than wall seconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: wasinn_task_times
type: aggregate
short_description: Times of tasks as JSON lines
description:
  - One line for each task, to the file that the environment variable WASINN_TASK_TIMES names.
requirements:
  - WASINN_TASK_TIMES
"""

_API = ("kubernetes.core.", "wasinn.cluster.kube_apply")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible has no types
    """Ansible's entry point."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "wasinn_task_times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._file = open(os.environ["WASINN_TASK_TIMES"], "w", encoding="utf-8")  # noqa: SIM115  # open as long as the run
        self._line: dict[str, Any] = {}
        self._play = ""
        self._begin("", "", "")

    def _begin(self, name: str, path: str, action: str) -> None:
        multiprocessing.active_children()  # reaps ended workers, whose times count only then
        times = os.times()
        now, cpu = time.monotonic(), times.user + times.system + times.children_user + times.children_system
        if self._line:
            before = self._line
            before.update(seconds=now - before["seconds"], cpu=cpu - before["cpu"])
            self._file.write(json.dumps(before) + "\n")
        self._line = {"play": self._play, "task": name, "path": path, "action": action, "seconds": now, "cpu": cpu}
        self._line.update(ran=0, skipped=0, api=0)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play = play.get_name()
        self._begin("", "", "")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._begin(task.get_name(), task.get_path() or "", task.action)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._begin(task.get_name(), task.get_path() or "", task.action)

    def _count(self, result: Any) -> None:
        self._line["ran"] += 1
        if str(self._line["action"]).startswith(_API):
            self._line["api"] += 1

    v2_runner_on_ok = v2_runner_on_unreachable = _count

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._count(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._line["skipped"] += 1

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._begin("", "", "")
        self._file.close()
