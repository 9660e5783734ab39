# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls the module until the build is over, and tells each time how far it is."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

_MODULE = "wasinn.cluster.release_build"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Runs on the controller; all of the work is done by the module on the host."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what the module's last call returned."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        what = (
            f"{(task_vars or {}).get('inventory_hostname', '')}: {args.get('component')} for {args.get('architecture')}"
        )
        again = False
        while True:
            answer = self._execute_module(_MODULE, module_args={**args, "again": again}, task_vars=task_vars)
            if answer.get("failed") or answer.get("finished", True):
                return {**result, **answer}
            if not again:
                display.display(f"{what}: building, because {answer['reason']}")
            display.display(f"{what}: {answer['progress']}")
            again = True
