# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's docker-registry with token authentication, and the authority that hands the tokens out."""

from __future__ import annotations

import base64
import datetime
import hashlib
import http.client
import http.server
import json
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.machines.shell import Failure, run

from .process import PLACE, free_port, running

USER, PASSWORD = "reader", "secret of the registry"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Registry:
    """A running registry. ``public/…`` is for everybody, all else for USER."""

    host: str

    def push(self, name: str, tag: str, layers: list[tuple[str, str, bytes]]) -> dict[str, Any]:
        """Push an artifact of layers (media type, title, content); gives its manifest."""
        described = []
        for media_type, title, content in [("application/vnd.oci.empty.v1+json", "", b"{}"), *layers]:
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            place = self._call("POST", f"/v2/{name}/blobs/uploads/", name)["Location"]
            separator = "&" if "?" in place else "?"
            self._call("PUT", f"{place}{separator}digest={digest}", name, content, "application/octet-stream")
            layer: dict[str, Any] = {"mediaType": media_type, "digest": digest, "size": len(content)}
            described.append({**layer, "annotations": {"org.opencontainers.image.title": title}} if title else layer)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": described[1:]}
        self._call("PUT", f"/v2/{name}/manifests/{tag}", name, json.dumps(manifest).encode(), MANIFEST)
        return manifest

    def _call(self, method: str, url: str, name: str, body: bytes = b"", kind: str = "") -> Any:
        target = urlsplit(url)
        connection = http.client.HTTPConnection(self.host, timeout=30)
        headers = {"Authorization": f"Bearer {self._token(name)}", **({"Content-Type": kind} if kind else {})}
        connection.request(method, target.path + (f"?{target.query}" if target.query else ""), body, headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status >= 300:
            raise Failure(f"The registry answers {response.status} to {method} {url}: {text.decode()[:300]}")
        return response.headers

    def _token(self, name: str) -> str:
        return _authority.token([{"type": "repository", "name": name, "actions": ["pull", "push"]}])


@contextmanager
def registry() -> Iterator[Registry]:
    """A registry while the context lasts; empty at first."""
    port, realm = free_port(), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ca.pem").write_bytes(_authority.certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "config.yml").write_text(
            "version: 0.1\n"
            f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n"
            f"auth: {{token: {{realm: 'http://127.0.0.1:{realm}/token', service: tests, issuer: tests, "
            f"rootcertbundle: {folder / 'ca.pem'}}}}}\n"
        )
        server = http.server.ThreadingHTTPServer(("127.0.0.1", realm), _Tokens)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            with running([_program(), "serve", folder / "config.yml"], port, folder / "log"):
                yield Registry(f"127.0.0.1:{port}")
        finally:
            server.shutdown()
            server.server_close()


class _Authority:
    """Signs tokens (RFC 7519, RS256, with its certificate in the header, as the registry wants it)."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "tests")])
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )

    def token(self, access: list[dict[str, Any]]) -> str:
        chain = base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()
        now = int(time.time())
        claims = {"iss": "tests", "sub": USER, "aud": "tests", "exp": now + 60, "nbf": now - 60, "iat": now}
        claims |= {"jti": uuid.uuid4().hex, "access": access}
        head = {"typ": "JWT", "alg": "RS256", "x5c": [chain]}
        text = ".".join(_url64(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{_url64(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


_authority = _Authority()


class _Tokens(http.server.BaseHTTPRequestHandler):
    """The realm: everybody may pull public/…, USER with PASSWORD may pull all."""

    def do_GET(self) -> None:
        asked = self.headers.get("Authorization") or ""
        known = asked == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if asked and not known:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        scope = parse_qs(urlsplit(self.path).query).get("scope", [""])[0]
        kind, name, _actions = [*scope.split(":"), "", "", ""][:3]
        granted = ["pull"] if known or name.startswith("public/") else []
        access = [{"type": kind, "name": name, "actions": granted}]
        body = json.dumps({"token": _authority.token(access)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _program() -> Path:
    """docker-registry out of its Debian package; nothing is installed on this machine."""
    program = PLACE / "docker-registry" / "usr" / "bin" / "docker-registry"
    if not program.exists():
        shutil.rmtree(PLACE / "docker-registry.new", ignore_errors=True)
        fresh = PLACE / "docker-registry.new"
        fresh.mkdir(parents=True)
        download = "apt-get -qq download docker-registry"
        run(
            ["sh", "-c", f'cd "$1" && ({download} || (apt-get -qq update && {download}))', "-", str(fresh)], timeout=300
        )
        run(["dpkg-deb", "-x", str(next(fresh.glob("*.deb"))), str(fresh)], timeout=300)
        fresh.rename(PLACE / "docker-registry")
    return program
