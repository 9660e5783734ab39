# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.balancer``: our balancer beside HAProxy and nginx, in one container, in one run.

Takes the compiled wasm from the mirror (built where it is not there), compiles the same code as a native program, and runs
both with Debian's HAProxy and nginx over the same upstreams. The figures end up in ``.cache/benchmarks/balancer``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tarfile

from tests.closed_network import mirror, recipe
from tests.closed_network.builds import balancer, shim
from tests.closed_network.context import Context
from tests.closed_network.layout import place
from tests.machines import engine, image
from tests.machines.shell import CACHE, REPO, Failure

from . import report
from .inside import Plan

OUTPUT = CACHE / "benchmarks" / "balancer"
CONTAINER = f"wasinn-benchmark-{os.getpid()}"
IMAGE = image.Image("wasinn-benchmark", "wasmedge haproxy nginx-light wrk containerd python3-minimal libpython3-stdlib")
# What containerd needs inside a container, as tests/machines has it.
MACHINE = (
    *("--cgroupns=private", "--cap-add=ALL", "--cap-drop=SYS_RESOURCE"),
    *("--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"),
    *("--tmpfs=/run", "--tmpfs=/tmp:exec", "-v", "/var/lib/containerd"),
)
# Compiled as the release is, by the same compiler.
NATIVE = """
for setting in $(bash /src/rust/release.sh profile balancer); do export "${setting?}"; done
cargo build --locked --release --manifest-path /src/rust/Cargo.toml --package wasinn-balancer --bin balancer
gcc -O2 -o /build/stub /src/benchmarks/balancer/stub.c
"""


def main() -> int:
    args = _arguments()
    try:
        plan, mounts = _set_up(args)
        results = _run(plan, mounts)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    OUTPUT.mkdir(parents=True, exist_ok=True)
    pictures = report.draw(results, OUTPUT)
    print()
    if plan.soak:
        print(report.soak_text(results))
    else:
        text = report.table(results)
        (OUTPUT / "balancer.md").write_text(text + "\n")
        print(text)
    print(f"\n{', '.join(str(path.relative_to(REPO)) for path in pictures)}")
    if not plan.soak:
        print("goal met" if report.met(results) else "goal missed")
        print(report.verdict(results))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.balancer", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of one measurement")
    parser.add_argument("--connections", default="1,32,256", help="has to hold 32")
    parser.add_argument("--events", type=int, default=20, help="of a stream")
    parser.add_argument("--gap", type=float, default=5, help="milliseconds between two events")
    parser.add_argument(
        "--soak", type=float, default=0, metavar="MINUTES", help="memory of the balancer under load, instead"
    )
    args = parser.parse_args()
    args.connections = tuple(int(number) for number in args.connections.split(","))
    if report.GOAL_CONNECTIONS not in args.connections:
        parser.error(f"--connections has to hold {report.GOAL_CONNECTIONS}")
    return args


def _set_up(args: argparse.Namespace) -> tuple[Plan, list[str]]:
    """Everything built; gives the plan, with paths as they are in the container, and the mounts for them.

    :raises Failure: where a build fails.
    """
    mirror.ensure(["balancer", "shim"])
    image.ensure(IMAGE)
    ctx = Context("benchmark")
    print("building the balancer and the upstream as native programs", flush=True)
    ctx.builder(NATIVE)
    wasm = place(ctx.mirror, balancer.COMPILED)
    with tarfile.open(place(ctx.mirror, f"{recipe.RELEASE}/{shim.ARCHIVE}")) as archive:
        archive.extractall(ctx.work / "shim", filter="data")
    files = {
        "balancer.wasm": wasm,
        "balancer": ctx.work / "target" / "release" / "balancer",
        "shim": ctx.work / "shim" / "containerd-shim-wasmedge-v1",
        "stub": ctx.work / "stub",
    }
    mounts = [f"{REPO / 'benchmarks'}:/src/benchmarks:ro", *(f"{path}:/opt/{name}:ro" for name, path in files.items())]
    plan = Plan(
        wasm="/opt/balancer.wasm",
        native="/opt/balancer",
        shim="/opt/shim",
        stub="/opt/stub",
        rounds=args.rounds,
        connections=args.connections,
        seconds=args.seconds,
        events=args.events,
        gap_ms=args.gap,
        soak=args.soak,
    )
    return plan, mounts


def _run(plan: Plan, mounts: list[str]) -> report.Results:
    """The measurements, told as they come and kept line by line.

    :raises Failure: where a program does not run.
    """
    results = report.Results()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    command = ["docker", "run", "--rm", "--init", "--name", CONTAINER, "--network=none", *MACHINE, "-w", "/src"]
    command += [word for mount in mounts for word in ("-v", mount)]
    command += [IMAGE.name, "python3", "-B", "-m", "benchmarks.balancer.inside", json.dumps(dataclasses.asdict(plan))]
    try:
        with (
            (OUTPUT / ("soak.jsonl" if plan.soak else "rounds.jsonl")).open("w") as sink,
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child,
        ):
            for text in child.stdout or ():
                line = json.loads(text)
                if "broken" in line:
                    raise Failure(line["broken"])
                sink.write(text)
                results.take(line)
                _tell(line)
    finally:
        engine.docker("rm", "-f", CONTAINER, check=False)
    if child.returncode != 0:
        raise Failure(f"The measurements ended with {child.returncode}: see what was printed above.")
    return results


def _tell(line: dict[str, object]) -> None:
    if "rps" in line:
        print(
            f"round {line['round']}  {'streamed' if line['stream'] else 'plain':8}  {line['connections']:>3} connections  "
            f"{line['program']:16}  {line['rps']:>9,.0f}/s  p50 {line['p50_ms']:>7.2f} ms  p99 {line['p99_ms']:>7.2f} ms",
            flush=True,
        )
    elif "soak" in line:
        print(f"{'streamed' if line['stream'] else 'plain':8}  {line['soak']}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
