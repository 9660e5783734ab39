# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter that writes TOML: what Python's own reader makes of its text is what went in."""

from __future__ import annotations

import tomllib

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.filter.toml import to_toml

DOCUMENTS = [
    {},
    {"retries": 2, "watch": True, "off": False, "share": 0.5, "whole": 1.0, "big": 1 << 40, "below": -3},
    {"text": 'quotes " and \\ and\nlines\tand \x00 \x1f \x7f and é 🦀', "empty": ""},
    {"timeouts": {"connect": 1.5}, "after": 1, "empty": {}, "a": {"b": {"c": {"d": "deep"}}, "e": 1}},
    {"a key": {"with.dot": {'"': 1}}, "": 2},
    {"lists": [1, 2], "nested": [[1], ["a"]], "none": [], "tables": [{"name": "a", "x": {"y": 1}}, {}]},
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_it_reads_back(document):
    assert tomllib.loads(to_toml(document)) == document


def test_keys_without_value_are_left_out():
    assert tomllib.loads(to_toml({"a": None, "b": {"c": None}, "d": [{"e": None}]})) == {"b": {}, "d": [{}]}


def test_infinities_are_written_as_toml_has_them():
    assert tomllib.loads(to_toml({"x": float("-inf")})) == {"x": float("-inf")}


def test_what_people_read():
    assert to_toml({"timeouts": {"idle": 5}, "queue": 64}) == "queue = 64\n\n[timeouts]\nidle = 5\n"


@pytest.mark.parametrize("wrong", [{"a": {"b": object()}}, ["list"]])
def test_what_toml_does_not_have_is_refused(wrong):
    with pytest.raises(AnsibleFilterError):
        to_toml(wrong)
