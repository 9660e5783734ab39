# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One transfer: a URL to a partial file, carried on by Range where an earlier attempt ended."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

_CHUNK = 1 << 20
# Answers that may be better a moment later (RFC 9110, sections 15.5.9, 15.6; RFC 6585, section 4).
_RETRY_STATUS = frozenset((408, 425, 429, 500, 502, 503, 504))

#: ``opener(url, headers, timeout)`` returns a response with read(), headers and code; like urllib's urlopen it
#: raises HTTPError for a status of 400 and above and URLError or OSError where there is no answer.
Opener = t.Callable[[str, dict[str, str], float], t.Any]


class DownloadError(Exception):
    """One sentence: what went wrong and what to do about it."""


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
    """How files are brought; see Cache for the parameters. ``mirrored`` only chooses words."""

    opener: Opener
    mirrored: bool = False
    timeout: float = 30
    retries: int = 3
    delay: float = 1.0

    def run(self, source: str, part: Path, name: str, progress: Progress, limit: int = 0) -> None:
        """Appends what ``part`` lacks of ``source``; ``limit`` bytes at most (0: any).

        :raises DownloadError: where it cannot be had; ``part`` stays for the next run.
        :raises OSError: of the local disk.
        """
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(self.delay * 2 ** (attempt - 1), 30))
            try:
                self._attempt(source, part, name, progress, limit)
                return
            except _Interrupted as exc:
                reason = exc
        raise DownloadError(f"{name}: {reason}; gave up after {self.retries + 1} attempts, run again to carry on")

    def _attempt(self, source: str, part: Path, name: str, progress: Progress, limit: int) -> None:
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with self._open(source, headers, name, part) as response:
            if response is None:  # the part was already the whole file
                return
            start = _range_start(response) if have else 0
            if start not in (0, have):
                part.unlink()
                raise _Interrupted(f"{source} was continued at a wrong place")
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
                            f"the connection to {source} broke after {progress.done} bytes ({exc})"
                        ) from exc
                    if not block:
                        break
                    out.write(block)
                    progress.done += len(block)
                    if limit and progress.done > limit:
                        raise DownloadError(f"{name}: {source} is larger than {limit} bytes; check the URL")
                out.flush()
                os.fsync(out.fileno())
            if progress.done < total:
                raise _Interrupted(
                    f"{source} ended after {progress.done} of {total} bytes; the first part is kept in {part}"
                )

    @contextlib.contextmanager
    def _open(self, source: str, headers: dict[str, str], name: str, part: Path) -> t.Iterator[t.Any]:
        if urlsplit(source).scheme == "file":
            with _LocalFile(source, headers, name) as response:
                yield response
            return
        try:
            response = self.opener(source, headers, self.timeout)
        except HTTPError as exc:
            exc.close()
            if exc.code == 416:
                have = part.stat().st_size
                if (exc.headers.get("Content-Range") or "").rpartition("/")[2] == str(have):
                    yield None
                    return
                part.unlink()
                raise _Interrupted(f"{source} is shorter than what was there of it") from exc
            if exc.code in _RETRY_STATUS:
                raise _Interrupted(f"{source} answered {exc.code} {exc.reason}") from exc
            raise DownloadError(_status_sentence(name, source, exc.code, str(exc.reason), self.mirrored)) from exc
        except (URLError, OSError) as exc:
            reason = getattr(exc, "reason", None) or exc
            raise _Interrupted(
                f"{urlsplit(source).netloc} cannot be reached ({reason}): "
                "check the network, the proxy and artifacts_mirror"
            ) from exc
        try:
            yield response
        finally:
            response.close()


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
        start = int(headers.get("Range", "bytes=0-")[len("bytes=") : -1])
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


def _check_space(folder: Path, need: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DownloadError(
            f"{name}: {need / 1e6:.0f} MB are needed in {folder} but {free / 1e6:.0f} MB are free; "
            "free some space or move artifacts_cache, then run again"
        )


def _status_sentence(name: str, source: str, code: int, reason: str, mirrored: bool) -> str:
    where = "the mirror" if mirrored else "the server"
    if code in (404, 410):
        remedy = "add it to the mirror" if mirrored else "check the version and the architecture"
        return f"{name}: {where} has no {source} ({code} {reason}); {remedy}"
    if code in (401, 403, 407):
        return f"{name}: {where} refuses {source} ({code} {reason}); check the credentials and the proxy"
    return f"{name}: {source} answered {code} {reason}; check the URL"
