# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real folders: archives installed side by side, switched, rolled back and removed."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.archive import ArchiveError
from ansible_collections.wasinn.cluster.plugins.module_utils.install import MANIFEST, Request, install
from ansible_collections.wasinn.cluster.plugins.module_utils.versions import activate, active, remove, surplus


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Four versions, installed in this order; the newest number is not the last one installed."""
    prefix = tmp_path / "wasmedge"
    for moment, version in enumerate(("0.17.1", "0.14.0", "0.14.1", "0.14.1-cuda12")):
        archive = tmp_path / f"{version}.tar"
        with tarfile.open(archive, "w") as tar:
            info = tarfile.TarInfo("lib64/version")
            info.size = len(version)
            tar.addfile(info, io.BytesIO(version.encode()))
        install(Request("wasmedge", hashlib.sha256(archive.read_bytes()).hexdigest(), prefix / version), archive)
        os.utime(prefix / version / MANIFEST, (moment, moment))
    return prefix / "current"


def names(link: Path) -> list[str]:
    return sorted(path.name for path in link.parent.iterdir())


def test_switch_and_back(link: Path) -> None:
    assert active(link) == ""
    activate(link, "0.14.1")
    assert active(link) == "0.14.1"
    activate(link, "0.17.1")
    assert (link / "lib64/version").read_text() == "0.17.1"
    assert os.readlink(link) == "0.17.1"
    activate(link, "0.14.1")
    assert (link / "lib64/version").read_text() == "0.14.1"
    assert names(link) == ["0.14.0", "0.14.1", "0.14.1-cuda12", "0.17.1", "current"]


def test_a_failed_switch_leaves_the_link(link: Path) -> None:
    activate(link, "0.14.1")
    with pytest.raises(ArchiveError, match=r"0\.99 is not installed, so .*; install that version first"):
        activate(link, "0.99")
    assert active(link) == "0.14.1"
    link.unlink()
    link.mkdir()
    with pytest.raises(ArchiveError, match="is a folder"):
        activate(link, "0.14.1")


def test_a_link_to_nowhere_is_no_version_to_go_back_to(link: Path) -> None:
    link.symlink_to("0.13")
    assert active(link) == ""
    activate(link, "0.14.1")
    assert active(link) == "0.14.1"


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (9, ["0.14.0", "0.14.1", "0.14.1-cuda12", "0.17.1"]),
        (2, ["0.14.1", "0.14.1-cuda12", "0.17.1"]),
        (1, ["0.14.1-cuda12", "0.17.1"]),
        (0, ["0.17.1"]),
    ],
)
def test_the_last_installed_are_kept(link: Path, keep: int, left: list[str]) -> None:
    activate(link, "0.17.1")  # active, though it was installed first
    remove(surplus(link, "0.17.1", keep))
    assert names(link) == [*left, "current"]
    assert surplus(link, "0.17.1", keep) == []


def test_the_link_is_no_version_to_be_kept(link: Path) -> None:
    activate(link, "0.14.1-cuda12")  # the last one installed
    remove(surplus(link, "0.14.1-cuda12", 1))
    assert names(link) == ["0.14.1", "0.14.1-cuda12", "current"]


def test_what_is_not_ours_stays(link: Path) -> None:
    (link.parent / "by-hand").mkdir()
    activate(link, "0.14.1")
    remove(surplus(link, "0.14.1", 0))
    assert names(link) == ["0.14.1", "by-hand", "current"]
