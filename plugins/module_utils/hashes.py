# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checksums of large files, computed once: a note keeps them until the file's size or time changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from pathlib import Path

_CHUNK = 1 << 20
_LIST_LINE = re.compile(r"^([0-9a-fA-F]{64})\s+\*?(?:\./)?(\S.*?)\s*$")


def sha256_file(path: str | Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while True:
            block = handle.read(_CHUNK)
            if not block:
                return digest.hexdigest()
            digest.update(block)


def known_sha256(path: Path, note: Path, record: bool = True) -> str:
    """The file's sha256, from ``note`` where size and time are still those; empty where there is no such file.

    :param record: whether ``note`` is written when the file had to be read.
    """
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(note.read_text())
        if isinstance(known, dict) and all(known.get(key) == value for key, value in seen.items()):
            return str(known.get("sha256"))
    digest = sha256_file(path)
    if record:
        # A cache on read-only media works too, only slower.
        with contextlib.suppress(OSError):
            note_sha256(path, note, digest)
    return digest


def note_sha256(path: Path, note: Path, sha256: str) -> None:
    """Writes what known_sha256() reads."""
    stat = path.stat()
    note.parent.mkdir(parents=True, exist_ok=True)
    write_whole(note, json.dumps({"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256}) + "\n")


def parse_checksums(text: str) -> dict[str, str]:
    """``sha256sum`` output as {file name: sha256}; other lines are passed over."""
    matches = (_LIST_LINE.match(line) for line in text.splitlines())
    return {match.group(2): match.group(1).lower() for match in matches if match}


def write_whole(path: Path, text: str, mode: int | None = None) -> None:
    """Writes a small file so that nobody sees half of it, readable from the start by those alone whom *mode* lets."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666 if mode is None else mode)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            if mode is not None:
                os.chmod(temporary, mode)  # whatever the umask is
            stream.write(text)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
