# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe module `wasinn-probe-0.1.0.wasm` from rust/probe, for wasm32-wasip1."""

from __future__ import annotations

from tests.closed_network.context import Context

DESCRIPTION = "the probe module (wasm) from rust/probe"
INPUTS = ("tests/closed_network/builds/probe.py", "rust/probe", "rust/Cargo.toml", "rust/Cargo.lock")
NEEDS = ()

RELEASE = "https://github.com/wasinn/wasinn.cluster/releases/download/v0.1.0"
# rust-lld as cargo looks for it is not in Debian's packages; lld's own wasm-ld is.
SCRIPT = """
export CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld CARGO_TARGET_DIR=/build/target
cargo build --locked --manifest-path /src/rust/Cargo.toml --package wasinn-probe --target wasm32-wasip1 --release
"""


def build(ctx: Context) -> None:
    """Compile and publish; cargo's target directory is kept between builds."""
    ctx.builder(SCRIPT)
    module = ctx.work / "target" / "wasm32-wasip1" / "release" / "wasinn-probe.wasm"
    ctx.publish(module, f"{RELEASE}/wasinn-probe-0.1.0.wasm", checksums=f"{RELEASE}/SHA256SUM")
