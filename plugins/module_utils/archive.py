# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads release archives (tar with gz, bz2, xz or no compression; zip) without trusting what is in them."""

from __future__ import annotations

import fnmatch
import hashlib
import lzma
import os
import stat
import tarfile
import typing as t
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 20


class ArchiveError(Exception):
    """One sentence: what is wrong with an archive or its installation and what to do about it."""


@dataclass(frozen=True)
class Selection:
    """Which members are wanted and where they go.

    ``strip`` leading path parts are dropped, then the path has to match one of the ``include`` patterns (none = all;
    ``*`` matches ``/`` as well), then it goes below the folder ``into``.
    """

    strip: int = 0
    include: tuple[str, ...] = ()
    into: str = ""

    def place(self, name: str) -> str:
        """The member's path below the destination; empty for one that is not wanted.

        :raises ArchiveError: for a path that leads out of the archive.
        """
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise ArchiveError(f"the archive's member {name!r} leads out of the destination; do not use this archive")
        path = "/".join(parts[self.strip :])
        if not path or (self.include and not any(fnmatch.fnmatchcase(path, glob) for glob in self.include)):
            return ""
        return f"{self.into.strip('/')}/{path}" if self.into.strip("/") else path


@dataclass
class Member:
    """A file or a symbolic link (``link`` is its target) to be installed at ``path``; size in bytes."""

    path: str
    mode: int
    size: int
    link: str = ""
    open: t.Callable[[], t.IO[bytes] | None] = lambda: None


@contextmanager
def open_archive(src: str | Path, selection: Selection) -> t.Iterator[list[Member]]:
    """The wanted members, sorted by path; folders are left out, they follow from the files.

    :raises ArchiveError: for something that is no archive, is cut short, or has members that are no plain files
        and links within the archive.
    """
    try:
        if zipfile.is_zipfile(src):
            with zipfile.ZipFile(src) as archive:
                yield _checked(_zip_members(archive, selection), src)
        else:
            with tarfile.open(src, "r:*") as tar:
                yield _checked(_tar_members(tar, selection), src)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError) as exc:
        raise ArchiveError(
            f"{src} is no archive that can be unpacked ({exc}): tar (plain, gz, bz2, xz) and zip can; fetch it anew"
        ) from exc


def _tar_members(tar: tarfile.TarFile, selection: Selection) -> t.Iterator[Member]:
    for item in tar:
        path = selection.place(item.name)
        if item.isdir() or not path:
            continue
        if item.issym():
            yield Member(path, 0o777, 0, link=item.linkname)
        elif item.isreg() or item.islnk():
            # A hard link is read through the member it points to; one that leaves the archive has none.
            target = item if item.isreg() else _target(tar, item)
            yield Member(path, item.mode, target.size, open=lambda item=target: tar.extractfile(item))  # type: ignore[misc]
        else:
            raise ArchiveError(f"the archive's member {item.name!r} is a device or pipe; do not use this archive")


def _target(tar: tarfile.TarFile, item: tarfile.TarInfo) -> tarfile.TarInfo:
    try:
        target = tar.getmember(item.linkname)
    except KeyError:
        target = item
    if not target.isreg():
        raise ArchiveError(
            f"the archive's member {item.name!r} is a hard link to {item.linkname!r}, "
            "which is no file in it; do not use this archive"
        )
    return target


def _zip_members(archive: zipfile.ZipFile, selection: Selection) -> t.Iterator[Member]:
    for item in archive.infolist():
        path = selection.place(item.filename)
        if item.is_dir() or not path:
            continue
        mode = item.external_attr >> 16  # Unix mode where a Unix zip made it, else 0
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFLNK:
            yield Member(path, 0o777, 0, link=archive.read(item).decode())
        elif kind in (0, stat.S_IFREG):
            yield Member(path, mode, item.file_size, open=lambda item=item: archive.open(item))  # type: ignore[misc]
        else:
            raise ArchiveError(f"the archive's member {item.filename!r} is a device or pipe; do not use this archive")


def _checked(members: t.Iterable[Member], src: str | Path) -> list[Member]:
    found = {member.path: member for member in members}
    if not found:
        raise ArchiveError(f"no member of {src} is left after strip and include; correct them")
    for path, member in found.items():
        if member.link:
            end = os.path.normpath(os.path.join(os.path.dirname(path), member.link))
            if member.link.startswith("/") or end.split("/")[0] == "..":
                raise ArchiveError(
                    f"the archive's link {path!r} points out of the destination, to {member.link!r}; "
                    "do not use this archive"
                )
        for parent in _parents(path):
            if parent in found:
                raise ArchiveError(
                    f"the archive's member {path!r} lies below {parent!r}, which is no folder; do not use it"
                )
    return sorted(found.values(), key=lambda member: member.path)


def _parents(path: str) -> t.Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def copy_hashed(source: t.IO[bytes], target: t.IO[bytes] | None) -> str:
    """Copies to ``target`` (None: nowhere) and returns the hexadecimal sha256 of what went through."""
    digest = hashlib.sha256()
    while True:
        block = source.read(_CHUNK)
        if not block:
            return digest.hexdigest()
        digest.update(block)
        if target is not None:
            target.write(block)
