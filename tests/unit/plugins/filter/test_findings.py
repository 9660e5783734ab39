# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings out of what other programs report."""

from __future__ import annotations

import json

import pytest
from ansible_collections.wasinn.cluster.plugins.filter.findings import doctor_findings

ASKED = "The shim, asked what a container would find here: "


@pytest.mark.parametrize(
    ("problem", "cause", "remedy"),
    [
        # as rust/shim/src/plugins.rs puts them
        (
            "libwasmedge is 0.16.1, which this shim does not know; install one of 0.14.1 and 0.17.x, or the shim for it",
            "libwasmedge is 0.16.1, which this shim does not know.",
            "Install one of 0.14.1 and 0.17.x, or the shim for it.",
        ),
        (
            "/etc/wasinn/shim.toml has a fault",
            "/etc/wasinn/shim.toml has a fault.",
            "Put right what it names, and run the roles wasmedge and shim again.",
        ),
        (
            "plugin /p/a.so: WasmEdge cannot load it: no such thing; install it again",
            "plugin /p/a.so: WasmEdge cannot load it: no such thing.",
            "Install it again.",
        ),
    ],
)
def test_a_problem_of_the_shim_is_a_finding(problem, cause, remedy):
    (found,) = doctor_findings({"rc": 1, "stdout": json.dumps({"ok": False, "problems": [problem]}), "stderr": ""})
    assert found == {"check": "shim_doctor", "cause": f"{ASKED}{cause}", "remedy": remedy}


@pytest.mark.parametrize("stdout", ["", "{}", "[]", "a shim of somebody else"])
def test_no_report_is_a_finding(stdout):
    (found,) = doctor_findings({"rc": 2, "stdout": stdout, "stderr": "one\nno libseccomp.so.2\n"})
    assert "(exit status 2): no libseccomp.so.2." in found["cause"]


@pytest.mark.parametrize("result", [{"stdout": '{"problems": []}', "rc": 0}, {"skipped": True, "stdout": ""}, {}])
def test_nothing_is_found_on_a_node_that_is_well(result):
    assert doctor_findings(result) == []
