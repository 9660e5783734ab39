# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look into release archives without installing them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.archive import ArchiveError, Selection, open_archive

ENDINGS = (".tar.gz", ".tgz", ".tar.xz", ".tar", ".zip")


class Unpacker:
    """Unpacks archives into one temporary folder and translates paths in it back to what people know."""

    def __init__(self, folder: str):
        self._folder = folder
        self._names: dict[str, str] = {}

    def path(self, path: str) -> str:
        """*path* itself, or the folder an archive was unpacked to (its only top folder, if it has just one).

        Raises ``ArchiveError`` naming the archive.
        """
        if not path.endswith(ENDINGS) or not os.path.isfile(path):
            return path
        target = os.path.join(self._folder, str(len(self._names)))
        os.mkdir(target)
        try:
            with open_archive(path, Selection()) as members:
                for member in members:
                    place = os.path.join(target, member.path)
                    os.makedirs(os.path.dirname(place), exist_ok=True)
                    source = None if member.link else member.open()
                    if source is None:
                        os.symlink(member.link, place)
                        continue
                    with source, open(place, "wb") as copy:
                        shutil.copyfileobj(source, copy, 1 << 20)
                    os.chmod(place, member.mode | 0o400)
        except (ArchiveError, OSError) as error:
            text = str(error)
            raise ArchiveError(text if path in text else f"{path} cannot be unpacked: {text}") from None
        self._names[target] = path + ":"
        entries = os.listdir(target)
        inner = os.path.join(target, entries[0]) if len(entries) == 1 else target
        return inner if os.path.isdir(inner) else target

    def translate(self, value: Any) -> Any:
        """*value* with each path in the temporary folder written as ``archive.tar.gz:path``."""
        if isinstance(value, dict):
            return {key: self.translate(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self.translate(entry) for entry in value]
        if isinstance(value, str):
            for folder, name in self._names.items():
                value = value.replace(folder + "/", name).replace(folder, name.rstrip(":"))
        return value


@contextmanager
def unpacker() -> Iterator[Unpacker]:
    """An :class:`Unpacker` whose folder is taken away at the end."""
    folder = os.path.realpath(tempfile.mkdtemp(prefix="wasinn-"))
    try:
        yield Unpacker(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def single_file(path: str, choose: Callable[[str], bool]) -> str:
    """The first file in the folder *path* whose name *choose* accepts; *path* itself if it is no folder or has none."""
    if not os.path.isdir(path):
        return path
    return next((os.path.join(path, name) for name in sorted(os.listdir(path)) if choose(name)), path)
