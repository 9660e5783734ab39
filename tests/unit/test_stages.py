# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests on machines as `make test` meets them."""

from __future__ import annotations

import re

import pytest

from tests.lint.tree import REPO

MODULES = sorted((REPO / "tests" / "e2e").glob("test_*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_module_is_longer_than_make_test_may_take(module):
    """It would be skipped for ever, and nobody told of it."""
    (limit,) = re.findall(r"^MINUTES \?= (\d+)$", (REPO / "Makefile").read_text(encoding="utf-8"), re.M)
    for minutes in re.findall(r"mark\.slow\((\d+)\)", module.read_text(encoding="utf-8")):
        assert int(minutes) < int(limit)


def test_what_comes_first_is_there():
    conftest = (REPO / "tests" / "e2e" / "conftest.py").read_text(encoding="utf-8")
    (first,) = re.findall(r"^FIRST = \((.*)\)$", conftest, re.M)
    assert set(re.findall(r"\w+", first)) <= {module.stem for module in MODULES}
