# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and number of the processes below one, looked at while it runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path

EVERY = 0.5  # seconds
MIB = 1 << 20


class Watch:
    """The most that a process and all its descendants had at once; a context that lasts as long as the process."""

    def __init__(self) -> None:
        self.rss_mib = self.pss_mib = self.own_mib = 0.0
        self.workers = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._pid = 0

    def start(self, pid: int) -> None:
        self._pid = pid
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        if self._pid:
            self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(EVERY):
            parents = _parents()
            family = descendants(self._pid, parents)
            memory = {pid: _memory(pid) for pid in family}
            self.rss_mib = max(self.rss_mib, sum(rss for rss, _pss in memory.values()) / MIB)
            self.pss_mib = max(self.pss_mib, sum(pss for _rss, pss in memory.values()) / MIB)
            self.own_mib = max(self.own_mib, memory[self._pid][0] / MIB)
            self.workers = max(self.workers, sum(parents.get(pid) == self._pid for pid in family))


def descendants(pid: int, parents: dict[int, int]) -> list[int]:
    """The process and all below it, given each process's parent."""
    family, grown = {pid}, True
    while grown:
        found = {child for child, parent in parents.items() if parent in family} - family
        family |= found
        grown = bool(found)
    return sorted(family)


def _parents() -> dict[int, int]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                # The name, in brackets, may have anything in it.
                found[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    return found


def _memory(pid: int) -> tuple[int, int]:
    """Resident bytes, and of those the process's share (PSS); nothing of one that has ended."""
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {row.split(":")[0]: int(row.split()[1]) * 1024 for row in rows if row.startswith(("Rss:", "Pss:"))}
    return sizes.get("Rss", 0), sizes.get("Pss", 0)
