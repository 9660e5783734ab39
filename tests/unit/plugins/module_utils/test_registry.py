# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images are pushed to a real registry (CNCF distribution), which the test starts for itself."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import typing as t
import urllib.request
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.oci_image import Image, ImageError, build
from ansible_collections.wasinn.cluster.plugins.module_utils.registry import Registry, RegistryError

WASM = b"\0asm\1\0\0\0"
# bcrypt of "secret"; salt of letters, cost 5.
HTPASSWD = "ansible:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    """``host:port`` of a registry that wants a user."""
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("needs docker-registry (Debian: docker-registry)")
    folder = tmp_path_factory.mktemp("registry")
    (folder / "htpasswd").write_text(HTPASSWD)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        for _number in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def archive(folder: Path, name: str, module: bytes = WASM) -> tuple[str, str]:
    built = build(Image(name), "balancer.wasm", module)
    path = folder / "image.tar"
    path.write_bytes(built.archive)
    return str(path), built.digest


def test_a_pushed_image_is_what_was_built(host: str, tmp_path: Path) -> None:
    name = f"{host}/ai/balancer:0.1.0"
    registry = Registry(name, "ansible", "secret", plain_http=True)
    assert registry.digest() == ""
    path, digest = archive(tmp_path, name)
    registry.push(path, digest)
    assert registry.digest() == digest
    request = urllib.request.Request(f"http://{host}/v2/ai/balancer/manifests/0.1.0")
    request.add_header("Authorization", registry._authorization)
    request.add_header("Accept", "application/vnd.oci.image.manifest.v1+json")
    with urllib.request.urlopen(request) as response:
        manifest = json.load(response)
    assert [len(manifest["layers"]), manifest["config"]["size"] > 0] == [1, True]


def test_another_image_takes_the_name_over(host: str, tmp_path: Path) -> None:
    name = f"{host}/ai/other:1"
    registry = Registry(name, "ansible", "secret", plain_http=True)
    for module in (WASM, WASM + b"\0\2ab"):
        path, digest = archive(tmp_path, name, module)
        registry.push(path, digest)
        assert registry.digest() == digest


def test_sentences_of_a_registry(host: str, tmp_path: Path) -> None:
    name = f"{host}/ai/balancer:0.1.0"
    with pytest.raises(RegistryError, match="wants a user"):
        Registry(name, plain_http=True).digest()
    with pytest.raises(RegistryError, match="does not let this user push"):
        Registry(name, "ansible", "wrong", plain_http=True).digest()
    with pytest.raises(RegistryError, match="cannot be reached"):
        Registry(name, "ansible", "secret").digest()  # TLS towards plain HTTP
    with pytest.raises(ImageError, match="lacks the blob"):
        Registry(name, "ansible", "secret", plain_http=True).push(archive(tmp_path, name)[0], "sha256:" + "0" * 64)


@pytest.mark.parametrize("name", ["balancer:1", "example.net/balancer", "example.net/UPPER:1", "a b/c:1"])
def test_names_that_lead_nowhere(name: str) -> None:
    with pytest.raises(RegistryError, match="does not name a registry"):
        Registry(name)


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be reached"):
        Registry("127.0.0.1:9/x:1", plain_http=True).digest()
    with pytest.raises(RegistryError, match="CA file"):
        Registry("example.net/x:1", ca_path=os.fspath(tmp_path / "none.pem"))
