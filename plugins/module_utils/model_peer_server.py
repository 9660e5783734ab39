# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives verified model files to the other nodes while a playbook spreads them.

A program of its own (it imports nothing of Ansible): the module ``model_peer`` lays it on the node and starts it as a
transient unit of limited life. It answers ``GET /<sha256>`` for the files it was told of, from the moment each is
verified, to callers who can sign the path with the run's secret. Not more than ``fan_out`` get something at a time;
the others are asked to come again, and find other nodes that have the file by then.
"""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import os
import re
import socket
import sys
import threading
import typing as t

NOBODY = 65534


def proof(secret: str, path: str) -> str:
    """The signature of a path. The secret itself never travels."""
    return hmac.new(secret.encode(), path.encode(), hashlib.sha256).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """One node's server.

    :param config: ``secret``, ``port``, ``fan_out``, ``files`` (path by sha256), ``register`` (path).
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, config: dict[str, t.Any], address: str = "") -> None:
        self.address_family = socket.AF_INET6 if not address and socket.has_dualstack_ipv6() else socket.AF_INET
        self.secret, self.files, self.register = config["secret"], config["files"], config["register"]
        self.places = threading.BoundedSemaphore(config["fan_out"])
        super().__init__((address, config["port"]), Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A node that went away in the middle carries on by itself."""

    def verified(self, sha256: str) -> str:
        """The path of the file with that checksum; empty as long as it is not there, or not as it was verified."""
        path = self.files.get(sha256, "")
        try:
            with open(self.register, encoding="utf-8") as handle:
                entry = json.load(handle)[path]
            stat = os.stat(path)
        except (OSError, ValueError, KeyError):
            return ""
        same = (entry["sha256"], entry["size"], entry["mtime_ns"]) == (sha256, stat.st_size, stat.st_mtime_ns)
        return path if same else ""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request a connection."""

    server: Server
    timeout = 30
    server_version = "wasinn-model-peer"
    sys_version = ""

    def do_GET(self) -> None:
        if not hmac.compare_digest(self.headers.get("Authorization") or "", proof(self.server.secret, self.path)):
            return self._say(403)
        path = self.server.verified(self.path[1:])
        if not path:
            return self._say(404)
        if not self.server.places.acquire(blocking=False):
            return self._say(503)
        try:
            with open(path, "rb") as handle:
                self._send(handle, os.fstat(handle.fileno()).st_size)
        except OSError:
            self.close_connection = True
        finally:
            self.server.places.release()

    def _send(self, handle: t.BinaryIO, size: int) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked.group(1)) if asked else 0
        if start >= size:
            return self._say(416)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(size - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        self.wfile.flush()
        self.connection.sendfile(handle, start)

    def _say(self, code: int) -> None:
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: t.Any) -> None:
        """To the unit's journal."""
        sys.stderr.write(f"{self.client_address[0]} {format % args}\n")


def main() -> None:
    """Reads the settings as root, gives root's rights up, serves until it is stopped."""
    with open(sys.argv[1], encoding="utf-8") as handle:
        server = Server(json.load(handle))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    server.serve_forever()


if __name__ == "__main__":
    main()
