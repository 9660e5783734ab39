# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every linter, ansible-test sanity among them, as one test with live output."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.machines.shell import REPO


def test_every_linter_is_content(capfd: pytest.CaptureFixture[str]) -> None:
    with capfd.disabled():
        print(flush=True)
        done = subprocess.run([sys.executable, "-m", "tests.lint"], cwd=REPO, check=False)
    assert done.returncode == 0, "a linter is not content, it says above with what; 'make lint' runs them alone"
