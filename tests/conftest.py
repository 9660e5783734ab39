# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``ansible_collections.wasinn.cluster`` the working tree, by ansible's own loader, and orders the stages."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from ansible.utils.collection_loader import _collection_finder

REPO = Path(__file__).resolve().parents[1]
STAGES = ("unit", "static", "observability", "e2e")  # folders of tests/, cheap ones first


def _use_working_tree() -> None:
    link = REPO / ".cache" / "ansible_collections" / "wasinn" / "cluster"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        with suppress(FileExistsError):  # another run of the tests may be faster
            link.symlink_to(os.path.relpath(REPO, link.parent), target_is_directory=True)
    # Other collections (kubernetes.core) come from the venv, where the finder looks by itself.
    _collection_finder._AnsibleCollectionFinder(paths=[str(REPO / ".cache")])._install()


_use_working_tree()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stage by stage; within one the order stays as it is."""

    def stage(item: pytest.Item) -> int:
        folder = item.path.relative_to(REPO / "tests").parts[0]
        return STAGES.index(folder) if folder in STAGES else len(STAGES)

    items.sort(key=stage)
