# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the balancer says of a configuration without serving."""

from __future__ import annotations

import subprocess
from pathlib import Path


def _check(program: Path, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, "--check-config", file], capture_output=True, text=True, timeout=20, check=False)


def test_its_own_defaults_are_valid(program: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    defaults = subprocess.run([program, "--print-defaults"], capture_output=True, text=True, timeout=20, check=True)
    file.write_text(defaults.stdout)
    checked = _check(program, file)
    assert (checked.returncode, checked.stdout) == (0, f"{file} is a valid configuration.\n")


def test_a_wrong_setting_is_named_with_its_line(program: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("queue = 4\n[timeouts]\nqueue = \"long\"\n")
    checked = _check(program, file)
    assert checked.returncode == 2
    assert f"{file}: line 3 (`queue = \"long\"`)" in checked.stderr


def test_a_missing_file_is_named(program: Path, tmp_path: Path) -> None:
    checked = _check(program, tmp_path / "absent.toml")
    assert checked.returncode == 2
    assert "absent.toml" in checked.stderr
