# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``ansible_collections.wasinn.cluster`` the working tree, by ansible's own loader."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ansible.utils.collection_loader import _collection_finder

REPO = Path(__file__).resolve().parents[1]


def use() -> None:
    """Install the loader in this process."""
    link = REPO / ".cache" / "ansible_collections" / "wasinn" / "cluster"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        with suppress(FileExistsError):  # another run of the tests may be faster
            link.symlink_to(os.path.relpath(REPO, link.parent), target_is_directory=True)
    # Other collections (kubernetes.core) come from the venv, where the finder looks by itself.
    _collection_finder._AnsibleCollectionFinder(paths=[str(REPO / ".cache")])._install()
