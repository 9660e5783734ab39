# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirror over HTTP on the loopback, with resumable downloads: ``python -m tests.closed_network.serve [PORT]``."""

from __future__ import annotations

import argparse
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from .context import MIRROR


class Handler(SimpleHTTPRequestHandler):
    """Files only, with one byte range a request (RFC 9110, section 14)."""

    protocol_version = "HTTP/1.1"
    chatty = False
    _length = 0

    def send_head(self) -> BinaryIO | None:
        path = Path(self.translate_path(self.path))
        try:
            stream = path.open("rb")
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND, "The mirror has no such file")
            return None
        size, changed = path.stat().st_size, path.stat().st_mtime
        tag = f'"{size:x}-{int(changed * 1e6):x}"'
        first, last, status = 0, size - 1, HTTPStatus.OK
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and self.headers.get("If-Range", tag) in (tag, self.date_time_string(int(changed))):
            first = int(asked[1])
            last = min(int(asked[2] or last), last)
            status = HTTPStatus.PARTIAL_CONTENT
            if first > last:
                stream.close()
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
        self._length = last - first + 1
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(self._length))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", tag)
        self.send_header("Last-Modified", self.date_time_string(int(changed)))
        if status is HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        stream.seek(first)
        return stream

    def copyfile(self, source: Any, outputfile: Any) -> None:
        left = self._length
        while left and (chunk := source.read(min(left, 1 << 18))):
            outputfile.write(chunk)
            left -= len(chunk)

    def log_message(self, format: str, *args: object) -> None:
        if self.chatty:
            super().log_message(format, *args)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle is no news."""


@contextmanager
def serving(folder: Path = MIRROR, port: int = 0, handler: type[Handler] = Handler) -> Iterator[str]:
    """Serve a folder while the context lasts; gives ``http://127.0.0.1:PORT``.

    :param port: 0 takes a free one.
    :raises OSError: where the port is taken.
    """
    with Server(("127.0.0.1", port), partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.closed_network.serve", description=__doc__)
    parser.add_argument("port", nargs="?", type=int, default=8090)
    args = parser.parse_args()
    Handler.chatty = True
    with serving(port=args.port) as url:
        print(f"{MIRROR} is at {url}; Ctrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
