# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the dynamic loader would find each library a file needs, and what it would miss.

Follows ld.so(8): RPATH of the file and of its loaders (without RUNPATH), the file's RUNPATH, ld.so.cache, then the
default folders. LD_LIBRARY_PATH is left out on purpose: services on nodes do not have it.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf, ElfError

CACHE_MAGIC = b"glibc-ld.so.cache1.1"
CACHE_HEADER_BYTES = 48
CACHE_ENTRY_BYTES = 24


def read_ld_cache(path: str = "/etc/ld.so.cache") -> dict[str, list[str]]:
    """Library name -> paths, in the cache's own order; empty where there is no (new-format) cache.

    Source: glibc, sysdeps/generic/dl-cache.h, ``struct cache_file_new``.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except OSError:
        return {}
    start = data.find(CACHE_MAGIC)  # an old-format cache may stand before it
    if start < 0:
        return {}
    data = data[start:]
    entries: dict[str, list[str]] = {}
    try:
        (count,) = struct.unpack_from("<I", data, len(CACHE_MAGIC))
        for index in range(count):
            position = CACHE_HEADER_BYTES + CACHE_ENTRY_BYTES * index
            _flags, name, target = struct.unpack_from("<iII", data, position)
            entries.setdefault(_text(data, name), []).append(_text(data, target))
    except struct.error:
        return entries
    return entries


def _text(data: bytes, position: int) -> str:
    end = data.find(b"\0", position)
    return data[position:end].decode("utf-8", "replace")


@dataclass
class Closure:
    """A file and everything it would load."""

    #: Library name -> path of the file that would be loaded.
    found: dict[str, str] = field(default_factory=dict)
    #: (path of the file that needs it, library name)
    missing: list[tuple[str, str]] = field(default_factory=list)
    #: (path of the file that needs it, path of the library, version it lacks)
    unmet: list[tuple[str, str, str]] = field(default_factory=list)
    #: Highest GLIBC_x version asked by the file itself or anything it loads outside the C library, as (2, 38).
    glibc: tuple[int, ...] = ()


class Loader:
    """Resolves libraries as ld.so does on this machine."""

    def __init__(self, cache: dict[str, list[str]] | None = None):
        self._cache = read_ld_cache() if cache is None else cache
        self._parsed: dict[str, Elf | None] = {}

    def _parse(self, path: str) -> Elf | None:
        path = os.path.realpath(path)
        if path not in self._parsed:
            try:
                self._parsed[path] = Elf(path)
            except (OSError, ElfError):
                self._parsed[path] = None
        return self._parsed[path]

    def resolve(self, elf: Elf, name: str, inherited: tuple[str, ...] = ()) -> str | None:
        """Path of library *name* as *elf* would load it, or ``None``. *inherited* are the loaders' RPATHs."""
        if "/" in name:
            candidates = [name]
        else:
            folders = list(elf.runpath) if elf.runpath else list(elf.rpath) + list(inherited)
            folders = [expand(folder, elf) for folder in folders]
            candidates = [os.path.join(folder, name) for folder in folders]
            candidates += self._cache.get(name, [])
            candidates += [os.path.join(folder, name) for folder in default_folders(elf.machine)]
        for candidate in candidates:
            library = self._parse(candidate) if os.path.isfile(candidate) else None
            if library is not None and library.machine == elf.machine:
                return candidate
        return None

    def closure(self, path: str, loaded: dict[str, str] | None = None) -> Closure:
        """Everything *path* would load, breadth first.

        *loaded*: libraries the process has already (name -> path), such as libwasmedge in the shim.
        Raises ``ElfError`` or ``OSError`` if *path* itself cannot be read.
        """
        result = Closure(found=dict(loaded or {}))
        first = Elf(path)
        queue: list[tuple[Elf, tuple[str, ...]]] = [(first, ())]
        while queue:
            elf, inherited = queue.pop(0)
            rpaths = inherited if elf.runpath else tuple(expand(part, elf) for part in elf.rpath) + inherited
            for name in elf.needed:
                if name in result.found or (elf.path, name) in result.missing:
                    continue
                target = self.resolve(elf, name, inherited)
                if target is None:
                    result.missing.append((elf.path, name))
                    continue
                result.found[name] = target
                library = self._parse(target)
                if library is not None:
                    queue.append((library, rpaths))
            self._check_versions(elf, result)
        return result

    def _check_versions(self, elf: Elf, result: Closure) -> None:
        is_libc = elf.soname.startswith(("libc.so", "ld-linux", "libm.so", "libpthread.so", "libdl.so", "librt.so"))
        for name, versions in elf.version_needs().items():
            library = self._parse(result.found[name]) if name in result.found else None
            offered = library.version_definitions() if library else []
            for version in versions:
                if version.startswith("GLIBC_") and not is_libc:
                    result.glibc = max(result.glibc, version_tuple(version))
                # A library without version definitions satisfies any version (ld.so only warns).
                if library and offered and version not in offered:
                    result.unmet.append((elf.path, library.path, version))


def expand(folder: str, elf: Elf) -> str:
    """*folder* with ld.so's tokens ($ORIGIN, $LIB, $PLATFORM) replaced."""
    values = {"ORIGIN": os.path.dirname(os.path.realpath(elf.path)), "LIB": "lib64", "PLATFORM": elf.machine}
    for token, value in values.items():
        folder = folder.replace(f"${{{token}}}", value).replace("$" + token, value)
    return folder


def default_folders(machine: str) -> list[str]:
    """Folders ld.so searches last: Debian's per-architecture ones, then the common ones."""
    triplet = f"{machine}-linux-gnu"
    return ["/lib/" + triplet, "/usr/lib/" + triplet, "/lib64", "/usr/lib64", "/lib", "/usr/lib"]


def version_tuple(text: str) -> tuple[int, ...]:
    """``GLIBC_2.38`` or ``2.38`` as (2, 38), for comparing; parts that are no number are left out."""
    return tuple(int(part) for part in text.rsplit("_", 1)[-1].split(".") if part.isdigit())


def node_glibc() -> str:
    """This machine's glibc version such as ``2.36``; empty where the C library is another."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""
    return text.split()[-1] if text.startswith("glibc") else ""
