# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings pinned artifacts into the controller's cache; all of the work is in module_utils/download.py."""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.wasinn.cluster.plugins.module_utils.download import Artifact, Cache, Fetched
from ansible_collections.wasinn.cluster.plugins.module_utils.fetching import (
    ARTIFACTS_SPEC,
    CACHE_SPEC,
    artifact_of,
    make_cache,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.source import DownloadError
from ansible_collections.wasinn.cluster.plugins.module_utils.transfer import Progress

display = Display()

_REPORT_EVERY = 5.0  # seconds between lines on the screen

ARGUMENT_SPEC: dict[str, t.Any] = {
    **ARTIFACTS_SPEC,
    "parallel": {"type": "int", "default": 4},
    "confirm": {"type": "bool", "default": False},
    **CACHE_SPEC,
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Runs on the controller only; the host it is called for need not be reachable."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns ``artifacts`` by name, or fails with one sentence for each artifact that did not come."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        try:
            cache, credentials = make_cache(args, display.display)
            artifacts = [artifact_of(item, credentials) for item in args["artifacts"]]
        except DownloadError as exc:
            return {**result, "failed": True, "msg": f"{exc}."}
        work = cache.fetch
        if self._task.check_mode:
            work = cache.confirm if args["confirm"] else cache.predict
        fetched, errors = self._all(cache, artifacts, work, max(1, args["parallel"]))
        result["changed"] = any(item.changed for item in fetched.values())
        versions = {item["name"]: item["version"] for item in args["artifacts"]}
        result["artifacts"] = {
            name: {**{key: value for key, value in asdict(item).items() if key != "changed"}, "version": versions[name]}
            for name, item in fetched.items()
        }
        result["metadata"] = sorted(cache.metadata)
        if self._task.diff and result["changed"]:
            new = [f"{item.path}\n" for item in fetched.values() if item.changed]
            result["diff"] = {"before": "", "after": "".join(sorted(new)), "after_header": "new in the cache"}
        if errors:
            result["failed"] = True
            result["msg"] = "\n".join(errors)
        return result

    def _all(
        self, cache: Cache, artifacts: list[Artifact], work: t.Callable[[Artifact], Fetched], parallel: int
    ) -> tuple[dict[str, Fetched], list[str]]:
        fetched: dict[str, Fetched] = {}
        errors: list[str] = []
        with ThreadPoolExecutor(max_workers=parallel) as pool:
            futures: dict[Future[Fetched], str] = {pool.submit(work, item): item.name for item in artifacts}
            report = _Report(cache)
            pending = set(futures)
            while pending:
                pending = wait(pending, timeout=_REPORT_EVERY).not_done
                report.show()
            for future, name in futures.items():
                try:
                    fetched[name] = future.result()
                except DownloadError as exc:
                    errors.append(f"{exc}.")
        return fetched, errors


class _Report:
    """One line for each running download: how far it is and how fast it was since the line before."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._before: dict[str, tuple[float, int]] = {}

    def show(self) -> None:
        now = time.monotonic()
        for item in list(self._cache.running.values()):
            since, done = self._before.get(item.name, (item.started, 0))
            rate = max(item.done - done, 0) / max(now - since, 0.001)
            self._before[item.name] = (now, item.done)
            display.display(_line(item, rate))


def _line(item: Progress, rate: float) -> str:
    share = f" of {item.total / 1e6:.1f} MB ({100 * item.done // item.total} %)" if item.total else " MB"
    return f"fetching {item.name}: {item.done / 1e6:.1f}{share}, {rate / 1e6:.1f} MB/s"
