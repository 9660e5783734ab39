# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A distribution that is too old for the files it is given: Debian 12, whose glibc nothing of Debian 13's can start with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.demo import one_node
from tests.machines import image, machines
from tests.machines.scenario import Scenario

from .cluster import Cluster
from .sick import says
from .snapshot import differences

pytestmark = [pytest.mark.in_order, pytest.mark.slow(5)]


@pytest.fixture(scope="module")
def older(mirror_url, installed_collection, run_playbook, say) -> Iterator[Cluster]:
    """One bare machine with Debian 12."""
    scenario = Scenario.named("debian12", ("node1",), "10.213.13")
    machines.down(scenario, say)
    machines.up(scenario, say, image.OLDER_NODE)
    folder = one_node.inventory(scenario)
    yield Cluster(scenario, partial(run_playbook, inventory=folder), partial(machines.run_on, scenario))
    machines.down(scenario, say)


def test_preflight_takes_the_distribution(older):
    assert "bookworm" in older.run("node1", "cat /etc/os-release").stdout
    assert older.play("preflight").rc == 0


def test_site_says_which_library_is_too_old_and_leaves_the_machine_safe(older):
    before = older.snapshot("node1")
    result = older.play("site")
    said = says(result, r"GLIBC_2\.3\d")
    assert "Debian 13 or newer" in said
    assert older.play("reset").rc == 0
    assert differences(before, older.snapshot("node1")) == []
