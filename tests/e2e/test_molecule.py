# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""molecule's scenarios as tests, so that one summary tells of everything."""

from __future__ import annotations

import os

import pytest

from tests.demo import collection
from tests.machines.shell import REPO, live

SCENARIOS = sorted(path.parent.name for path in (REPO / "extensions" / "molecule").glob("*/molecule.yml"))


@pytest.mark.slow(18)  # it takes 24, and make test's own limit is 12 below CI's
@pytest.mark.timeout(2400)  # many tests in one
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario, mirror_url, installed_collection, say):
    """A scenario's whole sequence: check, converge, idempotence, check again, testinfra, clean-up."""
    say(f"$ molecule test -s {scenario}")
    environment = {
        **os.environ,
        **collection.environment(),
        "PYTHONPATH": str(REPO),
        "NO_COLOR": "1",
        "PATH": f"{collection.program('')}:{os.environ['PATH']}",
    }
    argv = [collection.program("molecule"), "test", "--scenario-name", scenario]
    assert live(argv, say, env=environment) == 0
