# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a URL's file lies in the mirror, and the checksum lists beside the files."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LISTS = threading.Lock()  # two builds may publish into the same list


def place(mirror: Path, url: str) -> Path:
    """``https://HOST/PATH`` is ``<mirror>/HOST/PATH``, decoded.

    :raises ValueError: for a URL without a host or a file name, or one that leads out of the mirror.
    """
    parts = urlsplit(url)
    path = unquote(parts.path).lstrip("/")
    if parts.scheme != "https" or not parts.netloc or not path or path.endswith("/") or ".." in path.split("/"):
        raise ValueError(f"'{url}' does not name a file that a mirror can hold")
    return mirror / parts.netloc / path


def publish(mirror: Path, source: Path, url: str, checksums: str) -> Path:
    """Copy a file to its place, which is returned, and enter it into its checksum list, each by a temporary name."""
    target, listing = place(mirror, url), place(mirror, checksums)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, partial)
    partial.chmod(0o644)
    checksum = sha256(partial)
    os.replace(partial, target)
    with _LISTS:
        lines = listing.read_text().splitlines() if listing.exists() else []
        entries = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
        entries[target.name] = checksum
        listing.parent.mkdir(parents=True, exist_ok=True)
        partial = listing.with_name(f".{listing.name}.part")
        partial.write_text("".join(f"{entries[name]}  {name}\n" for name in sorted(entries)))
        os.replace(partial, listing)
    return target


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
