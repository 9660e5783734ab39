# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One transfer: a URL to a partial file, carried on by Range where an earlier attempt ended."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import time
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from ansible_collections.wasinn.cluster.plugins.module_utils.source import Answer, DownloadError, Refusal, Source

_CHUNK = 1 << 20
# Answers that may be better a moment later (RFC 9110, sections 15.5.9, 15.6; RFC 6585, section 4).
_RETRY_STATUS = frozenset((408, 425, 429, 500, 502, 503, 504))
_T = t.TypeVar("_T")
_SMALL = 4 << 20  # bytes of a manifest or token at most

#: ``opener(url, headers, timeout)`` returns a response with read(), headers and code; like urllib's urlopen it
#: raises HTTPError for a status of 400 and above and URLError or OSError where there is no answer. Where they are
#: needed it is also given ``secrets`` (headers that must not follow a redirect to another server) and ``method``; a
#: HEAD is not redirected, its HTTPError has the redirect.
Opener = t.Callable[..., t.Any]


class _Interrupted(Exception):
    """The transfer ended early; what came so far is kept and another attempt may carry on."""


@dataclass
class Progress:
    """Bytes of one running download, written by its thread and read by whoever reports."""

    name: str
    done: int = 0
    total: int = 0
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Transfer:
    """How files are brought; see Cache for the parameters."""

    opener: Opener
    timeout: float = 30
    retries: int = 3
    delay: float = 1.0

    def run(
        self, url: str, part: Path, name: str, progress: Progress, source: Source | None = None, limit: int = 0
    ) -> None:
        """Appends what ``part`` lacks of ``url``; ``limit`` bytes at most (0: any).

        :raises DownloadError: where it cannot be had; ``part`` stays for the next run.
        :raises OSError: of the local disk.
        """
        source = source or Source()
        self._persist(name, lambda: self._attempt(url, part, name, progress, source, limit), "run again to carry on")

    def ask(
        self, url: str, name: str, source: Source, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """One request with a small answer. A redirect is an answer to a HEAD, and followed otherwise.

        :raises DownloadError: where it is refused or nobody answers.
        """

        def attempt() -> Answer:
            with self._open(url, dict(headers or {}), name, source, method) as response:
                body = b"" if method == "HEAD" else _read(response, _SMALL, url)
                return Answer(response.code, response.headers, body)

        return self._persist(name, attempt, "run again")

    def first_bytes(self, url: str, name: str, source: Source, count: int) -> tuple[bytes, int]:
        """The first ``count`` bytes (less of a smaller file) and the size of the whole, 0 where the server hides it.

        :raises DownloadError: where they cannot be had.
        """

        def attempt() -> tuple[bytes, int]:
            headers = {"Accept-Encoding": "identity", "Range": f"bytes=0-{count - 1}"}
            with self._open(url, headers, name, source) as response:
                if response is None:
                    return b"", 0
                data = _read(response, count, url)
                size = (response.headers.get("Content-Range") or "").rpartition("/")[2]
                if response.code != 206:
                    size = response.headers.get("Content-Length") or ""
                return data, int(size) if size.isdigit() else 0

        return self._persist(name, attempt, "run again")

    def _persist(self, name: str, attempt: t.Callable[[], _T], what_now: str) -> _T:
        for number in range(self.retries + 1):
            if number:
                time.sleep(min(self.delay * 2 ** (number - 1), 30))
            try:
                return attempt()
            except _Interrupted as exc:
                reason = exc
        raise DownloadError(f"{name}: {reason}; gave up after {self.retries + 1} attempts, {what_now}")

    def _attempt(self, url: str, part: Path, name: str, progress: Progress, source: Source, limit: int) -> None:
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with self._open(url, headers, name, source, part=part) as response:
            if response is None:  # the part was already the whole file
                return
            start = _range_start(response) if have else 0
            if start not in (0, have):
                part.unlink()
                raise _Interrupted(f"{url} was continued at a wrong place")
            length = response.headers.get("Content-Length")
            total = start + int(length) if length and length.isdigit() else 0
            if total:
                _check_space(part.parent, total - start, name)
            progress.done, progress.total = start, total
            with open(part, "ab" if start else "wb") as out:
                while True:
                    try:
                        block = response.read(_CHUNK)
                    except Exception as exc:  # http.client, ssl and socket have each their own
                        raise _Interrupted(
                            f"the connection to {url} broke after {progress.done} bytes ({exc})"
                        ) from exc
                    if not block:
                        break
                    out.write(block)
                    progress.done += len(block)
                    if limit and progress.done > limit:
                        raise DownloadError(f"{name}: {url} is larger than {limit} bytes; check the URL")
                out.flush()
                os.fsync(out.fileno())
            if progress.done < total:
                raise _Interrupted(
                    f"{url} ended after {progress.done} of {total} bytes; the first part is kept in {part}"
                )

    @contextlib.contextmanager
    def _open(
        self,
        url: str,
        headers: dict[str, str],
        name: str,
        source: Source,
        method: str = "GET",
        part: Path | None = None,
    ) -> t.Iterator[t.Any]:
        if urlsplit(url).scheme == "file":
            with _LocalFile(url, headers, name) as response:
                yield response
            return
        response = self._request(url, headers, name, source, method, part)
        if response is None:
            yield None
            return
        try:
            yield response
        finally:
            response.close()

    def _request(
        self, url: str, headers: dict[str, str], name: str, source: Source, method: str, part: Path | None
    ) -> t.Any:
        """The open response; None where ``part`` is the whole file already."""
        for try_with_challenge in (True, False):
            secrets = source.secrets(method, url)
            special: dict[str, t.Any] = {**({"secrets": secrets} if secrets else {})}
            if method != "GET":
                special["method"] = method
            try:
                return self.opener(url, headers, self.timeout, **special)
            except HTTPError as exc:
                if exc.code < 400 and method == "HEAD":
                    return exc
                if (
                    exc.code == 401
                    and try_with_challenge
                    and source.challenged(name, exc.headers, functools.partial(self._token, source))
                ):
                    exc.close()
                    continue
                return self._refused(exc, url, name, source, part)
            except (URLError, OSError, HTTPException) as exc:
                reason = getattr(exc, "reason", None) or exc
                raise _Interrupted(
                    f"{urlsplit(url).netloc} cannot be reached ({reason}): "
                    "check the network, the proxy and artifacts_mirror"
                ) from exc

    def _refused(self, exc: HTTPError, url: str, name: str, source: Source, part: Path | None) -> None:
        """Returns only where the refusal means that ``part`` is whole."""
        with exc:
            if exc.code == 416 and part is not None:
                have = part.stat().st_size
                if (exc.headers.get("Content-Range") or "").rpartition("/")[2] == str(have):
                    return
                part.unlink()
                raise _Interrupted(f"{url} is shorter than what was there of it") from exc
            if exc.code in _RETRY_STATUS:
                raise _Interrupted(f"{url} answered {exc.code} {exc.reason}") from exc
            body = ""
            with contextlib.suppress(Exception):  # the sentence can do without
                body = exc.read(_CHUNK).decode(errors="replace")
            refusal = Refusal(name, url, exc.code, str(exc.reason), exc.headers, body)
            raise DownloadError(f"{source.sentence(refusal)}") from exc

    def _token(self, source: Source, name: str, url: str, secrets: dict[str, str]) -> Answer:
        """A request to the server that hands out tokens for a source."""
        return self.ask(url, name, _Showing(secrets, source))


class _Showing(Source):
    """Shows what it is told to, and leaves the words to the source it does so for."""

    def __init__(self, shown: dict[str, str], source: Source) -> None:
        super().__init__()
        self._shown, self._source = shown, source

    def secrets(self, method: str, url: str) -> dict[str, str]:
        return self._shown

    def sentence(self, refusal: Refusal) -> str:
        return self._source.sentence(refusal)


class _LocalFile:
    """A file:// source with the little of an HTTP response that a download needs, Range included."""

    code = 206

    def __init__(self, url: str, headers: dict[str, str], name: str) -> None:
        path = unquote(urlsplit(url).path)
        try:
            self._file = open(path, "rb")  # noqa: SIM115 - __exit__ closes it
        except OSError as exc:
            raise DownloadError(
                f"{name}: {path} cannot be read ({exc.strerror}); build or fill the mirror, or correct artifacts_mirror"
            ) from exc
        size = os.fstat(self._file.fileno()).st_size
        start = int(headers.get("Range", "bytes=0-")[len("bytes=") :].partition("-")[0])
        start = start if start < size else 0
        self._file.seek(start)
        self.headers = {"Content-Length": str(size - start), "Content-Range": f"bytes {start}-{size}/{size}"}

    def __enter__(self) -> _LocalFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        return self._file.read(size)


def _range_start(response: t.Any) -> int:
    """Where the body starts: 0 where the server does not know Range and sends the whole file (RFC 9110, 14.2)."""
    if response.code != 206:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return int(match.group(1)) if match else -1


def _read(response: t.Any, limit: int, url: str) -> bytes:
    """Up to ``limit`` bytes of the body."""
    blocks: list[bytes] = []
    left = limit
    while left:
        try:
            block = response.read(min(left, _CHUNK))
        except Exception as exc:  # http.client, ssl and socket have each their own
            raise _Interrupted(f"the connection to {url} broke ({exc})") from exc
        if not block:
            break
        blocks.append(block)
        left -= len(block)
    return b"".join(blocks)


def _check_space(folder: Path, need: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DownloadError(
            f"{name}: {need / 1e6:.0f} MB are needed in {folder} but {free / 1e6:.0f} MB are free; "
            "free some space or move artifacts_cache, then run again"
        )
