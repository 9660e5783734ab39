# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building what is out of date: in order, two at a time, with progress."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from tests.machines import engine, image
from tests.machines.shell import Failure

from . import plan
from .context import BUILDS, Context, container
from .plan import Build

AT_A_TIME = 2
REMIND_SECONDS = 60


def upstream() -> bool:
    """Whether the real files are wanted (``MIRROR=upstream``), so that there is nothing to build."""
    return os.environ.get("MIRROR", "") == "upstream"


def ensure(names: list[str], say: Callable[[str], None] = print) -> None:
    """Leave with the named parts of the mirror (without names: all of it) up to date.

    :raises Failure: of the first build that failed; those already running are let finish.
    """
    if upstream():
        say("mirror: MIRROR=upstream, so the real files are taken and nothing is built")
        return
    BUILDS.mkdir(parents=True, exist_ok=True)
    with (BUILDS / "lock").open("w") as lock:  # two runs would write the same folders
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("mirror: another run builds it; waiting for its end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        _build_all(plan.load(names), say)


def _build_all(chosen: dict[str, Build], say: Callable[[str], None]) -> None:
    states = {name: plan.state(build, chosen) for name, build in chosen.items()}
    stale = {name for name, build in chosen.items() if not plan.up_to_date(build, states[name])}
    say(f"mirror: {len(chosen) - len(stale)} of {len(chosen)} builds are up to date")
    if not stale:
        return
    engine.ensure(say)
    image.ensure(image.BUILDER, say)
    order = TopologicalSorter({name: set(chosen[name].needs) & stale for name in stale})
    order.prepare()
    running: dict[Future[None], str] = {}
    failures: list[Failure] = []
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            while order.is_active() and (running or not failures):
                for name in order.get_ready() if not failures else ():
                    running[pool.submit(_build, chosen[name], states[name], say)] = name
                done, _pending = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    name = running.pop(future)
                    error = future.exception()
                    if error is None:
                        order.done(name)
                    elif isinstance(error, Failure):
                        failures.append(error)
                    else:
                        failures.append(Failure(f"Build {name} failed: {error}"))
        except BaseException:  # Ctrl-C: nobody waits for minutes of compiling
            for future, name in running.items():
                future.cancel()
                engine.docker("rm", "-f", container(name), check=False)
            raise
    if failures:
        raise failures[0]


def _build(build: Build, state: str, say: Callable[[str], None]) -> None:
    """Run one build; every minute a line says that it is still at it, and with what."""
    say(f"mirror: {build.name}: building ({build.description})")
    began = time.monotonic()
    build.stamp.unlink(missing_ok=True)
    ctx = Context(build.name)
    over = threading.Event()

    def remind() -> None:
        while not over.wait(REMIND_SECONDS):
            lines = ctx.log.read_text(errors="replace").splitlines() or [""]
            say(f"mirror: {build.name}: {time.monotonic() - began:.0f} s so far, at: {lines[-1].strip()[:100]}")

    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        build.make(ctx)
    finally:
        over.set()
    plan.write_stamp(build, state, ctx.published)
    say(f"mirror: {build.name}: built in {time.monotonic() - began:.0f} s")
