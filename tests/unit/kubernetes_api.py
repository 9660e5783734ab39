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
        self.send_bytes(json.dumps(body).encode(), "application/json", code)

    def send_bytes(self, data: bytes, content_type: str, code: int = 200) -> None:
        """Answer with something else."""
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def resource(name: str, kind: str, *verbs: str, namespaced: bool = True) -> dict[str, Any]:
    """A kind of objects in what a client asks first."""
    return {"name": name, "kind": kind, "namespaced": namespaced, "singularName": "", "verbs": list(verbs)}


def discovery(*core: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a client asks first, by path: a server that knows these kinds of objects of the core group, and no other group."""
    return {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.4"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": list(core)},
    }


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
