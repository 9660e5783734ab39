# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An earlier patch release of k3s' stand-in, for tests that upgrade from it."""

from __future__ import annotations

from . import k3s

DESCRIPTION = "k3s' stand-in on the Kubernetes that upgrades start from"
INPUTS = k3s.INPUTS
NEEDS = ("k3s",)  # both compile for minutes on all cores, and the second finds the first's in Go's cache
ON_DEMAND = True

KUBERNETES = "v1.34.2"


def build(ctx) -> None:
    """The same sources with another Kubernetes."""
    k3s.make(ctx, KUBERNETES)
