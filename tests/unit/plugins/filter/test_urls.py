# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as they stand in URLs."""

from __future__ import annotations

import pytest
from ansible_collections.wasinn.cluster.plugins.filter.urls import url_host


@pytest.mark.parametrize(
    ("host", "shown"),
    [("api.example.com", "api.example.com"), ("192.0.2.10", "192.0.2.10"), ("fd00::10", "[fd00::10]")],
)
def test_ipv6_alone_has_brackets(host, shown):
    assert url_host(host) == shown
