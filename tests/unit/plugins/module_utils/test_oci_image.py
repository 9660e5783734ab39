# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images are made, read back, and imported by a real containerd, which the test starts for itself."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.containerd import (
    PINNED,
    ContainerdError,
    Ctr,
    parse_images,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.oci_image import Image, ImageError, build, images_in

WASM = b"\0asm\1\0\0\0"
NAME = "wasinn.local/probe:0.1.0"


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}  # type: ignore[union-attr]


def test_same_input_same_bytes() -> None:
    image = Image(NAME, args=("--help",), labels={"b": "2", "a": "1"})
    first = build(image, "probe.wasm", WASM)
    second = build(Image(NAME, args=("--help",), labels={"a": "1", "b": "2"}), "probe.wasm", WASM)
    assert first == second
    # Fixed for good: a change here changes every image of every user.
    assert hashlib.sha256(build(Image(NAME), "probe.wasm", WASM).archive).hexdigest() == (
        "4e0a4752d7ed5f6612bf039b5ec5c293d3e647d76aa8b7c2169d6326d7c9bca4"
    )


def test_layout_and_config() -> None:
    built = build(Image(NAME, args=("--prompt", "x"), env=("A=b",), labels={"k": "v"}), "probe.wasm", WASM)
    files = members(built.archive)
    index = json.loads(files["index.json"])
    (entry,) = index["manifests"]
    assert entry["digest"] == built.digest
    assert entry["platform"] == {"os": "wasip1", "architecture": "wasm"}
    manifest = json.loads(files[built.digest.replace(":", "/").join(["blobs/", ""])])
    config = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    assert (config["os"], config["architecture"]) == ("wasip1", "wasm")
    assert config["config"] == {
        "Entrypoint": ["/probe.wasm"],
        "Cmd": ["--prompt", "x"],
        "Env": ["A=b"],
        "Labels": {"k": "v"},
    }
    layer = files["blobs/" + manifest["layers"][0]["digest"].replace(":", "/")]
    assert members(layer) == {"probe.wasm": WASM}
    for name, blob in files.items():
        if name.startswith("blobs/"):
            assert name == "blobs/sha256/" + hashlib.sha256(blob).hexdigest()


def test_what_is_no_module_or_name() -> None:
    with pytest.raises(ImageError, match="is not a WebAssembly module"):
        build(Image(NAME), "x.wasm", b"\x7fELF")
    for name in ("probe", "Bad/Name:1", "x:"):
        with pytest.raises(ImageError, match="is not an image name with a tag"):
            build(Image(name), "x.wasm", WASM)


def test_reads_names_back(tmp_path: Path) -> None:
    built = build(Image(NAME), "probe.wasm", WASM)
    path = tmp_path / "image.tar"
    path.write_bytes(built.archive)
    assert images_in(path) == {NAME: built.digest}
    path.write_bytes(b"x")
    with pytest.raises(ImageError, match="is no image archive that can be read"):
        images_in(path)
    with pytest.raises(ImageError, match="cannot be read"):
        images_in(tmp_path / "missing")
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("manifest.json"))
    with pytest.raises(ImageError, match=r"has no index\.json"):
        images_in(path)


def test_parse_images() -> None:
    text = (
        "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"
        f"{NAME} application/vnd.oci.image.manifest.v1+json sha256:ab 10.7 KiB wasip1/wasm "
        "io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned \n"
        "other:1 application/x sha256:cd 1.0 MiB linux/amd64 - \n"
    )
    images = parse_images(text)
    assert images[NAME].pinned
    assert images[NAME].labels["io.cri-containerd.image"] == "managed"
    assert (images["other:1"].digest, images["other:1"].labels) == ("sha256:cd", {})


def test_sentences_without_containerd(tmp_path: Path) -> None:
    with pytest.raises(ContainerdError, match="there is no socket"):
        Ctr(str(tmp_path / "none")).images()
    (tmp_path / "file").touch()
    with pytest.raises(ContainerdError, match="is not a socket"):
        Ctr(str(tmp_path / "file")).images()


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Ctr]:
    """A containerd of its own below a temporary folder, without the CRI plugin."""
    if os.geteuid() or not shutil.which("containerd") or not shutil.which("ctr"):
        pytest.skip("needs root, containerd and ctr (Debian: containerd)")
    # A socket's path may have 107 bytes at most, which pytest's own folders can exceed.
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    config = folder / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{folder}/c.sock"\n'
    )
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(["containerd", "--config", str(config)], stdout=log, stderr=log)
    ctr = Ctr(f"{folder}/c.sock", "test", timeout=30)
    for _dummy in range(100):
        try:
            ctr.run("version")
            break
        except ContainerdError:
            time.sleep(0.1)
    yield ctr
    process.terminate()
    process.wait(timeout=20)
    shutil.rmtree(folder, ignore_errors=True)


def test_containerd_imports_what_we_build(containerd: Ctr, tmp_path: Path) -> None:
    built = build(Image(NAME), "probe.wasm", WASM)
    path = tmp_path / "image.tar"
    path.write_bytes(built.archive)
    containerd.import_archive(str(path))
    assert containerd.images()[NAME].digest == built.digest
    containerd.label(NAME, *PINNED)
    assert containerd.images()[NAME].pinned
    containerd.tag(NAME, "wasinn.local/probe:latest")
    assert containerd.images()["wasinn.local/probe:latest"].digest == built.digest
    containerd.remove(NAME)
    assert set(containerd.images()) == {"wasinn.local/probe:latest"}


def test_sentences_of_containerd(containerd: Ctr, tmp_path: Path) -> None:
    with pytest.raises(ContainerdError, match=r"ctr images import failed: .*no-such-file"):
        containerd.import_archive(str(tmp_path / "no-such-file"))
    with pytest.raises(ContainerdError, match="nowhere/ctr is not on this machine: install"):
        Ctr(containerd.address, command=("/nowhere/ctr",)).images()
