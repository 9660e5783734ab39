# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The native balancer as a process of its own, and what a test asks of it."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.machines.shell import CACHE, REPO, run

TOKEN = "admin-token-of-a-test"
KEY = "sk-of-a-test"
HOST = "127.0.0.1"


def build() -> Path:
    """The balancer's native program, in the folder that the linters' cargo uses as well."""
    manifest = str(REPO / "rust" / "balancer" / "Cargo.toml")
    target = CACHE / "cargo"
    run(
        ["cargo", "build", "--quiet", "--locked", "--manifest-path", manifest, "--bin", "balancer"],
        timeout=900,
        env={"CARGO_TARGET_DIR": str(target)},
    )
    return target / "debug" / "balancer"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Answer:
    """A reply, whatever its status."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(url: str, body: object = None, token: str = "", method: str | None = None, timeout: float = 10) -> Answer:
    """One request; a status of 400 and more is an answer as well."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if data else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return Answer(reply.status, dict(reply.headers), reply.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, dict(refused.headers), refused.read())


@dataclass
class Balancer:
    """One process on three ports of this machine; `home` holds its configuration, token, keys, access log and log."""

    program: Path
    home: Path
    settings: str = ""
    http: int = field(default_factory=free_port)
    ops: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        (self.home / "token").write_text(f"{TOKEN}\n")
        key = {"name": "team", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
        (self.home / "keys.json").write_text(json.dumps({"keys": [key]}))
        config = self.home / "config.toml"
        config.write_text(
            f'watch = false\n{self.settings}\n[listen]\nhttp = "{HOST}:{self.http}"\nops = "{HOST}:{self.ops}"\n'
            f'admin = "{HOST}:{self.admin}"\n[files]\nadmin_token = "{self.home}/token"\nkeys = "{self.home}/keys.json"\n'
        )
        with (self.home / "access").open("ab") as access, (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, config], stdout=access, stderr=log)
        end = time.monotonic() + 20
        while True:
            try:
                if ask(self.on_ops("/healthz")).status == 200:
                    return
            except OSError:
                pass
            alive = self.process.poll() is None and time.monotonic() < end
            assert alive, f"the balancer does not answer:\n{(self.home / 'log').read_text()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def on_ops(self, path: str) -> str:
        """An address on the ops port."""
        return f"http://{HOST}:{self.ops}{path}"

    def on_admin(self, path: str) -> str:
        """An address on the admin port."""
        return f"http://{HOST}:{self.admin}{path}"

    def register(
        self, name: str, port: int, model: str | None = None, weight: int = 1, slots: int = 1, **more: object
    ) -> None:
        """Add a pool of one endpoint on this machine."""
        body = {
            "name": name,
            "ip": HOST,
            "port": port,
            "model": model or name,
            "weight": weight,
            "slots": slots,
            **more,
        }
        answer = ask(self.on_admin("/api/register"), body, TOKEN)
        assert answer.status == 200, answer.body

    def chat(self, model: str, key: str = KEY, stream: bool = False, timeout: float = 10, **more: object) -> Answer:
        """One chat request."""
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "secret words"}], **more}
        return ask(f"http://{HOST}:{self.http}/v1/chat/completions", body, key, timeout=timeout)

    def metrics(self) -> str:
        """All metrics."""
        return ask(self.on_ops("/metrics")).body.decode()

    def status(self) -> Any:
        """What the status page is drawn from."""
        return ask(self.on_admin("/api/status"), token=TOKEN).json()

    def log(self) -> list[dict[str, Any]]:
        """The access log's lines so far."""
        return [json.loads(line) for line in (self.home / "access").read_text().splitlines()]
