# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What servers share that answer roles in the API server's place, and how a playbook finds them."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

S = TypeVar("S", bound=http.server.HTTPServer)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers in JSON, and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def read(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers["Content-Length"]))

    def status(self, code: int, message: str) -> None:
        """Fail as the API server does."""
        self.send({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}, code)

    def send(self, body: dict[str, Any], code: int = 200) -> None:
        """Answer with an object."""
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """The server, answering meanwhile."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def write_kubeconfig(path: Path, url: str) -> None:
    """Write the way to it, without a secret."""
    cluster = {"name": "c", "cluster": {"server": url}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {}}]
    path.write_text(
        yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"})
    )
