# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the dynamic loader would find each library a file needs, and what it would miss.

Follows ld.so(8): RPATH of the file and of its loaders (without RUNPATH), the file's RUNPATH, ld.so.cache, then the
default folders; in each the variant for this CPU first. LD_LIBRARY_PATH is left out on purpose: services on nodes do
not have it.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ansible_collections.wasinn.cluster.plugins.module_utils.distribution import version_tuple
from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf, ElfError

CACHE_MAGIC = b"glibc-ld.so.cache1.1"
CACHE_HEADER_BYTES = 48
CACHE_ENTRY_BYTES = 24
EXTENSION_MAGIC = 0xEAA42174
TAG_GLIBC_HWCAPS = 1
#: High half of an entry's hwcap field: its low half numbers a glibc-hwcaps subfolder. The lowest 10 bits are an ISA level.
HWCAP_EXTENSION = 1 << 30
HWCAP_ISA_BITS = (1 << 10) - 1

#: glibc-hwcaps subfolder -> CPU flags, as /proc/cpuinfo names them, that it needs beside those of the one before it.
#: Source: x86-64 psABI, "Micro-Architecture Levels"; aarch64 has no such folders.
LEVELS = {
    "x86-64-v2": {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
    "x86-64-v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


def cpu_flags(path: str = "/proc/cpuinfo") -> set[str]:
    """The first CPU's flags; empty where the kernel tells none."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            lines = [line.partition(":") for line in stream]
    except OSError:
        return set()
    return next((set(value.split()) for key, _colon, value in lines if key.strip() == "flags"), set())


def cpu_levels(flags: set[str]) -> tuple[str, ...]:
    """Subfolders of glibc-hwcaps that a CPU with these flags may use, the best first."""
    levels: list[str] = []
    for level, needed in LEVELS.items():
        if not needed <= flags:
            break
        levels.insert(0, level)
    return tuple(levels)


def read_ld_cache(path: str = "/etc/ld.so.cache", levels: Iterable[str] = ()) -> dict[str, list[str]]:
    """Library name -> paths, those for the best of *levels* first; empty where there is no (new-format) cache.

    Source: glibc, sysdeps/generic/dl-cache.h, ``struct cache_file_new`` and ``struct cache_extension``.
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
    ranks = {name: rank for rank, name in enumerate(levels)}
    ranked: dict[str, list[tuple[int, str]]] = {}
    try:
        folders = _hwcaps_folders(data)
        (count,) = struct.unpack_from("<I", data, len(CACHE_MAGIC))
        for index in range(count):
            position = CACHE_HEADER_BYTES + CACHE_ENTRY_BYTES * index
            _flags, name, target, _version, number, kind = struct.unpack_from("<iIIIII", data, position)
            rank = len(ranks)
            if kind & ~HWCAP_ISA_BITS == HWCAP_EXTENSION:
                rank = ranks.get(folders[number], -1) if number < len(folders) else -1
            elif kind or number:
                rank = -1  # folders of the time before glibc 2.33
            if rank >= 0:
                ranked.setdefault(_text(data, name), []).append((rank, _text(data, target)))
    except struct.error:
        pass  # cut short: what was read is all there is
    return {name: [path for _rank, path in sorted(paths, key=lambda pair: pair[0])] for name, paths in ranked.items()}


def _hwcaps_folders(data: bytes) -> list[str]:
    """Names of the glibc-hwcaps subfolders that the cache's entries refer to by number."""
    (start,) = struct.unpack_from("<I", data, len(CACHE_MAGIC) + 12)
    if not start:
        return []
    magic, count = struct.unpack_from("<II", data, start)
    if magic != EXTENSION_MAGIC:
        return []
    for index in range(count):
        tag, _flags, offset, size = struct.unpack_from("<IIII", data, start + 8 + 16 * index)
        if tag == TAG_GLIBC_HWCAPS:
            return [_text(data, name) for name in struct.unpack_from(f"<{size // 4}I", data, offset)]
    return []


def _text(data: bytes, position: int) -> str:
    end = data.find(b"\0", position)
    return data[position:end].decode("utf-8", "replace")


class Unmet(NamedTuple):
    """A symbol version that the library found does not have. *newest* is the newest of its kind there, or empty."""

    needer: str
    library: str
    version: str
    newest: str


@dataclass
class Closure:
    """A file and everything it would load."""

    #: Library name -> path of the file that would be loaded.
    found: dict[str, str] = field(default_factory=dict)
    #: (path of the file that needs it, library name)
    missing: list[tuple[str, str]] = field(default_factory=list)
    #: Library name -> why a file of that name was passed over, for those in *missing*.
    passed_over: dict[str, str] = field(default_factory=dict)
    unmet: list[Unmet] = field(default_factory=list)
    #: Highest GLIBC_x version asked by the file itself or anything it loads outside the C library, as (2, 38).
    glibc: tuple[int, ...] = ()


class Loader:
    """Resolves libraries as ld.so does on this machine."""

    def __init__(self, cache: dict[str, list[str]] | None = None, levels: tuple[str, ...] | None = None):
        self._levels = cpu_levels(cpu_flags()) if levels is None else levels
        self._cache = read_ld_cache(levels=self._levels) if cache is None else cache
        self._parsed: dict[str, Elf | str] = {}

    def _parse(self, path: str) -> Elf | str:
        """The library at *path*, or why it is none. Its path stays as given: $ORIGIN is the folder of a link."""
        if path not in self._parsed:
            try:
                self._parsed[path] = Elf(path)
            except (OSError, ElfError) as error:
                self._parsed[path] = str(error)
        return self._parsed[path]

    def _variants(self, folders: Iterable[str], name: str) -> Iterator[str]:
        for folder in folders:
            for level in self._levels:
                yield os.path.join(folder, "glibc-hwcaps", level, name)
            yield os.path.join(folder, name)

    def _candidates(self, elf: Elf, name: str, inherited: tuple[str, ...]) -> Iterator[str]:
        if "/" in name:
            yield expand(name, elf)
            return
        own = elf.runpath or [*elf.rpath, *inherited]
        yield from self._variants([expand(folder, elf) for folder in own], name)
        yield from self._cache.get(name, [])
        yield from self._variants(default_folders(elf.machine), name)

    def resolve(
        self, elf: Elf, name: str, inherited: tuple[str, ...] = (), passed_over: dict[str, str] | None = None
    ) -> str | None:
        """Path of library *name* as *elf* would load it, or ``None``. *inherited* are the loaders' RPATHs.

        A file that cannot be loaded is passed over, as ld.so does; *passed_over* is told the first of them.
        """
        for candidate in self._candidates(elf, name, inherited):
            if not os.path.isfile(candidate):
                continue
            library = self._parse(candidate)
            if isinstance(library, Elf) and library.machine == elf.machine:
                return candidate
            if passed_over is not None:
                reason = library if isinstance(library, str) else f"{candidate} is for {library.machine}"
                passed_over.setdefault(name, reason)
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
                target = self.resolve(elf, name, inherited, result.passed_over)
                if target is None:
                    result.missing.append((elf.path, name))
                    continue
                result.passed_over.pop(name, None)
                result.found[name] = target
                library = self._parse(target)
                if isinstance(library, Elf):
                    # A library is known by its SONAME as well, wherever it was found.
                    result.found.setdefault(library.soname or name, target)
                    queue.append((library, rpaths))
            self._check_versions(elf, result)
        return result

    def _check_versions(self, elf: Elf, result: Closure) -> None:
        is_libc = elf.soname.startswith(("libc.so", "ld-linux", "libm.so", "libpthread.so", "libdl.so", "librt.so"))
        for name, versions in elf.version_needs().items():
            library = self._parse(result.found[name]) if name in result.found else None
            offered = library.version_definitions() if isinstance(library, Elf) else []
            for version in versions:
                if version.startswith("GLIBC_") and not is_libc:
                    result.glibc = max(result.glibc, version_tuple(version))
                # A library without version definitions satisfies any version (ld.so only warns).
                if isinstance(library, Elf) and offered and version not in offered:
                    kin = [other for other in offered if other.rsplit("_", 1)[0] == version.rsplit("_", 1)[0]]
                    newest = max(kin, key=version_tuple, default="")
                    result.unmet.append(Unmet(elf.path, library.path, version, newest))


def expand(folder: str, elf: Elf) -> str:
    """*folder* with ld.so's tokens ($ORIGIN, $LIB, $PLATFORM) replaced."""
    # The kernel tells a program its real path; a library is known by the path it was found at.
    path = os.path.realpath(elf.path) if elf.interpreter else os.path.abspath(elf.path)
    values = {"ORIGIN": os.path.dirname(path), "LIB": library_folder(elf.machine), "PLATFORM": elf.machine}
    for token, value in values.items():
        folder = folder.replace(f"${{{token}}}", value).replace("$" + token, value)
    return folder


def library_folder(machine: str, root: str = "/") -> str:
    """Where this distribution keeps its libraries: Debian's per-architecture folder, ``lib64`` or ``lib``."""
    for folder in (f"lib/{machine}-linux-gnu", "lib64"):
        if os.path.exists(os.path.join(root, folder, "libc.so.6")):
            return folder
    return "lib"


def default_folders(machine: str = "", root: str = "/") -> list[str]:
    """Folders ld.so searches last, which the distribution's way to keep libraries decides."""
    own = library_folder(machine or platform.machine(), root)
    return [f"/{own}", f"/usr/{own}", *([] if own in ("lib", "lib64") else ["/lib", "/usr/lib"])]


def node_glibc() -> str:
    """This machine's glibc version such as ``2.36``; empty where the C library is another."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""
    return text.split()[-1] if text.startswith("glibc") else ""
