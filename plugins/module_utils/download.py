# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A verified download cache on the controller, laid out like a mirror: ``<root>/HOST/PATH``.

A file reaches its final name only after its sha256 was seen to be right; until then it is
``<file>.part``, which a later run resumes. Whoever finds a file under its final name may use it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.wasinn.cluster.plugins.module_utils.transfer import (
    DownloadError,
    Opener,
    Progress,
    Transfer,
)

_CHUNK = 1 << 20
_QUIET_WAIT = 10.0  # seconds of waiting for another process that are not worth a line
_LIST_LIMIT = 4 << 20  # a checksum list of a release has some kilobytes
_LIST_LINE = re.compile(r"^([0-9a-fA-F]{64})\s+\*?(?:\./)?(\S.*?)\s*$")


@dataclass(frozen=True)
class Artifact:
    """What to fetch. Without ``sha256`` the release's list at ``checksums`` (a URL) has to name the file."""

    name: str
    url: str
    sha256: str = ""
    checksums: str = ""
    mode: int = 0o644


@dataclass
class Fetched:
    """Where an artifact is, or will be (``pending``); size in bytes."""

    path: str
    sha256: str
    size: int
    url: str
    pending: bool = False
    changed: bool = False


class Cache:
    """Fetches artifacts into ``root``; one object may be used by several threads.

    :param root: directory of the cache.
    :param mirror: URL or directory that holds ``HOST/PATH``; empty for the artifact's own URL.
    :param offline: never use the network nor the mirror.
    :param timeout: seconds without a byte after which an attempt is given up.
    :param retries: further attempts after the first.
    :param notify: takes a line for the user.
    """

    def __init__(
        self,
        root: str,
        opener: Opener,
        mirror: str = "",
        offline: bool = False,
        timeout: float = 30,
        retries: int = 3,
        delay: float = 1.0,
        notify: t.Callable[[str], None] = lambda line: None,
    ) -> None:
        self.root = Path(root)
        self.mirror = mirror.rstrip("/")
        if self.mirror.startswith("/"):
            self.mirror = "file://" + quote(self.mirror)
        self.offline = offline
        self._transfer = Transfer(opener, bool(mirror), timeout, retries, delay)
        self._notify = notify
        self._lists: dict[str, dict[str, str]] = {}
        self._lists_lock = threading.Lock()
        self.running: dict[str, Progress] = {}

    # -- where things are ------------------------------------------------------------------------------------------

    def path(self, url: str) -> Path:
        """The file's place in the cache, as in a mirror: ``https://HOST/PATH`` at ``HOST/PATH``, decoded."""
        host, parts = _split(url)
        return self.root.joinpath(host, *parts)

    def source(self, url: str) -> str:
        """The URL to read from: the artifact's own, or the same file in the mirror."""
        if not self.mirror or urlsplit(url).scheme == "file":
            return url
        host, parts = _split(url)
        # "+" goes as %2B: object stores read a bare one as a space.
        return "/".join([self.mirror, quote(host, safe=":"), *(quote(part, safe="") for part in parts)])

    # -- the two things a caller does ------------------------------------------------------------------------------

    def predict(self, artifact: Artifact) -> Fetched:
        """What fetch() would do, without network and without writing (check mode)."""
        path = self.path(artifact.url)
        wanted = artifact.sha256.lower()
        if not wanted and artifact.checksums:
            with contextlib.suppress(OSError):
                listed = parse_checksums(self.path(artifact.checksums).read_text(errors="replace"))
                wanted = listed.get(path.name, "")
        if wanted and self._verified(path, wanted, record=False):
            return Fetched(str(path), wanted, path.stat().st_size, artifact.url)
        return Fetched(str(path), wanted, 0, artifact.url, pending=True, changed=True)

    def fetch(self, artifact: Artifact) -> Fetched:
        """Brings the artifact into the cache unless it is there and right.

        :raises DownloadError: with one sentence for the user.
        """
        path = self.path(artifact.url)
        try:
            wanted = self._wanted(artifact, path.name)
            changed = False
            if not self._verified(path, wanted):
                with self._locked(path, artifact.name):
                    # Another process may have brought it while this one waited for the lock.
                    if not self._verified(path, wanted):
                        self._replace(artifact, path, wanted)
                        changed = True
            return Fetched(str(path), wanted, path.stat().st_size, artifact.url, changed=changed)
        except OSError as exc:
            raise DownloadError(_disk_sentence(exc, artifact.name, path)) from exc

    # -- checksums -------------------------------------------------------------------------------------------------

    def _wanted(self, artifact: Artifact, filename: str) -> str:
        if artifact.sha256:
            if not re.fullmatch(r"[0-9a-fA-F]{64}", artifact.sha256):
                raise DownloadError(
                    f"{artifact.name}: the pinned sha256 {artifact.sha256!r} has not 64 hexadecimal digits; correct it"
                )
            return artifact.sha256.lower()
        if not artifact.checksums:
            raise DownloadError(
                f"{artifact.name}: nothing says which sha256 {artifact.url} has to have, so it is not downloaded; "
                "pin its sha256 or give the URL of the release's checksum list"
            )
        listed = self._list(artifact.checksums, filename, artifact.name)
        if filename not in listed:
            raise DownloadError(
                f"{artifact.name}: the checksum list {self.source(artifact.checksums)} has no entry for {filename}; "
                "check the version and the architecture, or pin the sha256"
            )
        return listed[filename]

    def _list(self, url: str, filename: str, name: str) -> dict[str, str]:
        with self._lists_lock:
            if url not in self._lists:
                self._lists[url] = self._read_list(url, filename, name)
            return self._lists[url]

    def _read_list(self, url: str, filename: str, name: str) -> dict[str, str]:
        """The list from the cache or anew.

        Upstream's lists do not change after a release, so a cached one is trusted on (a file swapped upstream does not
        get in silently). A mirror is the user's own and may be rebuilt: its lists are read again each time.
        """
        path = self.path(url)
        cached: dict[str, str] = {}
        with contextlib.suppress(FileNotFoundError):
            cached = parse_checksums(path.read_text(errors="replace"))
        if cached and (self.offline or (not self.mirror and filename in cached)):
            return cached
        if self.offline:
            raise DownloadError(
                f"{name}: the checksum list {url} is not in the cache at {path} and offline mode allows no download; "
                "fill the cache first, or pin the sha256"
            )
        with self._locked(path, name):
            part = path.with_name(path.name + ".part")
            part.unlink(missing_ok=True)
            try:
                self._transfer.run(self.source(url), part, name, Progress(name), limit=_LIST_LIMIT)
            except DownloadError as exc:
                if filename in cached:
                    self._notify(f"{exc}. The list in the cache is used instead.")
                    return cached
                raise
            listed = parse_checksums(part.read_text(errors="replace"))
            if not listed:
                part.unlink()
                raise DownloadError(
                    f"{name}: {self.source(url)} is not a checksum list (no line with a sha256 and a name); "
                    "check the URL, a proxy's login page may have answered"
                )
            os.replace(part, path)
            return listed

    def _verified(self, path: Path, wanted: str, record: bool = True) -> bool:
        """Whether the file is there with this sha256; hashes it only when size or time changed since the last time."""
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        note = path.with_name(f".{path.name}.verified")
        seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(note.read_text())
            if isinstance(known, dict) and all(known.get(key) == value for key, value in seen.items()):
                return known.get("sha256") == wanted
        digest = sha256_file(path)
        if record:
            # A cache on read-only media works too, only slower.
            with contextlib.suppress(OSError):
                _write(note, json.dumps({**seen, "sha256": digest}) + "\n")
        return digest == wanted

    # -- transfer --------------------------------------------------------------------------------------------------

    def _replace(self, artifact: Artifact, path: Path, wanted: str) -> None:
        if self.offline:
            state = "has another sha256 than expected" if path.exists() else "is not in the cache"
            raise DownloadError(
                f"{artifact.name}: {path} {state} and offline mode allows no download; "
                "fill the cache where there is a network, or unpack a bundle over it"
            )
        source = self.source(artifact.url)
        part = path.with_name(path.name + ".part")
        resumed = part.exists()
        progress = self.running[artifact.name] = Progress(artifact.name)
        try:
            self._transfer.run(source, part, artifact.name, progress)
            got = sha256_file(part)
            if got != wanted and resumed:
                # The older part may belong to a file that has since been replaced: once more from the start.
                part.unlink()
                self._transfer.run(source, part, artifact.name, progress)
                got = sha256_file(part)
        finally:
            self.running.pop(artifact.name, None)
        if got != wanted:
            size = part.stat().st_size
            part.unlink()
            raise DownloadError(
                f"{artifact.name}: {source} has a wrong checksum: expected sha256 {wanted}, got {got} ({size} bytes); "
                "the download was thrown away: run again, and if it stays so, the file or the pin was changed"
            )
        os.chmod(part, artifact.mode)
        os.replace(part, path)
        stat = path.stat()
        note = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": wanted}
        _write(path.with_name(f".{path.name}.verified"), json.dumps(note) + "\n")
        seconds = max(time.monotonic() - progress.started, 0.001)
        self._notify(f"fetched {artifact.name}: {stat.st_size / 1e6:.1f} MB in {seconds:.1f} s")

    @contextlib.contextmanager
    def _locked(self, path: Path, name: str) -> t.Iterator[None]:
        """One process or thread at a time for this file; the lock goes with its holder, however that ends."""
        path.parent.mkdir(parents=True, exist_ok=True)
        locks = self.root / ".locks"
        locks.mkdir(exist_ok=True)
        with open(locks / hashlib.sha256(str(path.relative_to(self.root)).encode()).hexdigest()[:32], "w") as handle:
            self._wait_for_lock(handle, name)
            yield

    def _wait_for_lock(self, handle: t.IO[str], name: str) -> None:
        quiet_until = time.monotonic() + _QUIET_WAIT
        while time.monotonic() < quiet_until:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.1)
        self._notify(f"waiting for another process that fetches {name}")
        fcntl.flock(handle, fcntl.LOCK_EX)


def parse_checksums(text: str) -> dict[str, str]:
    """``sha256sum`` output as {file name: sha256}; other lines are passed over."""
    matches = (_LIST_LINE.match(line) for line in text.splitlines())
    return {match.group(2): match.group(1).lower() for match in matches if match}


def sha256_file(path: str | Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while True:
            block = handle.read(_CHUNK)
            if not block:
                return digest.hexdigest()
            digest.update(block)


def _split(url: str) -> tuple[str, list[str]]:
    parts = urlsplit(url)
    path = [unquote(part) for part in parts.path.split("/") if part]
    if parts.scheme not in ("http", "https", "file") or not path or not (parts.hostname or parts.scheme == "file"):
        raise DownloadError(f"{url!r} is not a URL of a file (http, https or file); correct it")
    if any(part in (".", "..") or "/" in part or "\0" in part for part in path):
        raise DownloadError(f"{url!r} leads out of its folder; correct it")
    host = parts.netloc.rpartition("@")[2] or "localhost"
    return host.lower(), path


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _disk_sentence(exc: OSError, name: str, path: Path) -> str:
    if exc.errno == errno.ENOSPC:
        return (
            f"{name}: the disk that holds {path.parent} is full; "
            "free some space or move artifacts_cache, then run again to carry on from what is there"
        )
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{name}: {exc.filename or path} cannot be written ({exc.strerror}); "
            "correct its owner and rights or choose another artifacts_cache"
        )
    return f"{name}: {exc.filename or path}: {exc.strerror or exc}; correct it and run again"
