# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building the collection's archive and installing it where the playbooks find it, as a user would."""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

from tests.machines.shell import CACHE, REPO, Failure, run

COLLECTIONS = CACHE / "collections"
DIST = CACHE / "dist"


def program(name: str) -> str:
    """A program of the virtual environment that runs this."""
    return str(Path(sys.executable).parent / name)


def install() -> Path:
    """Build from the working tree, install without dependencies (the venv's ``ansible`` has them); gives the archive.

    :raises Failure: where ansible-galaxy does not build or install it.
    """
    DIST.mkdir(parents=True, exist_ok=True)
    galaxy = [program("ansible-galaxy"), "collection"]
    with (DIST / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(DIST / "new", ignore_errors=True)
        run([*galaxy, "build", str(REPO), "--output-path", str(DIST / "new")], timeout=300, env=environment())
        built = list((DIST / "new").glob("wasinn-cluster-*.tar.gz"))
        if len(built) != 1:
            raise Failure(
                f"ansible-galaxy left {len(built)} archives in {DIST / 'new'}: it should be one; look at galaxy.yml."
            )
        archive = built[0].replace(DIST / built[0].name)
        installing = ["install", str(archive), "--force", "--no-deps", "--collections-path", str(COLLECTIONS)]
        run([*galaxy, *installing], timeout=300, env=environment())
    return archive


def environment() -> dict[str, str]:
    """Variables under which ansible's programs run here, whatever the user's own settings are."""
    return {
        "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        "ANSIBLE_HOME": str(CACHE / "ansible"),
        "LC_ALL": "C.UTF-8",
    }
