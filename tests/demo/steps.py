# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps behind the Makefile's targets."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.closed_network import mirror
from tests.machines import engine, image, machines
from tests.machines.scenario import Scenario
from tests.machines.shell import CACHE, REPO, Failure

from . import collection
from .playbook import run_playbook
from .stages import Stages

say = functools.partial(print, flush=True)
REPORT = CACHE / "demo" / "report.md"


def demo(args: list[str]) -> int:
    """Everything: from the engine to the model's answer. Arguments go to ansible-playbook."""
    scenario = Scenario.named("demo")
    stages = Stages(7)
    began = time.time()
    # Set-up runs before Python is there; the Makefile says when it began.
    stages.already("set-up", began - float(os.environ.get("WASINN_STARTED") or began))
    with stages.stage("engine and images"):
        engine.ensure(say)
        image.ensure(image.NODE, say)
        if not mirror.upstream():
            image.ensure(image.BUILDER, say)
    with stages.stage("artifacts' mirror"):
        mirror.ensure([], say)
    with stages.stage("machines"):
        machines.up(scenario, say)
    with stages.stage("collection"):
        say(f"installed {collection.install().name} into {collection.COLLECTIONS.relative_to(REPO)}")
    with stages.stage("cluster"):
        done = run_playbook("site", *args)
    if done.rc != 0:
        say(f"\nThe playbook failed ({done.rc}); what it did not like stands above.\n\n{stages.table()}")
        return done.rc
    with stages.stage("answer"):
        if not REPORT.exists() or REPORT.stat().st_mtime < began:
            raise Failure(
                f"The playbook went through but wrote no report to {REPORT}: look at role verify's output above."
            )
        say(REPORT.read_text().strip())
    say(f"\n{stages.table()}\n\nThe report is {REPORT.relative_to(REPO)}; 'make clean' takes the machines away.")
    return 0


def up(_args: list[str]) -> int:
    """The demo machines alone, bare."""
    machines.up(Scenario.named("demo"), say)
    return 0


def make_mirror(args: list[str]) -> int:
    """The mirror alone; arguments name builds."""
    mirror.ensure(args, say)
    return 0


def play(name: str, args: list[str]) -> int:
    """One playbook of the installed collection against the demo machines."""
    collection.install()
    return run_playbook(name, *args).rc


def kubectl(args: list[str]) -> int:
    """kubectl on the demo cluster's server."""
    scenario = Scenario.named("demo")
    container = scenario.container("node1")
    return subprocess.run(["docker", "exec", "-i", container, "k3s", "kubectl", *args], check=False).returncode


def clean(_args: list[str]) -> int:
    """Machines, networks and volumes of all scenarios, their keys; the engine where we started it."""
    if engine.answers():
        for name in machines.all_scenarios():
            machines.down(Scenario(name, "", ()), say)
            shutil.rmtree(CACHE / name, ignore_errors=True)
    engine.stop(say)
    return 0


def distclean(args: list[str]) -> int:
    """All of it, the images and everything below .cache too."""
    if engine.answers():
        for each in image.ALL:
            image.remove(each)
    clean(args)
    for child in Path(CACHE).iterdir():
        shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    return 0


STEPS: dict[str, Callable[[list[str]], int]] = {
    "demo": demo,
    "machines": up,
    "mirror": make_mirror,
    "kubectl": kubectl,
    "clean": clean,
    "distclean": distclean,
    **{name: functools.partial(play, name) for name in ("site", "preflight", "verify", "report", "reset")},
}
