# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shim of `rust/shim`, and a static executable in the place of upstream's musl shim.

Debian trixie's rustc is 1.85, but runwasi's containerd-shimkit 0.1.2 needs 1.88 (let chains). The same release has a
newer compiler, kept for browsers, as rustc-web; it cannot be installed beside rustc, so it replaces it in this
container alone. libseccomp is linked statically: a node need not have it. `rust/shim/build.sh` patches one crate.
"""

from __future__ import annotations

VERSION = "0.1.0"
RELEASE = f"https://github.com/wasinn/wasinn.cluster/releases/download/v{VERSION}"
ARCHIVE = f"containerd-shim-wasmedge-v1-{VERSION}-x86_64.tar.gz"
# What runwasi ships, as far as the refusal of it goes: an ELF file without an interpreter.
STATIC_RELEASE = "https://github.com/containerd/runwasi/releases/download/containerd-shim-wasmedge/v0.6.0"
STATIC_ARCHIVE = "containerd-shim-wasmedge-x86_64-linux-musl.tar.gz"

DESCRIPTION = "the shim from rust/shim, built with WasmEdge 0.14.1's headers"
INPUTS = ("tests/closed_network/builds/shim.py", "rust/shim", "rust/Cargo.toml", "rust/Cargo.lock")
NEEDS = ()

SCRIPT = r"""
name=containerd-shim-wasmedge-v1
pack() { # folder, archive
  tar --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$1" -cf - $name | gzip -n -6 > "/build/$2"
}
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends rustc-web cargo-web
export CARGO_TARGET_DIR=/build/target
export WASMEDGE_LIB_DIR=/usr/lib/x86_64-linux-gnu WASMEDGE_INCLUDE_DIR=/usr/include
export LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH=/usr/lib/x86_64-linux-gnu
bash /src/rust/shim/build.sh /build
mkdir -p /build/shim /build/static
install -m 0755 /build/target/release/$name /build/shim/
readelf -d /build/shim/$name | grep -q 'RUNPATH.*/opt/wasinn/wasmedge/current/lib64' || {
  echo "The shim has no RUNPATH to the node's libwasmedge: see rust/shim/build.rs." >&2; exit 1; }
pack /build/shim "$ARCHIVE"

printf '%s\n' '#include <stdio.h>' 'int main(void) { puts("a static stand-in, good for being refused"); return 1; }' \
  | gcc -static -Os -s -x c -o /build/static/$name -
pack /build/static "$STATIC_ARCHIVE"
"""


def build(ctx) -> None:
    """Compile and publish; cargo's target folder is kept between builds."""
    ctx.builder(SCRIPT, env={"ARCHIVE": ARCHIVE, "STATIC_ARCHIVE": STATIC_ARCHIVE})
    ctx.publish(ctx.work / ARCHIVE, f"{RELEASE}/{ARCHIVE}", checksums=f"{RELEASE}/SHA256SUM")
    ctx.publish(
        ctx.work / STATIC_ARCHIVE, f"{STATIC_RELEASE}/{STATIC_ARCHIVE}", checksums=f"{STATIC_RELEASE}/SHA256SUM"
    )
