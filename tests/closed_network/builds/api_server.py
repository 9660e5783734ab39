# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for LlamaEdge's llama-api-server, at the address of the release that it stands in for."""

from __future__ import annotations

from tests.closed_network.context import Context

DESCRIPTION = "the OpenAI-compatible server (wasm) from tests/closed_network/api_server"
INPUTS = ("tests/closed_network/builds/api_server.py", "tests/closed_network/api_server")
NEEDS = ()

RELEASE = "https://github.com/LlamaEdge/LlamaEdge/releases/download/0.28.1"
# rust-lld as cargo looks for it is not in Debian's packages; lld's own wasm-ld is.
SCRIPT = """
export CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld CARGO_TARGET_DIR=/build/target
cargo build --locked --manifest-path /src/tests/closed_network/api_server/Cargo.toml --target wasm32-wasip1 --release
"""


def build(ctx: Context) -> None:
    """Compile and publish; cargo's target directory is kept between builds."""
    ctx.builder(SCRIPT)
    module = ctx.work / "target" / "wasm32-wasip1" / "release" / "llama-api-server.wasm"
    ctx.publish(module, f"{RELEASE}/llama-api-server.wasm", checksums=f"{RELEASE}/SHA256SUM")
