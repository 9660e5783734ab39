# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells the module which run this is, and whether the run that has the machine is still alive on this controller."""

from __future__ import annotations

import getpass
import os
import typing as t
from dataclasses import asdict
from pathlib import Path

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.wasinn.cluster.plugins.module_utils.run_lock import gone, here, parse

_MODULE = "wasinn.cluster.node_lock"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """The module, a second time where the first one found a run that has ended."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The module's result."""
        super().run(tmp, task_vars)
        args = {**self._task.args, "owner": asdict(here(_user(), os.getppid(), _playbook()))}
        result = self._module(args, task_vars)
        holder = result.get("holder")
        if not holder or not gone(parse(holder)):
            return result
        if self._task.check_mode:
            return {**result, "holder": {}, "findings": []}
        return self._module({**args, "over": holder}, task_vars)

    def _module(self, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=_MODULE, module_args=args, task_vars=task_vars)
        result.pop("invocation", None)
        return result


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())


def _playbook() -> str:
    """What was given on the command line; this is a worker of that process."""
    return ", ".join(Path(str(name)).name for name in context.CLIARGS.get("args") or ())
