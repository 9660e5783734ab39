# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""OCI image archives for WebAssembly modules: the same input gives the same bytes on every machine.

Formats: OCI image layout and image specification 1.0 (index.json, oci-layout, blobs/), with the manifest.json that
``docker load`` wants beside them; containerd reads the OCI part.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
# Name under which containerd's importer registers the image; without it the manifest stays without a name.
NAME_ANNOTATION = "io.containerd.image.name"
_EPOCH = "1970-01-01T00:00:00Z"
_REFERENCE = re.compile(r"^(?:[a-zA-Z0-9.-]+(?::\d+)?/)?[a-z0-9._/-]+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")


class ImageError(Exception):
    """One sentence: what is wrong with an image or its archive and what to do about it."""


@dataclass(frozen=True)
class Image:
    """What goes into an image besides the module: ``name`` is its full reference with a tag."""

    name: str
    entrypoint: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    os: str = "wasip1"
    architecture: str = "wasm"
    labels: t.Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """The archive's bytes and the digest of the image's manifest, which is what containerd calls the image's digest."""

    archive: bytes
    digest: str
    config_digest: str


def build(image: Image, filename: str, module: bytes) -> Built:
    """An image with the module at ``/<filename>``, which is the entrypoint unless the image names another.

    :raises ImageError: for what is no wasm module or no valid reference.
    """
    if module[:4] != b"\0asm":
        raise ImageError(f"{filename} is not a WebAssembly module (it does not begin with \\0asm); give a .wasm file")
    if not _REFERENCE.match(image.name):
        raise ImageError(f"{image.name!r} is not an image name with a tag such as wasinn.local/probe:0.1.0; correct it")
    layer = _tar([(filename, module, 0o755)])
    layer_digest = _digest(layer)
    config = _json(
        {
            "architecture": image.architecture,
            "os": image.os,
            "created": _EPOCH,
            "config": _without_empty(
                {
                    "Entrypoint": list(image.entrypoint) or [f"/{filename}"],
                    "Cmd": list(image.args),
                    "Env": list(image.env),
                    "Labels": dict(image.labels),
                }
            ),
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
            "history": [{"created": _EPOCH, "created_by": "wasinn.cluster.wasm_image"}],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": [{"mediaType": _LAYER, "digest": layer_digest, "size": len(layer)}],
        }
    )
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": _MANIFEST,
                "digest": _digest(manifest),
                "size": len(manifest),
                "platform": {"architecture": image.architecture, "os": image.os},
                "annotations": {
                    NAME_ANNOTATION: image.name,
                    "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
                },
            }
        ],
    }
    docker = [{"Config": _blob(config), "RepoTags": [image.name], "Layers": [_blob(layer)]}]
    blobs = {_blob(blob): blob for blob in (config, layer, manifest)}
    archive = _tar(
        [
            ("oci-layout", _json({"imageLayoutVersion": "1.0.0"}), 0o644),
            ("index.json", _json(index), 0o644),
            ("manifest.json", _json(docker), 0o644),
            *((name, blob, 0o644) for name, blob in sorted(blobs.items())),
        ]
    )
    return Built(archive, _digest(manifest), _digest(config))


def images_in(archive: str | Path) -> dict[str, str]:
    """The named images of an OCI archive: {name: digest as containerd will show it}.

    :raises ImageError: for a file that is no OCI image archive.
    """
    try:
        with tarfile.open(archive, "r:*") as tar:
            handle = tar.extractfile("index.json")
            index = json.load(handle) if handle else {}
    except KeyError as exc:
        raise ImageError(
            f"{archive} has no index.json, so it is no OCI image archive; make it with wasm_image or export it as OCI"
        ) from exc
    except (tarfile.TarError, ValueError, EOFError) as exc:
        raise ImageError(f"{archive} is no image archive that can be read ({exc}); bring it to the node anew") from exc
    except OSError as exc:
        raise ImageError(f"{archive} cannot be read ({exc.strerror}); bring the archive to the node first") from exc
    found = {}
    for item in index.get("manifests", []):
        annotations = item.get("annotations") or {}
        name = annotations.get(NAME_ANNOTATION) or annotations.get("org.opencontainers.image.ref.name", "")
        if name:
            found[name] = item["digest"]
    return found


def _tar(files: t.Iterable[tuple[str, bytes, int]]) -> bytes:
    """A tar whose bytes depend on nothing but names, contents and modes; with entries for the folders."""
    buffer = io.BytesIO()
    folders: set[str] = set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, mode in files:
            for depth in range(1, name.count("/") + 1):
                folder = "/".join(name.split("/")[:depth])
                if folder not in folders:
                    folders.add(folder)
                    info = tarfile.TarInfo(folder)
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(info)
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _json(value: t.Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _blob(content: bytes) -> str:
    return _digest(content).replace("sha256:", "blobs/sha256/")


def _without_empty(value: dict[str, t.Any]) -> dict[str, t.Any]:
    return {key: item for key, item in value.items() if item}
