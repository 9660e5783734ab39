# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Model files on a node: how they get their names, and which of them were verified and brought by this collection.

A file grows as ``.<name>.<sha256>.part`` beside its place and gets its name only when checksum and GGUF header are right.
A register of the node, outside the models' folder (which may be shared with others), notes size, time and checksum
of each verified file, so that 40 GB are read once and not in every run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.wasinn.cluster.plugins.module_utils.gguf import describe
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import sha256_file, write_whole

REGISTER = "/var/lib/wasinn/models.json"


class StoreError(Exception):
    """One sentence: what is wrong with a model file on the node and what to do about it."""


@dataclass(frozen=True)
class Entry:
    """A verified file; size in bytes. ``brought``: by this collection, to this node."""

    sha256: str
    size: int
    mtime_ns: int
    brought: bool


class Register:
    """The node's note of verified files, by path."""

    def __init__(self, path: str | Path = REGISTER) -> None:
        self.path = Path(path)

    def entries(self) -> dict[str, Entry]:
        """All entries; none where there is no register, or one that cannot be understood."""
        try:
            found = json.loads(self.path.read_text())
            return {path: Entry(**entry) for path, entry in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def sha256(self, path: Path) -> str:
        """The noted checksum, if the file is there and has the noted size and time; else empty."""
        entry = self.entries().get(str(path))
        with contextlib.suppress(OSError):
            stat = path.stat()
            if entry and (entry.size, entry.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
                return entry.sha256
        return ""

    def note(self, path: Path, sha256: str, brought: bool) -> None:
        """Notes a verified file. What was brought once stays so."""
        stat = path.stat()
        with self._locked():
            entries = self.entries()
            before = entries.get(str(path))
            brought = brought or (before is not None and before.brought)
            entries[str(path)] = Entry(sha256, stat.st_size, stat.st_mtime_ns, brought)
            self._write(entries)

    def forget(self, paths: t.Iterable[Path]) -> None:
        """Removes entries, and the register with its last one."""
        gone = {str(path) for path in paths}
        if not self.path.exists():
            return
        with self._locked():
            left = {path: entry for path, entry in self.entries().items() if path not in gone}
            if left:
                self._write(left)
            else:
                self.path.unlink()
        if not left:
            self._lock.unlink(missing_ok=True)

    @property
    def _lock(self) -> Path:
        return self.path.with_name(f".{self.path.name}.lock")

    @contextlib.contextmanager
    def _locked(self) -> t.Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        with open(self._lock, "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _write(self, entries: dict[str, Entry]) -> None:
        text = json.dumps({path: entry.__dict__ for path, entry in sorted(entries.items())}, indent=1) + "\n"
        write_whole(self.path, text)
        os.chmod(self.path, 0o644)


@dataclass(frozen=True)
class State:
    """How a file is: ``present`` (with the wanted checksum), ``other`` (another content) or ``missing``.

    part: bytes of an unfinished copy; free: bytes on its disk.
    """

    state: str
    part: int
    free: int
    sha256: str = ""


@dataclass(frozen=True)
class ModelFile:
    """One wanted file: its place, and its sha256 (empty where nobody knows it yet; then any file will do)."""

    path: Path
    sha256: str
    register: Register

    @property
    def part(self) -> Path:
        """Where it grows. The checksum in its name keeps the copies of two versions apart."""
        return self.path.with_name(f".{self.path.name}.{self.sha256[:16]}.part")

    def look(self, record: bool = True) -> State:
        """Compares the file with what is wanted; reads it as a whole only if it is not in the register.

        :param record: whether a checksum that had to be computed is noted.
        :raises StoreError: where it cannot be read.
        """
        try:
            part = self.part.stat().st_size if self.sha256 and self.part.exists() else 0
            free = free_bytes(self.path.parent)
            if not self.path.is_file():
                return State("missing", part, free)
            found = self.register.sha256(self.path)
            if not found and self.sha256:
                found = sha256_file(self.path)
                if record and found == self.sha256:
                    self.register.note(self.path, found, brought=False)
        except OSError as exc:
            raise StoreError(disk_sentence(exc, self.path)) from exc
        return State("present" if not self.sha256 or found == self.sha256 else "other", part, free, found)

    def prepare(self, size: int) -> State:
        """Makes room for a copy: the folder, and an unfinished file of the right version, which may be there already.

        :param size: of the whole file in bytes; 0 if nobody knows it yet.
        :raises StoreError: where the disk is too small or cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            for leftover in self.path.parent.glob(f".{_escaped(self.path.name)}.*.part"):
                if leftover != self.part:
                    leftover.unlink()
            self.part.touch(mode=0o600)
            if self.part.stat().st_size > size > 0:
                os.truncate(self.part, 0)
            state = State("missing", self.part.stat().st_size, free_bytes(self.path.parent))
        except OSError as exc:
            raise StoreError(disk_sentence(exc, self.path)) from exc
        if state.free < size - state.part:
            raise StoreError(
                f"{(size - state.part) / 1e6:.0f} MB are needed in {self.path.parent} for {self.path.name} but "
                f"{state.free / 1e6:.0f} MB are free; free some space there, or move models_dir"
            )
        return state

    def finish(self, mode: int = 0o644) -> None:
        """Verifies the grown file and gives it its name.

        Another run may be at it too (one that was killed on the controller leaves its workers behind for a while); then
        the first one to come here does it.

        :raises StoreError: where it is not what was wanted; then it is thrown away.
        """
        try:
            with open(self.part, "rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if self.part.exists():
                    self._verify()
                    os.chmod(self.part, mode)
                    os.fsync(handle.fileno())
                    os.replace(self.part, self.path)
                    self.register.note(self.path, self.sha256, brought=True)
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise StoreError(disk_sentence(exc, self.path)) from exc
        if self.look().state != "present":
            raise StoreError(f"the unfinished copy of {self.path.name} was taken away by somebody else; run again")

    def _verify(self) -> None:
        got = sha256_file(self.part)
        if got != self.sha256:
            size = self.part.stat().st_size
            self.part.unlink()
            raise StoreError(
                f"the copy of {self.path.name} arrived with sha256 {got} ({size} bytes) instead of {self.sha256} and was "
                "thrown away; run again, and if it stays so, check the memory and disk of this machine"
            )
        findings = describe(str(self.part))["findings"]
        if findings:
            self.part.unlink()
            raise StoreError(f"{findings[0]['cause']} {findings[0]['remedy']}".rstrip("."))


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk on which the folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def disk_sentence(exc: OSError, path: Path) -> str:
    """An error of the file system as one sentence with cause and remedy."""
    where = exc.filename or path
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk that holds {path.parent} is full; free some space there and run again to carry on"
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} cannot be read or written ({exc.strerror}); use become, or correct its owner and rights"
    return f"{where}: {exc.strerror or exc}; correct it and run again"


def _escaped(name: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)
