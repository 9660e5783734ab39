# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``ansible_collections.wasinn.cluster`` the working tree, and orders the stages."""

from __future__ import annotations

import pytest

from tests import working_tree
from tests.working_tree import REPO

STAGES = ("unit", "static", "observability", "e2e")  # folders of tests/, cheap ones first


working_tree.use()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stage by stage; within one the order stays as it is."""

    def stage(item: pytest.Item) -> int:
        folder = item.path.relative_to(REPO / "tests").parts[0]
        return STAGES.index(folder) if folder in STAGES else len(STAGES)

    items.sort(key=stage)
