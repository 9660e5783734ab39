# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions installed side by side below one folder, of which a link names the active one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ansible_collections.wasinn.cluster.plugins.module_utils.archive import ArchiveError
from ansible_collections.wasinn.cluster.plugins.module_utils.install import (
    MANIFEST,
    Request,
    disk_sentence,
    switch_link,
)


def active(link: Path) -> str:
    """The version that the link names; empty where there is no link, or none to a folder beside it."""
    target = os.readlink(link) if link.is_symlink() else ""
    return target if target and "/" not in target and (link.parent / target).is_dir() else ""


def activate(link: Path, version: str) -> None:
    """Makes the link name *version*, in one step. Raises :class:`ArchiveError`, with the link as it was."""
    folder = link.parent / version
    if not folder.is_dir():
        raise ArchiveError(f"{folder} is not installed, so {link} cannot point to it; install that version first")
    try:
        switch_link(Request(version, "", folder, link=link))
    except OSError as error:
        raise ArchiveError(disk_sentence(error, link.parent)) from error


def surplus(link: Path, version: str, keep: int) -> list[Path]:
    """Installed versions beyond *version* and the *keep* last installed others, oldest first.

    Only folders with our manifest count: what somebody else put there stays.
    """
    found = [path for path in link.parent.glob(f"*/{MANIFEST}") if not path.parent.is_symlink()]
    others = [path for path in found if path.parent.name != version]
    others.sort(key=lambda path: (path.stat().st_mtime_ns, path.parent.name))
    return [path.parent for path in others[: max(len(others) - keep, 0)]]


def remove(folders: list[Path]) -> None:
    """Deletes the folders. Raises :class:`ArchiveError`."""
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise ArchiveError(disk_sentence(error, folder)) from error
