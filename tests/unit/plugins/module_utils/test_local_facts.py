# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local facts: one file, whole at every moment."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.local_facts import FactError, update


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ansible" / "facts.d" / "wasinn.fact"


def test_sections_come_and_go(path: Path) -> None:
    before, after = update(str(path), "wasmedge", {"version": "0.14.1"})
    assert before == ""
    assert json.loads(after) == {"wasmedge": {"version": "0.14.1"}}
    assert path.read_text() == after
    update(str(path), "shim", {"sha256": "0"})
    assert json.loads(path.read_text()) == {"wasmedge": {"version": "0.14.1"}, "shim": {"sha256": "0"}}
    update(str(path), "wasmedge", None)
    assert json.loads(path.read_text()) == {"shim": {"sha256": "0"}}
    update(str(path), "shim", None)
    assert not path.exists()
    assert update(str(path), "shim", None) == ("", "")


def test_modes_do_not_depend_on_the_umask(path: Path) -> None:
    old = os.umask(0o077)
    try:
        update(str(path), "a", {})
    finally:
        os.umask(old)
    modes = [entry.stat().st_mode & 0o777 for entry in (path, path.parent, path.parent.parent)]
    assert modes == [0o644, 0o755, 0o755]


def test_nothing_is_written_twice(path: Path) -> None:
    update(str(path), "a", {"x": [1, 2], "y": None})
    inode = path.stat().st_ino
    before, after = update(str(path), "a", {"y": None, "x": [1, 2]})
    assert before == after
    assert path.stat().st_ino == inode
    assert [entry.name for entry in path.parent.iterdir()] == ["wasinn.fact"]


def test_check_mode_writes_nothing(path: Path) -> None:
    before, after = update(str(path), "a", {"x": 1}, dry=True)
    assert before != after
    assert not path.parent.exists()


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_damaged_file(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(FactError, match="Take the file away"):
        update(str(path), "a", {})
