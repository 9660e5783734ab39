# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancer from rust/balancer: as plain WebAssembly, and compiled ahead of time for WasmEdge 0.14 on x86-64.

The compiled file holds the plain module as well: another WasmEdge, or another processor, interprets it.
"""

from __future__ import annotations

from tests.closed_network import recipe
from tests.closed_network.context import Context

DESCRIPTION = "the balancer (wasm, and the same compiled) from rust/balancer"
INPUTS = ("tests/closed_network/builds/balancer.py", *recipe.inputs("balancer"))
NEEDS = ()

URL = f"{recipe.RELEASE}/wasinn-balancer-{recipe.VERSION}.wasm"
COMPILED = f"{recipe.RELEASE}/wasinn-balancer-{recipe.VERSION}-wasmedge0.14-x86_64.wasm"


def build(ctx: Context) -> None:
    """As the release is built."""
    recipe.build(ctx, "balancer")
