# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shim of `rust/shim`, and a static executable in the place of upstream's musl shim."""

from __future__ import annotations

from tests.closed_network import recipe
from tests.closed_network.context import Context

ARCHIVE = f"containerd-shim-wasmedge-v1-{recipe.VERSION}-x86_64.tar.gz"
# What runwasi ships, as far as the refusal of it goes: an ELF file without an interpreter.
STATIC_RELEASE = "https://github.com/containerd/runwasi/releases/download/containerd-shim-wasmedge/v0.6.0"
STATIC_ARCHIVE = "containerd-shim-wasmedge-x86_64-linux-musl.tar.gz"

DESCRIPTION = "the shim from rust/shim, built with WasmEdge 0.14.1's headers"
INPUTS = ("tests/closed_network/builds/shim.py", *recipe.inputs("shim"))
NEEDS = ()

STATIC = r"""
name=containerd-shim-wasmedge-v1
mkdir -p /build/static
printf '%s\n' '#include <stdio.h>' 'int main(void) { puts("a static stand-in, good for being refused"); return 1; }' \
  | gcc -static -Os -s -x c -o /build/static/$name -
tar --mtime=@0 --owner=0 --group=0 --numeric-owner -C /build/static -cf - $name | gzip -n -6 >"/build/$STATIC_ARCHIVE"
"""


def build(ctx: Context) -> None:
    """As the release is built; then the static one."""
    recipe.build(ctx, "shim")
    ctx.builder(STATIC, env={"STATIC_ARCHIVE": STATIC_ARCHIVE})
    ctx.publish(
        ctx.work / STATIC_ARCHIVE, f"{STATIC_RELEASE}/{STATIC_ARCHIVE}", checksums=f"{STATIC_RELEASE}/SHA256SUM"
    )
