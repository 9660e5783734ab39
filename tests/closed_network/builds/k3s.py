# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for k3s, its images, and the checksum list, where k3s' release has them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess

DESCRIPTION = "k3s' stand-in on upstream's Kubernetes, containerd and CoreDNS, from Go modules"
INPUTS = ("tests/closed_network/builds/k3s.py", "tests/closed_network/k3s")
NEEDS = ()

# The components of k3s v1.34.4+k3s1, but for CoreDNS, whose newest release the proxy serves.
VERSIONS = {
    "KUBERNETES_VERSION": "v1.34.4",
    "CONTAINERD_VERSION": "v2.1.5",
    "RUNC_VERSION": "v1.4.0",
    "CNI_VERSION": "v1.9.1",
    "COREDNS_VERSION": "v1.14.4",
    "KINE_VERSION": "v0.14.6",
}
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
GO = (1, 25)  # CoreDNS' go.mod asks for the most


def build(ctx) -> None:
    """The release that the collection installs."""
    make(ctx, VERSIONS["KUBERNETES_VERSION"])


def make(ctx, kubernetes: str) -> None:
    """Build with the host's Go where it is new enough, else in the builder container with Debian's."""
    release = f"{kubernetes}+k3s1"
    versions = {**VERSIONS, "KUBERNETES_VERSION": kubernetes, "K3S_VERSION": release}
    if _host_builds():
        ctx.run(
            [
                "nice",
                "bash",
                ctx.repo / "tests/closed_network/k3s/build.sh",
                ctx.repo / "tests/closed_network/k3s",
                ctx.work,
            ],
            env=versions,
        )
    else:
        ctx.builder(
            "command -v go >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends golang-go; }\n"
            "bash /src/tests/closed_network/k3s/build.sh /src/tests/closed_network/k3s /build",
            env=versions,
        )
    base = f"https://github.com/k3s-io/k3s/releases/download/{release}"
    listing = f"{base}/sha256sum-{ARCHITECTURE}.txt"
    images = f"k3s-airgap-images-{ARCHITECTURE}.tar.zst"
    ctx.publish(
        ctx.work / "out" / "k3s", f"{base}/{'k3s' if ARCHITECTURE == 'amd64' else 'k3s-arm64'}", checksums=listing
    )
    ctx.publish(ctx.work / "out" / images, f"{base}/{images}", checksums=listing)


def _host_builds() -> bool:
    """Whether this machine has Go and a C compiler with static libraries for runc: libc and libseccomp."""
    if not all(shutil.which(program) for program in ("go", "gcc", "pkg-config")):
        return False
    answer = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", answer)
    if not found or tuple(map(int, found.groups())) < GO:
        return False
    return all(os.path.isabs(_library(name)) for name in ("libc.a", "libseccomp.a"))


def _library(name: str) -> str:
    """The compiler's path of a library, or just its name where there is none."""
    return subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=False
    ).stdout.strip()
