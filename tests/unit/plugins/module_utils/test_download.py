# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The download cache against a real HTTP server on this machine that can misbehave."""

from __future__ import annotations

import hashlib
import http.server
import multiprocessing
import os
import re
import subprocess
import threading
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.urls import open_url
from ansible_collections.wasinn.cluster.plugins.module_utils.download import (
    Artifact,
    Cache,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import parse_checksums
from ansible_collections.wasinn.cluster.plugins.module_utils.source import DownloadError

CONTENT = os.urandom(3_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
URL = "https://example.org/releases/v1.0+k3s1/tool.tar.gz"
LIST = "https://example.org/releases/v1.0+k3s1/SHA256SUM"


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files`` by decoded path; ``faults`` are used up one by one, a request each."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.ranges = True
        self.seen: list[tuple[str, str]] = []  # path, Range
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: t.Any) -> None:
        pass

    def do_GET(self) -> None:
        from urllib.parse import unquote

        asked = self.headers.get("Range") or ""
        self.server.seen.append((self.path, asked))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        content = self.server.files.get(unquote(self.path))
        if content is None:
            return self.send_error(404)
        if fault.isdigit():
            return self.send_error(int(fault))
        start = 0
        if asked and self.server.ranges:
            first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", asked).groups()  # type: ignore[union-attr]
            start, content = int(first), content[: int(last) + 1] if last else content
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "cut":
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)
        return None


@pytest.fixture
def server() -> t.Iterator[Server]:
    server = Server()
    server.files["/example.org/releases/v1.0+k3s1/tool.tar.gz"] = CONTENT
    server.files["/example.org/releases/v1.0+k3s1/SHA256SUM"] = f"{SHA}  tool.tar.gz\n".encode()
    yield server
    server.shutdown()
    server.server_close()


def opener(url: str, headers: dict[str, str], timeout: float) -> t.Any:
    return open_url(url, headers=headers, timeout=timeout, decompress=False)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def cache(server: Server, tmp_path: Path, lines: list[str]) -> Cache:
    return Cache(str(tmp_path / "cache"), opener, mirror=server.url, retries=2, delay=0.01, notify=lines.append)


PINNED = Artifact("tool", URL, sha256=SHA)
LISTED = Artifact("tool", URL, checksums=LIST)


def place(cache: Cache) -> Path:
    return cache.root / "example.org/releases/v1.0+k3s1/tool.tar.gz"


def test_fetches_by_checksum_list_and_then_uses_the_cache(cache: Cache, server: Server) -> None:
    first = cache.fetch(LISTED)
    assert first.changed
    assert (first.path, first.sha256, first.size, first.url) == (str(place(cache)), SHA, len(CONTENT), URL)
    assert place(cache).read_bytes() == CONTENT
    assert not cache.fetch(LISTED).changed
    assert [path for path, dummy in server.seen if path.endswith("tool.tar.gz")] == [
        "/example.org/releases/v1.0%2Bk3s1/tool.tar.gz"
    ]


def test_a_filled_cache_is_a_mirror_and_works_offline(cache: Cache, tmp_path: Path) -> None:
    cache.fetch(LISTED)
    second = Cache(str(tmp_path / "second"), opener, mirror=str(cache.root))
    assert second.fetch(LISTED).changed
    offline = Cache(str(cache.root), opener, offline=True)
    assert not offline.fetch(LISTED).changed


def test_cut_connection_is_resumed_by_range(cache: Cache, server: Server) -> None:
    server.faults = ["cut"]
    assert cache.fetch(PINNED).changed
    assert [asked for dummy, asked in server.seen] == ["", f"bytes={len(CONTENT) // 2}-"]
    assert place(cache).read_bytes() == CONTENT


def test_a_short_file_is_kept_and_the_next_run_carries_on(cache: Cache, server: Server) -> None:
    server.faults = ["cut", "cut", "cut"]
    with pytest.raises(
        DownloadError, match=r"ended after \d+ of \d+ bytes.*gave up after 3 attempts, run again to carry"
    ):
        cache.fetch(PINNED)
    part = place(cache).with_name("tool.tar.gz.part")
    kept = part.stat().st_size
    assert kept > len(CONTENT) // 2
    assert not place(cache).exists()
    assert cache.fetch(PINNED).changed
    assert server.seen[-1][1] == f"bytes={kept}-"
    assert not part.exists()


def test_a_server_without_range_sends_all_again(cache: Cache, server: Server) -> None:
    server.ranges = False
    server.faults = ["cut"]
    assert cache.fetch(PINNED).changed
    assert place(cache).read_bytes() == CONTENT


def test_a_complete_part_is_accepted(cache: Cache) -> None:
    place(cache).parent.mkdir(parents=True)
    place(cache).with_name("tool.tar.gz.part").write_bytes(CONTENT)
    assert cache.fetch(PINNED).changed


@pytest.mark.parametrize("size", [100, len(CONTENT) + 5])
def test_a_part_of_another_file_is_started_afresh(cache: Cache, size: int) -> None:
    place(cache).parent.mkdir(parents=True)
    place(cache).with_name("tool.tar.gz.part").write_bytes(b"x" * size)
    assert cache.fetch(PINNED).changed
    assert place(cache).read_bytes() == CONTENT


def test_wrong_checksum_names_both_and_leaves_nothing(cache: Cache, server: Server) -> None:
    server.files["/example.org/releases/v1.0+k3s1/tool.tar.gz"] = b"something else"
    got = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(DownloadError, match=f"tool.tar.gz has a wrong checksum: expected sha256 {SHA}, got {got}"):
        cache.fetch(PINNED)
    assert [path.name for path in place(cache).parent.iterdir()] == []


def test_404_is_not_tried_again(cache: Cache, server: Server) -> None:
    server.files.clear()
    with pytest.raises(DownloadError, match=r"the mirror has no http.*404.*add it to the mirror"):
        cache.fetch(PINNED)
    assert len(server.seen) == 1


def test_a_busy_server_is_tried_again(cache: Cache, server: Server) -> None:
    server.faults = ["503", "429"]
    assert cache.fetch(PINNED).changed


def test_unreachable_host(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path), opener, mirror="http://127.0.0.1:9", retries=1, delay=0.01)
    with pytest.raises(DownloadError, match=r"127.0.0.1:9 cannot be reached.*gave up after 2 attempts"):
        cache.fetch(PINNED)


def test_name_missing_in_the_list(cache: Cache, server: Server) -> None:
    server.files["/example.org/releases/v1.0+k3s1/SHA256SUM"] = f"{SHA}  other\n".encode()
    with pytest.raises(DownloadError, match=r"SHA256SUM has no entry for tool.tar.gz; check the version"):
        cache.fetch(LISTED)


def test_a_login_page_is_no_list(cache: Cache, server: Server) -> None:
    server.files["/example.org/releases/v1.0+k3s1/SHA256SUM"] = b"<html>Please log in</html>"
    with pytest.raises(DownloadError, match="is not a checksum list"):
        cache.fetch(LISTED)


def test_without_a_checksum_nothing_is_fetched(cache: Cache, server: Server) -> None:
    with pytest.raises(DownloadError, match=r"nothing says which sha256 .* has to have"):
        cache.fetch(Artifact("tool", URL))
    assert server.seen == []


def test_a_rebuilt_mirror_is_noticed(cache: Cache, server: Server, tmp_path: Path) -> None:
    cache.fetch(LISTED)
    server.files["/example.org/releases/v1.0+k3s1/tool.tar.gz"] = b"rebuilt"
    server.files["/example.org/releases/v1.0+k3s1/SHA256SUM"] = (
        f"{hashlib.sha256(b'rebuilt').hexdigest()}  tool.tar.gz\n".encode()
    )
    again = Cache(str(cache.root), opener, mirror=server.url)
    assert again.fetch(LISTED).changed
    assert place(cache).read_bytes() == b"rebuilt"


def test_an_unreachable_mirror_does_not_matter_if_all_is_cached(cache: Cache, lines: list[str]) -> None:
    cache.fetch(LISTED)
    lost = Cache(str(cache.root), opener, mirror="http://127.0.0.1:9", retries=0, notify=lines.append)
    assert not lost.fetch(LISTED).changed
    assert "The checksum list in the cache is used instead" in lines[-1]


def test_a_damaged_cached_file_is_fetched_anew(cache: Cache) -> None:
    cache.fetch(PINNED)
    with open(place(cache), "r+b") as handle:
        handle.write(b"damage")
    assert cache.fetch(PINNED).changed
    assert place(cache).read_bytes() == CONTENT


def test_offline_and_not_there(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path), opener, offline=True)
    with pytest.raises(DownloadError, match=r"is not in the cache and offline mode allows no download; fill the cache"):
        cache.fetch(PINNED)
    with pytest.raises(DownloadError, match=r"the checksum list .* is not in the cache"):
        cache.fetch(LISTED)


@pytest.mark.parametrize("url", ["https://example.org/a/%2e%2e/b", "https://example.org/", "ftp://example.org/a", "x"])
def test_bad_urls(cache: Cache, url: str) -> None:
    with pytest.raises(DownloadError, match="correct it"):
        cache.fetch(Artifact("tool", url, sha256=SHA))


def test_check_mode_notes_no_checksum_of_a_file_of_the_users(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(CONTENT)
    own = Artifact("own", f"file://{tmp_path}/own", stays=True)
    assert cache.predict(own).sha256 == SHA
    assert not cache.root.exists()


def test_check_mode_touches_nothing(cache: Cache, server: Server) -> None:
    predicted = cache.predict(LISTED)
    assert (predicted.pending, predicted.changed, predicted.path) == (True, True, str(place(cache)))
    assert server.seen == []
    assert not cache.root.exists()
    cache.fetch(LISTED)
    predicted = cache.predict(LISTED)
    assert (predicted.pending, predicted.changed, predicted.sha256) == (False, False, SHA)


def test_check_mode_asks_where_it_is_to_confirm(cache: Cache, server: Server) -> None:
    confirmed = cache.confirm(LISTED)
    assert (confirmed.pending, confirmed.sha256, place(cache).exists()) == (True, SHA, False)
    assert server.seen[-1][1] == "bytes=0-0"
    server.files.pop("/example.org/releases/v1.0+k3s1/tool.tar.gz")
    with pytest.raises(DownloadError, match="404"):
        cache.confirm(LISTED)
    place(cache).write_bytes(CONTENT)
    assert not cache.confirm(LISTED).pending


def test_check_mode_confirms_nothing_offline(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is not in the cache and offline mode allows no download"):
        Cache(str(tmp_path), opener, offline=True).confirm(PINNED)


def _fetch(root: str, mirror: str, results: t.Any) -> None:
    results.put(Cache(root, opener, mirror=mirror).fetch(PINNED).changed)


def test_parallel_processes_download_once(server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_fetch, args=(str(tmp_path), server.url, results)) for dummy in range(4)]
    for worker in workers:
        worker.start()
    changed = [results.get(timeout=30) for dummy in workers]
    for worker in workers:
        worker.join()
    assert sorted(changed) == [False, False, False, True]
    assert len(server.seen) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> t.Iterator[Path]:
    """A real file system of 1 MiB; root only."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the right to mount a tmpfs: run as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_too_small_a_disk_is_seen_before_the_download(small_disk: Path, server: Server) -> None:
    cache = Cache(str(small_disk), opener, mirror=server.url)
    with pytest.raises(DownloadError, match=r"3 MB are needed in .* but 1 MB are free; free some space"):
        cache.fetch(PINNED)


def test_a_disk_that_fills_up(small_disk: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.wasinn.cluster.plugins.module_utils import transfer

    # As if another program took the space after the check.
    monkeypatch.setattr(transfer, "_check_space", lambda *args: None)
    cache = Cache(str(small_disk), opener, mirror=server.url, retries=0)
    with pytest.raises(DownloadError, match=r"tool: the disk that holds .* is full; free some space .*to carry on"):
        cache.fetch(PINNED)
    assert not place(cache).exists()


def test_permission_denied(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        # Root may write everywhere but where the kernel itself refuses.
        cache.root = Path("/proc/wasinn")
        with pytest.raises(DownloadError, match="/proc/wasinn"):
            cache.fetch(PINNED)
        return
    cache.root.mkdir(mode=0o500)
    with pytest.raises(DownloadError, match="cannot be written"):
        cache.fetch(PINNED)


def test_parse_checksums() -> None:
    text = f"# comment\n{SHA.upper()}  ./a b.txt\n{SHA} *k3s\nnot a line\n"
    assert parse_checksums(text) == {"a b.txt": SHA, "k3s": SHA}
