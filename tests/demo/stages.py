# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages with headings, and a table of their times at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Counts stages and keeps how long each took, in seconds."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.times: list[tuple[str, float]] = []

    def already(self, name: str, seconds: float) -> None:
        """Enter a stage that was over before this program started."""
        self._head(name)
        print(f"took {seconds:.0f} s", flush=True)
        self.times.append((name, seconds))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._head(name)
        began = time.monotonic()
        try:
            yield
        finally:
            self.times.append((name, time.monotonic() - began))

    def table(self) -> str:
        width = max(len(name) for name, _seconds in self.times)
        rows = list(self.times)
        rows.append(("together", sum(seconds for _name, seconds in rows)))
        return "\n".join(
            f"  {name:<{width}}  {int(seconds // 60):>3} min {seconds % 60:>4.1f} s" for name, seconds in rows
        )

    def _head(self, name: str) -> None:
        title = f" {len(self.times) + 1}/{self.total} {name} "
        if sys.stdout.isatty():
            title = f"\033[1m{title}\033[0m"
        print(f"\n=={title}==", flush=True)
