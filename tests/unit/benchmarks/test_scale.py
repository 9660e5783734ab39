# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks/scale makes of its runs."""

from __future__ import annotations

import subprocess
import time

import pytest

from benchmarks.scale import measure, report
from benchmarks.tasks.table import Cost


def run_of(hosts: int, seconds: float = 100.0, **cpu: float) -> report.Run:
    costs = [Cost(name, f"{name}.yml", "ansible.builtin.setup", cpu=value, ran=hosts) for name, value in cpu.items()]
    return report.Run(hosts, seconds, 16, 16, 100.0, 300.0, 200.0, costs)


def test_a_task_that_grows_with_the_square_is_named_and_others_are_not():
    small = run_of(20, fixed=5, each=2, square=0.4, cheap=0.001)
    large = run_of(200, fixed=5, each=20, square=40, cheap=0.2)
    found = {growth.task: growth for growth in report.growths(small, large)}
    assert found["square"].exponent == pytest.approx(2)
    assert found["each"].exponent == pytest.approx(1)
    assert found["fixed"].exponent == pytest.approx(0)
    assert [growth.task for growth in found.values() if growth.steep] == ["square"]
    assert report.steep_text(small, large) == (
        "goal missed: these grow faster than the number of hosts: square (square.yml, hosts^2.0)"
    )
    assert report.steep_text(run_of(20, each=2), run_of(200, each=21)).startswith("goal met")


def test_what_is_not_worth_a_name_has_none():
    assert not report.growths(run_of(20, a=0.01), run_of(200, a=0.9))[0].steep


def test_the_ratio_is_that_of_the_time_for_each_host():
    assert report.ratio(run_of(20, 40.0), run_of(200, 500.0)) == pytest.approx(1.25)


def test_tables_and_pictures(tmp_path):
    small, large = run_of(20, 40.0, a=2.0, b=1.0), run_of(200, 500.0, a=30.0, b=4.0)
    rows = report.tasks_table(small, large).splitlines()
    assert rows[2] == "| a | a.yml | 0.1000 | 0.1500 | 1.18 | 30.0 |"
    assert rows[3] == "| b | b.yml | 0.0500 | 0.0200 | 0.60 | 4.0 |"
    assert "| 200 | 500 | 2.50 | 0.17 | 2.0 | 2.0 | 0 | 16 (16) |" in report.runs_table([small, large])
    assert all(path.stat().st_size > 1000 for path in report.draw([small, large], tmp_path))


def test_a_process_and_all_below_it_are_measured():
    assert measure.descendants(1, {2: 1, 3: 2, 4: 9, 5: 3}) == [1, 2, 3, 5]
    watch = measure.Watch()
    with subprocess.Popen(["sh", "-c", "sleep 30 & sleep 30 & wait"]) as child:
        watch.start(child.pid)
        deadline = time.monotonic() + 20
        while watch.workers < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in reversed(measure.descendants(child.pid, measure._parents())):
            subprocess.run(["kill", str(pid)], check=False)
    watch.end()
    assert watch.workers == 2
    assert watch.rss_mib > watch.own_mib > 0
