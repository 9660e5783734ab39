# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One playbook at a time on a machine: two runs, runs that ended, runs of elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.run_lock import (
    Holder,
    gone,
    here,
    look,
    parse,
    release,
    take,
    taken,
)

ELSEWHERE = Holder("eve", "laptop", "laptop boot pid:[1]", 7, "100", "site")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


@pytest.fixture
def me() -> Holder:
    return here("adam", os.getpid(), "wasinn.cluster.site")


def holder(path: str) -> Holder:
    found = look(path, Holder(), None, 60)
    assert found is not None
    return found


def test_a_machine_is_taken_renewed_and_given_back(path, me):
    assert take(path, me, None, 60) is None
    first = holder(path)
    assert take(path, replace(me, playbook="other"), None, 60) is None
    second = holder(path)
    assert first.since == second.since < second.renewed
    assert release(path, me)
    assert not os.path.exists(path)
    assert not release(path, me)


def test_a_look_tells_what_taking_would(path, me):
    """Check mode: what is stale, or to be passed over, is in nobody's way."""
    take(path, replace(ELSEWHERE), None, 60)
    assert look(path, me, None, 60) == holder(path)
    assert look(path, ELSEWHERE, None, 60) is None
    assert look(path, me, None, 60, steal=True) is None
    assert look(path, me, None, 0) is None
    assert look(path, me, asdict(ELSEWHERE), 60) is None
    assert holder(path).process == ELSEWHERE.process


def test_another_run_is_told_who_has_it_and_cannot_give_it_back(path, me):
    take(path, ELSEWHERE, None, 60)
    other = take(path, me, None, 60)
    assert other is not None
    assert other.process == ELSEWHERE.process
    assert not release(path, me)
    assert holder(path).process == ELSEWHERE.process


def test_a_claim_ends_with_its_lease(path, me):
    take(path, ELSEWHERE, None, 60)
    old = {**asdict(holder(path)), "renewed": time.time() - 61}
    Path(path).write_text(json.dumps(old))
    assert take(path, me, None, 60) is None
    assert holder(path).process == me.process


def test_a_claim_of_the_future_is_none(path, me):
    """The machine's clock was set back: nobody waits for a year."""
    Path(path).write_text(json.dumps({**asdict(ELSEWHERE), "renewed": time.time() + 1e7}))
    assert take(path, me, None, 60) is None


def test_a_claim_of_just_now_stays_whoever_looked_at_the_clock_first(path, me):
    """A clock put right by a second, or one read before the wait for the file."""
    Path(path).write_text(json.dumps({**asdict(ELSEWHERE), "renewed": time.time() + 1}))
    other = take(path, me, None, 60)
    assert other is not None
    assert other.process == ELSEWHERE.process


def test_what_is_known_to_have_ended_is_taken_over_and_nothing_else(path, me):
    take(path, ELSEWHERE, None, 60)
    assert take(path, me, {**asdict(ELSEWHERE), "pid": 8}, 60) is not None
    assert take(path, me, asdict(ELSEWHERE), 60) is None


def test_it_can_be_stolen(path, me):
    take(path, ELSEWHERE, None, 60)
    assert take(path, me, None, 60, steal=True) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_damaged_file_is_nobodys(path, me, text):
    Path(path).write_text(text)
    assert take(path, me, None, 60) is None


def test_a_process_that_ended_is_gone_and_a_living_one_is_not(me):
    child = subprocess.Popen(["sleep", "60"])
    run = here("adam", child.pid, "site")
    assert not gone(run)
    assert gone(replace(run, began="1"))  # the number belongs to another process by now
    assert not gone(replace(run, place="elsewhere", began="1"))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert gone(run)  # dead, though its parent has not asked for it
    child.wait()
    assert gone(run)
    assert not gone(me)


def test_of_many_at_once_one_gets_it(path):
    runs = [replace(ELSEWHERE, pid=number) for number in range(1, 40)]
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda run: take(path, run, None, 60), runs))
    assert got.count(None) == 1


def test_what_is_said(me):
    said = taken(parse({**asdict(me), "since": 0.0}), 3600)
    assert said["check"] == "locked"
    assert f"wasinn.cluster.site of adam on {me.controller}, process {me.pid}" in said["cause"]
    assert "after 60 minutes" in said["remedy"]
