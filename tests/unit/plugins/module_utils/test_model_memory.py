# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether models fit into memory."""

from __future__ import annotations

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.model_memory import (
    limit_findings,
    node_findings,
    quantity,
)

GIB, MIB = 2**30, 2**20
SEVEN = {"name": "seven", "weights": 4 * GIB, "kv_cache": 1 * GIB, "context": 8192, "pods": 2, "limit": "5Gi"}
UNKNOWN = {"name": "unknown", "weights": 0, "kv_cache": 0, "context": 0, "pods": 3, "limit": "1Mi"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512Mi", 512 * MIB),
        ("1G", 10**9),
        ("1.5Gi", 3 * GIB // 2),
        ("1e9", 10**9),
        ("128974848", 128974848),
        ("", 0),
        ("a lot", 0),
    ],
)
def test_quantities(text: str, expected: int) -> None:
    assert quantity(text) == expected


def test_pods_that_do_not_fit_are_told_with_figures() -> None:
    needed = 2 * (5 * GIB + 256 * MIB)
    assert node_findings([SEVEN, UNKNOWN], needed, 256 * MIB) == []
    (found,) = node_findings([SEVEN, UNKNOWN], needed - 1, 256 * MIB)
    assert found["check"] == "model_memory"
    assert (
        "seven 10.5 GiB (2 x (4.0 GiB of weights + 1.0 GiB of KV cache for 8192 tokens + 256.0 MiB of runtime))"
        in found["cause"]
    )
    assert "smaller context" in found["remedy"]


def test_a_limit_below_what_a_pod_needs() -> None:
    (found,) = limit_findings([SEVEN, UNKNOWN], 256 * MIB)
    assert "needs 5.2 GiB" in found["cause"]
    assert "its limit is 5.0 GiB" in found["cause"]
    assert "to 5376Mi or more" in found["remedy"]
    assert limit_findings([{**SEVEN, "limit": "5376Mi"}, {**SEVEN, "limit": ""}], 256 * MIB) == []
