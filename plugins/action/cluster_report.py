# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes a cluster's health as Markdown, JSON and a page, on the controller."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.wasinn.cluster.plugins.plugin_utils.report import history
from ansible_collections.wasinn.cluster.plugins.plugin_utils.report.document import build
from ansible_collections.wasinn.cluster.plugins.plugin_utils.report.render import FORMATS, render

display = Display()

_OBJECTS = (
    "nodes",
    "pods",
    "services",
    "endpoint_slices",
    "events",
    "node_metrics",
    "pod_metrics",
    "answers",
    "findings",
)
ARGUMENT_SPEC: dict[str, t.Any] = {
    "dest": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "formats": {"type": "list", "elements": "str", "choices": list(FORMATS), "default": ["markdown", "json", "html"]},
    **{name: {"type": "list", "elements": "dict", "default": []} for name in _OBJECTS},
    **{name: {"type": "dict", "default": {}} for name in ("probes", "runtimes", "balancer", "load")},
    "restarts": {"type": "int", "default": 5},
    "history": {"type": "int", "default": 50},
    "fail_on_findings": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Runs on the controller only; the host it is called for need not be reachable."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns the verdict, its findings and where the files are."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        folder = Path(args["dest"]).expanduser()
        files = {form: str(folder / FORMATS[form]) for form in args["formats"]}
        document = build(args)
        try:
            kept, damaged = history.read(folder)
            if damaged:
                display.warning(f"{folder / history.NAME} had {damaged} damaged lines, which are dropped.")
            runs = [*kept, history.line_of(document)][-max(1, args["history"]) :]
            document["history"] = runs
            if not self._task.check_mode:
                for form, path in files.items():
                    history.write(Path(path), render(form, document))
                history.write(folder / history.NAME, "".join(f"{json.dumps(run)}\n" for run in runs))
        except OSError as exc:
            msg = f"The report cannot be written to {folder}: {exc.strerror}. Choose another folder, or mend this one."
            return {**result, "failed": True, "msg": msg}
        verdict = document["verdict"]
        result.update(
            changed=True,
            passed=verdict["passed"],
            sentence=verdict["sentence"],
            findings=document["findings"],
            files=files,
        )
        if args["fail_on_findings"] and not verdict["passed"]:
            where = next(iter(files.values()), str(folder))
            result.update(failed=True, msg=f"The cluster did not pass: {verdict['sentence']} See {where}.")
        return result
