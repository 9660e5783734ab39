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


@pytest.fixture
def play_in(exported) -> Callable[..., tuple[int, str]]:
    """``play_in(folder, *args, timeout=s) -> (exit status, output on one line)`` of ansible-playbook, also where it fails."""

    def run_play(folder: Path, *args: str, timeout: float | None = None) -> tuple[int, str]:
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", *args],
            env=dict(os.environ, ANSIBLE_NOCOLOR="1", ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2])),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return run_play
