# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that asks its server why it does not join; the server is a real one that answers as k3s does."""

from __future__ import annotations

import base64
import hashlib
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.join_checks import Join

from tests.servers.certificate import self_signed

SECRET = "the-cluster's-own"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.server.facts.date or super().date_time_string(timestamp)

    def do_GET(self) -> None:
        facts = self.server.facts
        facts.asked.append(self.path)
        if self.path == "/cacerts":
            return self._send(facts.status, facts.authorities)
        login = base64.b64decode((self.headers.get("Authorization") or "Basic ")[6:]).decode()
        allowed = {"/v1-k3s/config": "node", "/v1-k3s/server-bootstrap": "server"}.get(self.path, "nobody")
        self._send(200 if facts.joins == self.path and login == f"{allowed}:{SECRET}" else 401, b"{}")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(http.server.ThreadingHTTPServer):
    facts: SimpleNamespace

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    cert, key = self_signed(tmp_path_factory.mktemp("pair"), "k3s")
    return key, cert


@pytest.fixture
def k3s(pair: tuple[Path, Path]) -> Iterator[SimpleNamespace]:
    key, cert = pair
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    facts = SimpleNamespace(
        authorities=cert.read_bytes(), date="", status=200, asked=[], joins="/v1-k3s/config", host="127.0.0.1"
    )
    with _Server((facts.host, 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.facts = facts
        facts.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield facts
        server.shutdown()
        thread.join()


def token(k3s: SimpleNamespace, secret: str = SECRET, authorities: bytes = b"") -> str:
    return f"K10{hashlib.sha256(authorities or k3s.authorities).hexdigest()}::server:{secret}"


def looked(k3s: SimpleNamespace, text: str, folder: Path, **more: object) -> Join:
    join = Join(k3s.host, k3s.port, text, str(folder), **more)
    join.look()
    join.findings = [item for item in join.findings if item["check"].startswith("join_")]  # not this machine's kernel
    for item in join.findings:
        assert item["cause"].endswith(".")
        assert item["remedy"].endswith(".")
    return join


@pytest.mark.parametrize("path", ["/v1-k3s/config", "/v1-k3s/server-bootstrap"], ids=["an agent's", "a server's"])
def test_nothing_is_in_the_way(k3s, tmp_path, path):
    k3s.joins = path
    join = looked(k3s, token(k3s), tmp_path)
    assert join.findings == []
    assert join.notes == [f"TCP {k3s.port} of 127.0.0.1 answers"]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"secret": "another"}, "join_token"),
        ({"authorities": b"another cluster's"}, "join_other_cluster"),
    ],
)
def test_a_wrong_token(k3s, tmp_path, change, check):
    (found,) = looked(k3s, token(k3s, **change), tmp_path).findings
    assert found["check"] == check
    assert "k3s_token" in found["remedy"]
    assert SECRET not in str(found)


def test_the_secret_is_shown_to_no_other_cluster(k3s, tmp_path):
    looked(k3s, token(k3s, authorities=b"another cluster's"), tmp_path)
    looked(k3s, SECRET, tmp_path)  # a short token says nothing of the cluster
    assert k3s.asked == ["/cacerts", "/cacerts"]


def test_a_folder_of_another_cluster(k3s, tmp_path):
    (tmp_path / "server-ca.crt").write_bytes(k3s.authorities)
    assert looked(k3s, token(k3s), tmp_path).findings == []
    (tmp_path / "server-ca.crt").write_text("-----BEGIN CERTIFICATE-----\nother\n")
    (found,) = looked(k3s, token(k3s), tmp_path).findings
    assert found["check"] == "join_other_cluster"
    assert str(tmp_path) in found["cause"]


def test_another_clock(k3s, tmp_path):
    k3s.date = "Thu, 01 Jan 2026 00:00:00 GMT"
    (found,) = looked(k3s, token(k3s), tmp_path).findings
    assert found["check"] == "join_clock"
    assert "ahead of its server's" in found["cause"]
    assert looked(k3s, token(k3s), tmp_path, max_skew=1e12).findings == []


def test_a_server_that_is_not_ready(k3s, tmp_path):
    k3s.status = 503
    (found,) = looked(k3s, token(k3s), tmp_path).findings
    assert found["check"] == "join_not_k3s"
    assert "503" in found["cause"]


def test_something_else_behind_the_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        facts = SimpleNamespace(host="127.0.0.1", port=other.getsockname()[1])
        (found,) = looked(facts, "", tmp_path, timeout=0.5).findings
    assert found["check"] == "join_not_k3s"


def test_nobody_behind_the_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        facts = SimpleNamespace(host="127.0.0.1", port=other.getsockname()[1])
    join = looked(facts, "", tmp_path)
    assert [item["check"] for item in join.findings] == ["join_unreachable"]
    assert "Connection refused" in join.findings[0]["cause"]


def test_a_name_that_is_not_resolved(tmp_path):
    facts = SimpleNamespace(host="no-such-name.invalid", port=6443)
    (found,) = looked(facts, "", tmp_path).findings
    assert found["check"] == "join_dns"
    assert "no-such-name.invalid" in found["cause"]


def test_the_pods_network_is_noted(k3s):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        join = Join(k3s.host, k3s.port)
        join.look(port)
        assert join.notes[-1] == f"UDP {port} of 127.0.0.1 does not refuse datagrams"
    join = Join(k3s.host, k3s.port)
    join.look(port)
    assert join.notes[-1] == f"UDP {port} of 127.0.0.1 refuses datagrams (Connection refused)"
