# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written whole."""

from __future__ import annotations

import os

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import write_whole


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_mode_holds_whatever_the_umask_is(tmp_path, mode):
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "file", "text\n", mode)
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert ((tmp_path / "file").read_text(), (tmp_path / "file").stat().st_mode & 0o777) == ("text\n", mode)


def test_nothing_is_left_of_a_file_that_cannot_take_its_place(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "file", "text\n", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
