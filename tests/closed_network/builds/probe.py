# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe module `wasinn-probe-0.1.0.wasm` from rust/probe, for wasm32-wasip1."""

from __future__ import annotations

from tests.closed_network import recipe
from tests.closed_network.context import Context

DESCRIPTION = "the probe module (wasm) from rust/probe"
INPUTS = ("tests/closed_network/builds/probe.py", *recipe.inputs("probe"))
NEEDS = ()


def build(ctx: Context) -> None:
    """As the release is built."""
    recipe.build(ctx, "probe")
