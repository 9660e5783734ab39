# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal of a k3s that does not start is taken for."""

from __future__ import annotations

import re

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.join_failures import SIGNATURES, classify

NOISE = 'level=info msg="Waiting to retrieve agent configuration; server is not ready"'
FAR = 'level=error msg="failed to get CA certs: dial tcp 10.0.0.1:6443: connect: connection refused"'


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.check)
def test_each_example_is_recognised_by_its_own_entry_alone(signature):
    (found,) = classify([NOISE, signature.example, NOISE])
    assert found["check"] == signature.check
    assert not re.search(r"[{}]", found["cause"] + found["remedy"])
    assert [one.check for one in SIGNATURES if re.search(one.pattern, signature.example)] == [signature.check]


def test_the_cause_is_told_and_not_what_comes_with_it():
    (found,) = classify(
        [FAR, "k3s: error: https://10.0.0.1:6443/v1-k3s/node refused the token: its secret is not this cluster's", FAR]
    )
    assert found["check"] == "join_token"


def test_the_last_line_counts():
    (found,) = classify([FAR, FAR.replace("10.0.0.1", "10.0.0.2").replace("connection refused", "no route to host")])
    assert found["cause"] == "The machine does not reach 10.0.0.2:6443 (no route to host)."


def test_what_is_unknown_is_not_guessed():
    assert classify([NOISE]) == classify([]) == []
