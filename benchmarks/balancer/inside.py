# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inside the container: starts all programs, measures them in turns, prints one line of JSON a measurement.

``python3 -m benchmarks.balancer.inside PLAN``, where the plan is :class:`Plan` as JSON. Standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import programs, shim
from .programs import Broken, Program

LOAD = Path(__file__).with_name("load.lua")
# Between two loads: whoever left in the middle of a stream keeps its place for 50 ms, until a write told so.
SETTLE_SECONDS = 0.3
WARM_SECONDS = 1
SAMPLE_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    """What to measure.

    :ivar wasm: the balancer compiled ahead of time.
    :ivar native: the same code as a program.
    :ivar shim: containerd's.
    :ivar stub: the upstreams.
    :ivar connections: how many at once, one measurement each.
    :ivar seconds: of one measurement.
    :ivar events: of a stream, with ``gap_ms`` milliseconds between two.
    :ivar soak: minutes of load at 32 connections on the balancer alone, its memory watched; instead of rounds.
    """

    wasm: str
    native: str
    shim: str
    stub: str
    rounds: int
    connections: tuple[int, ...]
    seconds: float
    events: int
    gap_ms: float
    soak: float = 0.0


def main() -> int:
    plan = Plan(**json.loads(sys.argv[1]))
    try:
        with _running(plan) as there:
            lines = _soak(plan, there) if plan.soak else _rounds(plan, there)
            for line in lines:
                print(json.dumps(line), flush=True)
    except Broken as broken:
        print(json.dumps({"broken": str(broken)}), flush=True)
        return 1
    return 0


@contextmanager
def _running(plan: Plan) -> Iterator[list[Program]]:
    folder = Path("/tmp/benchmark")
    folder.mkdir()
    wasm = ["wasmedge", "--dir", "FOLDER:FOLDER", plan.wasm, "CONFIG"]
    there = [
        programs.upstreams(plan.stub, plan.events, plan.gap_ms),
        programs.haproxy(folder),
        programs.nginx(folder),
        programs.balancer("balancer wasm", 8103, folder, wasm),
        shim.balancer("balancer shim", 8105, folder, plan.wasm),
        programs.balancer("balancer native", 8104, folder, [plan.native, "CONFIG"]),
    ]
    if plan.soak:
        there = [there[0], there[4]]
    with shim.containerd(Path(plan.shim)), ExitStack() as started:
        for program in there:
            started.callback(program.stop)
            program.start()
        yield there


def _rounds(plan: Plan, there: list[Program]) -> Iterator[dict[str, Any]]:
    """Each round measures everything once, beginning with another program, so that noise meets all alike."""
    for program in there:
        yield {"program": program.name, "idle_pss_mib": programs.memory(program.pids())}
    for number in range(plan.rounds):
        order = there[number % len(there) :] + there[: number % len(there)]
        for stream in (False, True):
            for connections in plan.connections:
                for program in order:
                    _load(program, connections, WARM_SECONDS, stream)
                    time.sleep(SETTLE_SECONDS)
                    figures = _load(program, connections, plan.seconds, stream)
                    yield {"round": number, "connections": connections, "stream": stream, **figures}
                    time.sleep(SETTLE_SECONDS)


def _load(program: Program, connections: int, seconds: float, stream: bool) -> dict[str, Any]:
    """One measurement; ``cpu_us`` is the program's own processor time a request."""
    before = programs.processor_seconds(program.pids())
    with _wrk(program, connections, seconds, stream) as load:
        time.sleep(seconds * 0.8)
        pss = programs.memory(program.pids())
        output, errors = load.communicate(timeout=seconds + 60)
    used = programs.processor_seconds(program.pids()) - before
    for line in output.splitlines():
        if line.startswith("RESULT "):
            figures = json.loads(line.removeprefix("RESULT "))
            requests = max(figures["requests"], 1)
            return {
                "program": program.name,
                **figures,
                "rps": figures["requests"] / figures["seconds"],
                "pss_mib": pss,
                "cpu_us": used / requests * 1e6,
            }
    raise Broken(f"wrk gave no figures for {program.name}: {(errors or output)[-300:]}")


def _wrk(program: Program, connections: int, seconds: float, stream: bool) -> subprocess.Popen[str]:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    body = {"model": programs.MODEL, "messages": messages, "stream": stream}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "--latency"]
    return subprocess.Popen(
        [*command, "-s", str(LOAD), program.url],
        env={**os.environ, "BENCHMARK_KEY": programs.KEY, "BENCHMARK_BODY": json.dumps(body)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _soak(plan: Plan, there: list[Program]) -> Iterator[dict[str, Any]]:
    """Plain and streamed requests by turns, a minute each, for as long as asked; memory every few seconds."""
    program = there[-1]
    began = time.monotonic()
    stream = False
    while (past := time.monotonic() - began) < plan.soak * 60:
        seconds = round(min(60.0, max(plan.soak * 60 - past, SAMPLE_SECONDS)))  # wrk knows no part of a second
        with _wrk(program, 32, seconds, stream) as load:
            while load.poll() is None:
                yield {
                    "program": program.name,
                    "at_seconds": time.monotonic() - began,
                    "soak_pss_mib": programs.memory(program.pids()),
                }
                time.sleep(SAMPLE_SECONDS)
            output = load.communicate()[0]
        figures = [json.loads(line[7:]) for line in output.splitlines() if line.startswith("RESULT ")]
        if not figures:
            raise Broken(f"wrk gave no figures for {program.name}: {output[-300:]}")
        yield {"program": program.name, "stream": stream, "soak": figures[0]}
        stream = not stream


if __name__ == "__main__":
    sys.exit(main())
