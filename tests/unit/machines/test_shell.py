# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host commands whose lines are watched."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.machines.shell import live


def test_lines_come_as_they_are_printed() -> None:
    lines: list[str] = []
    assert live(["sh", "-c", "echo $WORD; echo two >&2; exit 3"], lines.append, env={**os.environ, "WORD": "one"}) == 3
    assert lines == ["one", "two"]


def test_a_program_ends_with_its_reader() -> None:
    children: list[subprocess.Popen[str]] = []

    def interrupted(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        live(["sh", "-c", "echo now; exec sleep 60"], interrupted, env=os.environ, started=children.append)
    assert children[0].returncode == -signal.SIGTERM
