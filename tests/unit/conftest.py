# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of the collection as a whole share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lint.tree import REPO, Tree


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A clean copy of the repository: what git has, and no more; below it the path Ansible wants."""
    tree = Tree(REPO, tmp_path_factory.mktemp("export"))
    tree.refresh()
    return tree


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Callable[..., str]:
    """Runs a program installed beside this Python and gives its output; if it fails, its words are the reason.

    It runs in an empty folder, out of reach of the repository's own ansible.cfg: users have none.
    """
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run_program(*argv: str | Path, **env: str) -> str:
        program = Path(sys.executable).parent / argv[0]
        done = subprocess.run(
            [str(program), *map(str, argv[1:])],
            env=dict(os.environ, ANSIBLE_LOCALHOST_WARNING="False", ANSIBLE_NOCOLOR="1", **env),
            cwd=elsewhere,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(map(str, argv))}:\n{done.stdout}{done.stderr}"
        return done.stdout

    return run_program
