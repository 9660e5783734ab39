# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the log of a build that failed is taken for."""

from __future__ import annotations

import re

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.build_failures import SIGNATURES, classify

NOISE = "   Compiling serde v1.0.229\nerror: could not compile `serde` (lib) due to 1 previous error\n"


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.check)
def test_each_example_is_recognised_by_its_own_entry_alone(signature):
    (found,) = classify(NOISE + signature.example + "\n" + NOISE)
    assert found["check"] == signature.check
    assert not re.search(r"[{}]", found["cause"] + found["remedy"])
    assert [one.check for one in SIGNATURES if re.search(one.pattern, signature.example)] == [signature.check]


def test_what_is_unknown_is_not_guessed():
    assert classify(NOISE) == []
