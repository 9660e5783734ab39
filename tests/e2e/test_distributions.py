# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another glibc than the tests' own: Debian 12's, too old for the files that it is given, and the next release's, with its WasmEdge.

The tests of each build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.closed_network import mirror
from tests.closed_network.builds import wasmedge, wasmedge_newer
from tests.demo import one_node
from tests.machines import image, machines
from tests.machines.scenario import Scenario
from tests.machines.shell import REPO

from .cluster import Cluster, changes, one_machine
from .sick import says
from .snapshot import differences

pytestmark = [pytest.mark.in_order, pytest.mark.slow(16)]


@pytest.fixture(scope="module")
def older(mirror_url, installed_collection, run_playbook, say) -> Iterator[Cluster]:
    """Debian 12."""
    scenario = Scenario.named("debian12", ("node1",), "10.213.13")
    yield one_machine(Cluster, scenario, image.OLDER_NODE, run_playbook, say)
    machines.down(scenario, say)


class Newer(Cluster):
    """A cluster whose line of WasmEdge is changed."""

    def play_with(self, name: str, wasmedge: str) -> Any:
        """Run a playbook with that version of WasmEdge in the inventory."""
        defaults = yaml.safe_load((REPO / "roles/artifacts/defaults/main.yml").read_text(encoding="utf-8"))
        versions = {**defaults["artifacts_versions"], "wasmedge": wasmedge}
        # A balancer too, since it is released compiled for another line.
        one_node.inventory(self.scenario, artifacts_versions=versions, balancer_state="present")
        return self.play(name)


@pytest.fixture(scope="module")
def newer(mirror_url, installed_collection, run_playbook, say) -> Iterator[Newer]:
    """Debian 13 with the glibc that the later WasmEdge asks for."""
    mirror.ensure(["wasmedge_newer"], say)
    scenario = Scenario.named("newer-glibc", ("node1",), "10.213.15")
    yield one_machine(Newer, scenario, image.NEWER_NODE, run_playbook, say)
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


def test_models_answer_with_a_later_glibc(newer):
    assert newer.play_with("site", wasmedge.VERSION).rc == 0
    assert "Paris" in newer.report.read_text(encoding="utf-8")


def test_the_line_of_wasmedge_is_upgraded(newer):
    """The shim is the same for both, the plugin is not; the balancer's image has a module that is compiled for the first alone."""
    assert newer.play_with("upgrade", wasmedge_newer.VERSION).rc == 0
    assert "Paris" in newer.report.read_text(encoding="utf-8")
    (node,) = newer.kubectl("get", "nodes")["items"]
    tuples = [value for name, value in node["metadata"]["labels"].items() if name == "wasinn.cluster/verified"]
    assert [f"wasmedge-{wasmedge_newer.VERSION}" in value for value in tuples] == [True]
    again = newer.play_with("site", wasmedge_newer.VERSION)
    assert (again.rc, changes(again)) == (0, [])


def test_the_shim_says_what_it_would_load_of_it(newer):
    doctor = newer.run("node1", "containerd-shim-wasmedge-v1 --doctor")
    assert wasmedge_newer.VERSION in doctor.stdout
    assert json.loads(doctor.stdout)["problems"] == []
