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
import os
import re
import threading
import time
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import (
    known_sha256,
    note_sha256,
    parse_checksums,
    sha256_file,
    write_whole,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.source import (
    Answer,
    DownloadError,
    Source,
    mirror_source,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.transfer import Opener, Progress, Transfer

_QUIET_WAIT = 10.0  # seconds of waiting for another process that are not worth a line


@dataclass(frozen=True)
class Artifact:
    """What to fetch. Without ``sha256`` the source, or the release's list at ``checksums`` (a URL), has to tell it."""

    name: str
    url: str
    sha256: str = ""
    checksums: str = ""
    mode: int = 0o644
    source: Source = field(default_factory=Source, compare=False)
    stays: bool = False  # a file on the controller that is used where it is, not copied into the cache


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
    :param mirror_credentials: as :class:`Source` takes them.
    """

    def __init__(
        self,
        root: str,
        opener: Opener,
        mirror: str = "",
        offline: bool = False,
        record: bool = True,
        timeout: float = 30,
        retries: int = 3,
        delay: float = 1.0,
        notify: t.Callable[[str], None] = lambda line: None,
        mirror_credentials: Mapping[str, str] | None = None,
    ) -> None:
        self.root = Path(root)
        self.mirror = mirror.rstrip("/")
        if self.mirror.startswith("/"):
            self.mirror = "file://" + quote(self.mirror)
        self.offline = offline
        self.record = record  # checksums that were computed
        self._transfer = Transfer(opener, timeout, retries, delay)
        self._mirror_source = mirror_source(mirror_credentials or {})
        self._notify = notify
        self._lists: dict[str, dict[str, str]] = {}
        self._lists_lock = threading.Lock()
        self.running: dict[str, Progress] = {}
        self.metadata: set[str] = set()  # paths of the lists and descriptions that were used

    # -- where things are ------------------------------------------------------------------------------------------

    def path(self, url: str) -> Path:
        """The URL's place in the cache, as in a mirror: ``https://HOST/PATH`` at ``HOST/PATH``, decoded."""
        host, parts = _split(url)
        return self.root.joinpath(host, *parts)

    def place(self, artifact: Artifact) -> Path:
        """Where a located artifact is once it has been fetched."""
        return Path(unquote(urlsplit(artifact.url).path)) if artifact.stays else self.path(artifact.url)

    def source(self, url: str) -> str:
        """The URL to read from: the artifact's own, or the same file in the mirror."""
        if not self.mirror or urlsplit(url).scheme == "file":
            return url
        host, parts = _split(url)
        # "+" goes as %2B: object stores read a bare one as a space.
        return "/".join([self.mirror, quote(host, safe=":"), *(quote(part, safe="") for part in parts)])

    @property
    def direct(self) -> bool:
        """Whether requests go to the source itself, not to a mirror."""
        return not self.mirror

    def _asked(self, url: str, source: Source) -> Source:
        """Who answers for that URL: the mirror, or the file's own source."""
        return source if self.direct or urlsplit(url).scheme == "file" else self._mirror_source

    # -- what a caller does ----------------------------------------------------------------------------------------

    def locate(self, artifact: Artifact) -> Artifact:
        """The artifact with its final address and sha256, before anything of the file itself is downloaded.

        :raises DownloadError: with one sentence for the user.
        """
        if artifact.sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", artifact.sha256):
            raise DownloadError(
                f"{artifact.name}: the pinned sha256 {artifact.sha256!r} has not 64 hexadecimal digits; correct it"
            )
        if artifact.stays:
            return replace(artifact, sha256=artifact.sha256.lower() or self._own_sha256(artifact))
        found = artifact.source.locate(artifact.name, artifact.url, artifact.sha256.lower(), self)
        sha256 = found.sha256 or self._listed(artifact, self.path(found.url).name)
        return replace(artifact, url=found.url, sha256=sha256)

    def first_bytes(self, artifact: Artifact, count: int) -> tuple[bytes, int]:
        """The beginning of a located artifact and its size, from the cache or by a ranged request; kept nowhere.

        :raises DownloadError: where it cannot be had.
        """
        path = self.place(artifact)
        if artifact.stays or self._verified(path, artifact.sha256, record=False):
            with open(path, "rb") as handle:
                return handle.read(count), path.stat().st_size
        self._not_offline(artifact.name, path)
        source = self._asked(artifact.url, artifact.source)
        return self._transfer.first_bytes(self.source(artifact.url), artifact.name, source, count)

    def predict(self, artifact: Artifact) -> Fetched:
        """What fetch() would do, without network and without writing (check mode)."""
        offline = Cache(str(self.root), _nobody, offline=True, record=False)
        with contextlib.suppress(DownloadError, OSError):
            artifact = offline.locate(artifact)
        path, wanted = self.place(artifact), artifact.sha256.lower()
        if wanted and self._verified(path, wanted, record=False):
            return Fetched(str(path), wanted, path.stat().st_size, artifact.url)
        return Fetched(str(path), wanted, 0, artifact.url, pending=True, changed=True)

    def confirm(self, artifact: Artifact) -> Fetched:
        """What predict() says, once the first byte of what is not there has come; nothing is kept but the lists of checksums.

        :raises DownloadError: as fetch() would, as far as that can be known beforehand.
        """
        found = self.predict(artifact)
        if not found.pending:
            return found
        try:
            artifact = self.locate(artifact)
            if artifact.stays:
                self._check_own(artifact)
            else:
                self.first_bytes(artifact, 1)
        except OSError as exc:
            raise DownloadError(_disk_sentence(exc, artifact.name, self.path(artifact.url))) from exc
        return self.predict(artifact)

    def fetch(self, artifact: Artifact) -> Fetched:
        """Brings the artifact into the cache unless it is there and right.

        :raises DownloadError: with one sentence for the user.
        """
        path = self.path(artifact.url)
        try:
            artifact = self.locate(artifact)
            path, wanted = self.place(artifact), artifact.sha256
            changed = False
            if artifact.stays:
                self._check_own(artifact)
            elif not self._verified(path, wanted):
                with self._locked(path, artifact.name):
                    # Another process may have brought it while this one waited for the lock.
                    if not self._verified(path, wanted):
                        self._replace(artifact, path, wanted)
                        changed = True
            return Fetched(str(path), wanted, path.stat().st_size, artifact.url, changed=changed)
        except OSError as exc:
            raise DownloadError(_disk_sentence(exc, artifact.name, path)) from exc

    def _own_sha256(self, artifact: Artifact) -> str:
        path = self.place(artifact)
        try:
            found = known_sha256(path, self._note(path), self.record)
        except OSError as exc:
            raise DownloadError(f"{artifact.name}: {path} cannot be read ({exc.strerror}); correct its rights") from exc
        if not found:
            raise DownloadError(f"{artifact.name}: there is no {path} on the controller; correct path")
        return found

    def _check_own(self, artifact: Artifact) -> None:
        found = self._own_sha256(artifact)
        if found != artifact.sha256:
            raise DownloadError(
                f"{artifact.name}: {self.place(artifact)} has sha256 {found}, but {artifact.sha256} is pinned; "
                "correct the pin or the file"
            )

    # -- what sources ask ------------------------------------------------------------------------------------------

    def ask(
        self, name: str, url: str, source: Source, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """One small request to ``url`` or its place in the mirror. Redirects are not followed by HEAD."""
        if self.offline:
            raise DownloadError(f"{name}: offline mode does not allow to ask for {url}; fill the cache first")
        return self._transfer.ask(self.source(url), name, self._asked(url, source), headers, method)

    def remembered(
        self, name: str, what: str, url: str, make: t.Callable[[], str], usable: t.Callable[[str], bool]
    ) -> str:
        """The text at the cache's place of ``url``, made anew where it is not there or may have changed.

        What upstream said once is trusted on (a file swapped upstream does not get in silently). A mirror is the
        user's own and may be rebuilt: it is asked each time, and its last answer serves while it cannot be reached.
        """
        path = self.path(url)
        self.metadata.add(str(path))
        cached = ""
        with contextlib.suppress(FileNotFoundError):
            cached = path.read_text(errors="replace")
        known = bool(cached) and usable(cached)
        if known and (self.offline or self.direct):
            return cached
        if self.offline:
            raise DownloadError(
                f"{name}: the {what} {url} is not in the cache at {path} and offline mode allows no download; "
                "fill the cache first, or pin the sha256"
            )
        with self._locked(path, name):
            try:
                text = make()
            except DownloadError as exc:
                if known:
                    self._notify(f"{exc}. The {what} in the cache is used instead.")
                    return cached
                raise
            if not usable(text):
                raise DownloadError(
                    f"{name}: {self.source(url)} is not a {what} (it begins with {text[:20]!r}); "
                    "check the URL, a proxy's login page may have answered"
                )
            write_whole(path, text)
            return text

    # -- checksums -------------------------------------------------------------------------------------------------

    def _listed(self, artifact: Artifact, filename: str) -> str:
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
        def fetched() -> str:
            return self.ask(name, url, Source()).body.decode(errors="replace")

        what = "checksum list"
        with self._lists_lock:
            if url not in self._lists:
                # A cached list without this file is older than the release's last upload.
                text = self.remembered(name, what, url, fetched, lambda text: bool(parse_checksums(text)))
                if filename not in parse_checksums(text) and self.direct and not self.offline:
                    text = self.remembered(name, what, url, fetched, lambda text: filename in parse_checksums(text))
                self._lists[url] = parse_checksums(text)
            return self._lists[url]

    def _verified(self, path: Path, wanted: str, record: bool = True) -> bool:
        """Whether the file is there with this sha256."""
        return known_sha256(path, self._note(path), record) == wanted

    def _note(self, path: Path) -> Path:
        """Where the checksum of a file is kept: beside it in the cache, for others in a folder of the cache."""
        if self.root in path.parents:
            return path.with_name(f".{path.name}.verified")
        return self.root / ".hashes" / hashlib.sha256(str(path).encode()).hexdigest()[:32]

    def _not_offline(self, name: str, path: Path) -> None:
        if self.offline:
            state = "has another sha256 than expected" if path.exists() else "is not in the cache"
            raise DownloadError(
                f"{name}: {path} {state} and offline mode allows no download; "
                "fill the cache where there is a network, or unpack a bundle over it"
            )

    # -- transfer --------------------------------------------------------------------------------------------------

    def _replace(self, artifact: Artifact, path: Path, wanted: str) -> None:
        self._not_offline(artifact.name, path)
        artifact.source.check_pin(artifact.name, artifact.url, wanted, self)
        source, asked = self.source(artifact.url), self._asked(artifact.url, artifact.source)
        part = path.with_name(path.name + ".part")
        resumed = part.exists()
        progress = self.running[artifact.name] = Progress(artifact.name)
        try:
            self._transfer.run(source, part, artifact.name, progress, asked)
            got = sha256_file(part)
            if got != wanted and resumed:
                # The older part may belong to a file that has since been replaced: once more from the start.
                part.unlink()
                self._transfer.run(source, part, artifact.name, progress, asked)
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
        note_sha256(path, self._note(path), wanted)
        seconds = max(time.monotonic() - progress.started, 0.001)
        self._notify(f"fetched {artifact.name}: {path.stat().st_size / 1e6:.1f} MB in {seconds:.1f} s")

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


def _nobody(*_request: object, **_more: object) -> t.NoReturn:
    raise OSError("nobody is asked")


def _split(url: str) -> tuple[str, list[str]]:
    parts = urlsplit(url)
    path = [unquote(part) for part in parts.path.split("/") if part]
    if parts.scheme not in ("http", "https", "file") or not path or not (parts.hostname or parts.scheme == "file"):
        raise DownloadError(f"{url!r} is not a URL of a file (http, https or file); correct it")
    if any(part in (".", "..") or "/" in part or "\0" in part for part in path):
        raise DownloadError(f"{url!r} leads out of its folder; correct it")
    host = parts.netloc.rpartition("@")[2] or "localhost"
    return host.lower(), path


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
