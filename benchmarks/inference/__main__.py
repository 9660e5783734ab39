# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.inference``: what WebAssembly and Kubernetes cost a model, on a machine of its own.

Playbook ``site`` makes a cluster of one node with one model; a plain program on the same libllama is asked the same, by
turns. Then a second replica's memory, then starts beside runc's. The last line is ``ratio=…``: the pod's tokens a second
to the program's. The figures end up in ``.cache/benchmarks/inference``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import subprocess
import sys

from tests.machines import machines
from tests.machines.scenario import Scenario, variable
from tests.machines.shell import CACHE, REPO, Failure

from . import machine, report
from .inside import Plan

OUTPUT = CACHE / "benchmarks" / "inference"
NAME, PREFIX = "bench-inference", "10.213.28"
# What the demo's pods have; the program gets the same.
CONTEXT, BATCH, PENALTY = 1024, 512, 1.1
MODEL_FILE = "/var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT = "Write a long story about a lighthouse keeper who finds a map in a bottle."
SENTENCES = (
    "The ship left the harbour before the sun was up and nobody on the pier waved.",
    "In the hold lay forty crates of oranges and one of books without a name on it.",
    "The captain had promised the owner to be back before the first snow fell.",
    "On the third day the wind turned and the cook began to count what was left.",
)


def main() -> int:
    args = _arguments()
    scenario = Scenario.named(NAME, ("node1",), os.environ.get(variable(NAME)) or PREFIX)
    try:
        model = machine.set_up(scenario, args.threads)
        results = _run(scenario, _plan(args, model))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        if not args.keep:
            machines.down(scenario)
    text = report.table(results)
    (OUTPUT / "inference.md").write_text(text + "\n")
    pictures = report.draw(results, OUTPUT)
    print(f"\n{text}\n\n{', '.join(str(path.relative_to(REPO)) for path in pictures)}")
    print("goal met" if report.met(results) else "goal missed")
    print(report.verdict(results))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="of speed; fewer say little (%(default)s)")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer (%(default)s)")
    parser.add_argument("--starts", type=int, default=7, help="pods of each kind (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of llama.cpp, on both sides; they spin (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the machine up")
    args = parser.parse_args()
    if args.rounds < 1 or args.starts < 1 or args.tokens < 2:
        parser.error("--rounds and --starts have to be 1 or more, --tokens 2 or more")
    return args


def _plan(args: argparse.Namespace, model: str) -> Plan:
    settings = (MODEL_FILE, CONTEXT, BATCH, args.threads, PENALTY)
    return Plan(
        model=model,
        rounds=args.rounds,
        tokens=args.tokens,
        prompt=PROMPT,
        long_prompt=" ".join(SENTENCES * 5) + " What happened next?",
        starts=args.starts,
        native=[f"{machine.THERE}/native", *map(str, settings)],
        image=machine.IMAGE,
    )


def _run(scenario: Scenario, plan: Plan) -> report.Results:
    """The measurements, told as they come and kept line by line.

    :raises Failure: where one cannot be made.
    """
    results = report.Results()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    there = ["python3", "-B", "-m", "benchmarks.inference.inside", json.dumps(dataclasses.asdict(plan))]
    command = [*machines.ssh_command(scenario, "node1"), f"cd {machine.THERE} && {shlex.join(there)}"]
    with (
        (OUTPUT / "rounds.jsonl").open("w") as sink,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child,
    ):
        for text in child.stdout or ():
            line = json.loads(text)
            if "broken" in line:
                raise Failure(line["broken"])
            sink.write(text)
            results.take(line)
            print(told(line), flush=True)
    if child.returncode != 0:
        raise Failure(f"The measurements ended with {child.returncode}: see what was printed above.")
    return results


def told(line: dict[str, object]) -> str:
    """A measurement as one line for people."""
    if "peer" in line:
        return f"round {line['round']:>2}  {line['kind']:10}  {line['peer']:6}  {report.rate(line):7.1f} tokens/s"
    if "start" in line:
        return f"start {line['start']:>2}  {line['kind']:4}  listening {line['listening_ms']:6.0f} ms  Ready {line['ready_ms']:6.0f} ms"
    return f"replicas {line['replicas']}  PSS {line['pss']:.0f} MiB  RSS {line['rss']:.0f} MiB  charged {line['charged']:.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
