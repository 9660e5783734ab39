# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests of a role, rendered by Ansible from the committed tree and compared with what was committed.

After a wanted change, `GOLDEN=write python -m pytest tests/unit -k manifests` writes what is rendered now; the
commit's diff then shows what clusters will see.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.lint.tree import REPO, Tree

GOLDEN = REPO / "tests" / "golden"
KUBERNETES = "1.34"  # whose schemas the objects are held against
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: wasinn.cluster.{role}
        tasks_from: render
"""


def render(role: str, variables: Path, exported: Tree, run: Callable[..., str], work: Path) -> dict[str, str]:
    """{file name: text} of the role's entry point `render` with the variables of a file, made in the folder `work`."""
    (work / "play.yml").write_text(PLAY.format(role=role))
    run(
        "ansible-playbook",
        "--inventory=localhost,",
        "--connection=local",
        f"--extra-vars=ansible_python_interpreter={sys.executable}",
        f"--extra-vars=@{variables}",
        f"--extra-vars={role}_render_dir={work / 'out'}",
        f"--extra-vars=artifacts_cache={work / 'cache'}",
        work / "play.yml",
        ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2]),
    )
    return {path.name: path.read_text() for path in sorted((work / "out").glob("*.yaml"))}


def committed(folder: Path, texts: dict[str, str]) -> dict[str, str]:
    """The folder's golden files by the name of what they hold; with GOLDEN=write first made of `texts`."""
    if os.environ.get("GOLDEN") == "write":
        for old in folder.glob("*.golden"):
            old.unlink()
        for name, text in texts.items():
            (folder / f"{name}.golden").write_text(text)
    return {path.stem: path.read_text() for path in folder.glob("*.golden")}


def objects_in(texts: dict[str, str]) -> list[dict[str, Any]]:
    """All Kubernetes objects."""
    return [item for text in texts.values() for item in yaml.safe_load_all(text) if item]
