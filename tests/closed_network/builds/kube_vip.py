# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-vip's image from its Go module: its program and nothing else, as upstream's own.

The archive names it by its digest, as ``ctr images export`` does of an image that was pulled that way, so that a pod that asks
for the digest finds it on the node.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

from tests.closed_network.context import Context

from . import k3s

DESCRIPTION = "kube-vip's image, from Go modules"
INPUTS = ()
NEEDS = ()
ON_DEMAND = True

VERSION = "v0.9.1"  # the newest that Go's module proxy serves with its checksum
NAME = "ghcr.io/kube-vip/kube-vip"
ARCHIVE = "https://packages.invalid/kube-vip/kube-vip.tar"  # upstream has it in a registry only
SCRIPT = f"""
command -v go >/dev/null || {{ apt-get update -qq && apt-get install -y -qq --no-install-recommends golang-go; }}
module=$(cd / && go mod download -json github.com/kube-vip/kube-vip@{VERSION} | sed -n 's/^\\t"Dir": "\\(.*\\)",$/\\1/p')
cd "$module"
CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w -X main.Version={VERSION}' -o /build/kube-vip .
"""


def build(ctx: Context) -> None:
    """Compile, pack, publish."""
    ctx.builder(SCRIPT)
    archive = ctx.work / "kube-vip.tar"
    archive.write_bytes(packed((ctx.work / "kube-vip").read_bytes()))
    ctx.publish(archive, ARCHIVE, checksums=ARCHIVE.replace("kube-vip.tar", "SHA256SUM"))


def packed(program: bytes) -> bytes:
    """The archive (OCI image layout 1.0) of an image that has the program as ``/kube-vip``."""
    blobs: dict[str, bytes] = {}

    def blob(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        media_type = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    layer = blob("layer.v1.tar", _tar({"kube-vip": program}))
    config = {"architecture": k3s.ARCHITECTURE, "os": "linux", "config": {"Entrypoint": ["/kube-vip"]}}
    config["rootfs"] = {"type": "layers", "diff_ids": [layer["digest"]]}
    parts = {"config": blob("config.v1+json", json.dumps(config).encode()), "layers": [layer]}
    image = blob("manifest.v1+json", json.dumps({"schemaVersion": 2, **parts}).encode())
    named = {**image, "annotations": {"io.containerd.image.name": f"{NAME}@{image['digest']}"}}
    layout = {"oci-layout": {"imageLayoutVersion": "1.0.0"}, "index.json": {"schemaVersion": 2, "manifests": [named]}}
    return _tar({name: json.dumps(value).encode() for name, value in layout.items()} | blobs)


def _tar(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()
