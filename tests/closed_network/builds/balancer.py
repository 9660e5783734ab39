# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancer from rust/balancer: as plain WebAssembly, and compiled ahead of time for WasmEdge 0.14 on x86-64.

Every request goes through it, so it is built to be fast. The compiled file holds the plain module as well: another WasmEdge,
or another processor, interprets it.
"""

from __future__ import annotations

from tests.closed_network.context import Context

DESCRIPTION = "the balancer (wasm, and the same compiled) from rust/balancer"
INPUTS = (
    *("tests/closed_network/builds/balancer.py", "rust/balancer", "rust/watcher", "rust/mio"),
    *("rust/Cargo.toml", "rust/Cargo.lock"),
)
NEEDS = ()

VERSION = "0.1.0"
RELEASE = f"https://github.com/wasinn/wasinn.cluster/releases/download/v{VERSION}"
URL = f"{RELEASE}/wasinn-balancer-{VERSION}.wasm"
COMPILED = f"{RELEASE}/wasinn-balancer-{VERSION}-wasmedge0.14-x86_64.wasm"

# Of the release build, wherever it is made; benchmarks/balancer builds the native program alike.
PROFILE = """
export CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
"""
# rust-lld as cargo looks for it is not in Debian's packages; lld's own wasm-ld is. ring's C parts are clang's.
SCRIPT = f"""{PROFILE}
export CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld CARGO_TARGET_DIR=/build/target
cargo build --locked --manifest-path /src/rust/Cargo.toml --package wasinn-balancer --target wasm32-wasip1 --release
wasmedge compile --generic-binary --optimize 3 /build/target/wasm32-wasip1/release/balancer.wasm /build/compiled.wasm
# Where WasmEdge does not take what it compiled it says so, and interprets the file, 50 times slower.
said=$(wasmedge /build/compiled.wasm --version 2>&1)
[[ $said == "balancer "* ]] || {{ echo "WasmEdge does not take what it compiled: $said" >&2; exit 1; }}
"""


def build(ctx: Context) -> None:
    """Compile and publish; cargo's target directory is kept between builds."""
    ctx.builder(SCRIPT)
    module = ctx.work / "target" / "wasm32-wasip1" / "release" / "balancer.wasm"
    for source, url in ((module, URL), (ctx.work / "compiled.wasm", COMPILED)):
        ctx.publish(source, url, checksums=f"{RELEASE}/SHA256SUM")
