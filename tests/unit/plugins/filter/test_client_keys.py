# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter that hashes clients' keys."""

from __future__ import annotations

import hashlib

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.filter.client_keys import client_keys

HASH = hashlib.sha256(b"sk-alice").hexdigest()


def test_keys_become_hashes_in_the_order_of_their_names():
    entries = client_keys(
        [
            {"name": "bob", "sha256": "A" * 64, "models": ["chat"], "concurrent": 2},
            {"name": "alice", "key": "sk-alice", "requests_per_minute": "60"},
        ]
    )
    assert entries == [
        {"name": "alice", "sha256": HASH, "requests_per_minute": 60},
        {"name": "bob", "sha256": "a" * 64, "models": ["chat"], "concurrent": 2},
    ]


def test_a_key_to_come_is_taken_where_one_stands_for_it():
    entries = client_keys([{"name": "a"}, {"name": "b"}], "none yet")
    assert [entry["name"] for entry in entries] == ["a", "b"]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([{"key": "secret-1"}], "no proper name"),
        ([{"name": "a b", "key": "secret-1"}], "no proper name"),
        ([{"name": "a"}], "neither key nor sha256"),
        ([{"name": "a", "key": ""}], "empty or has characters"),
        ([{"name": "a", "key": "secret 1"}], "empty or has characters"),
        ([{"name": "a", "key": "secret-1", "sha256": HASH}], "both key and sha256"),
        ([{"name": "a", "sha256": "secret-1"}], "64 hexadecimal"),
        ([{"name": "a", "key": "secret-1", "limit": 1}], r"unknown settings \(limit\)"),
        ([{"name": "a", "key": "secret-1", "concurrent": 0}], "above 0"),
        ([{"name": "a", "key": "secret-1", "requests_per_minute": "many"}], "above 0"),
        ([{"name": "a", "key": "secret-1", "models": "chat"}], "is no list"),
        ([{"name": "a", "key": "secret-1"}, {"name": "a", "key": "secret-2"}], "the name a"),
        ([{"name": "a", "key": "secret-1"}, {"name": "b", "key": "secret-1"}], "same key as a"),
    ],
)
def test_what_makes_no_sense_is_refused_without_telling_the_key(keys, sentence):
    with pytest.raises(AnsibleFilterError, match=sentence) as refusal:
        client_keys(keys)
    assert "secret" not in str(refusal.value)
