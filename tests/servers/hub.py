# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that answers as the Hugging Face hub does for files, which no registry has to run.

After huggingface_hub's own tests and its `get_hf_file_metadata`: `resolve` redirects to a storage on another host and
says sha256, size and commit on that redirect; renamed repositories redirect within the hub; refusals carry X-Error-Code.
"""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TOKEN = "hf_secret_of_the_hub"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repo:
    """Its files; ``gated`` ones want TOKEN with terms accepted, ``private`` ones are not even there without TOKEN."""

    files: dict[str, bytes]
    gated: bool = False
    private: bool = False


@dataclass
class Hub:
    """A running hub and its storage. ``asked`` is what each saw: (server, method, path, Authorization)."""

    repos: dict[str, Repo]
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    url: str = ""
    storage: str = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    kind: str

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        authorization = self.headers.get("Authorization") or ""
        self.hub.asked.append((self.kind, self.command, self.path, authorization))
        if self.kind == "storage":
            return self._content()
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        if not found:
            return self._say(404)
        name, revision, file = found.groups()
        if name in self.hub.moved:
            return self._say(307, Location=f"/{self.hub.moved[name]}/resolve/{revision}/{file}")
        repo = self.hub.repos.get(name)
        known = authorization == f"Bearer {TOKEN}"
        if repo is None or (repo.private and not known):
            return self._say(401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        if repo.gated and not known:
            return self._say(401 if not authorization else 403, X_Error_Code="GatedRepo")
        if revision not in ("main", COMMIT):
            return self._say(404, X_Error_Code="RevisionNotFound")
        if file not in repo.files:
            return self._say(404, X_Error_Code="EntryNotFound")
        content = repo.files[file]
        digest = hashlib.sha256(content).hexdigest()
        return self._say(
            302,
            Location=f"{self.hub.storage}/{name}/{file}?signature=1",
            X_Repo_Commit=COMMIT,
            X_Linked_Size=str(len(content)),
            X_Linked_Etag=f'"{digest}"',
            ETag=f'"{digest}"',
        )

    def _content(self) -> None:
        if self.headers.get("Authorization"):  # as S3 does where a URL is signed already
            return self._say(400)
        owner, name, file = self.path.partition("?")[0][1:].split("/", 2)
        content = self.hub.repos[f"{owner}/{name}"].files[file]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2] or len(content)) if asked else len(content), len(content) - 1)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(content[first : last + 1])

    def _say(self, code: int, **headers: str) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


@contextmanager
def hub(repos: dict[str, Repo]) -> Iterator[Hub]:
    """A hub with these repositories while the context lasts."""
    chosen = Hub(repos)
    servers = []
    for kind in ("hub", "storage"):
        handler = type("Handler", (_Handler,), {"hub": chosen, "kind": kind})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
    chosen.url, chosen.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield chosen
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
