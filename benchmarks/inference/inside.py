# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the node: measures all that the plan asks for and prints one line of JSON a measurement.

``python3 -m benchmarks.inference.inside PLAN``, where the plan is :class:`Plan` as JSON. Standard library only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from . import memory, starts
from .node import Broken, kubectl, pods_of
from .peers import Native, Peer, Pod

NAMESPACE = "llamaedge"


@dataclass(frozen=True)
class Plan:
    """What to measure.

    :ivar model: the model's name, which is its Deployment's as well.
    :ivar rounds: of speed; each has both peers do the same work.
    :ivar tokens: of one answer.
    :ivar prompt: text of the question whose answer is long; ``long_prompt`` is long itself.
    :ivar starts: pods of each kind.
    :ivar native: command line of the peer.
    :ivar image: of the runc pods.
    """

    model: str
    rounds: int
    tokens: int
    prompt: str
    long_prompt: str
    starts: int
    native: list[str]
    image: str


def main() -> int:
    plan = Plan(**json.loads(sys.argv[1]))
    try:
        for line in measure(plan):
            print(json.dumps(line), flush=True)
    except Broken as broken:
        print(json.dumps({"broken": str(broken)}), flush=True)
        return 1
    return 0


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Speed, then memory, then starts: the first pod is warm by then and nothing else runs beside it."""
    pod = Pod(pods_of(NAMESPACE, plan.model, 1)[0])
    with closing(Native(plan.native)) as native:
        yield from speed(plan, pod, native)
    yield from memory.second_replica(NAMESPACE, plan.model, plan.prompt)
    if plan.starts:
        spec = kubectl("get", "deployment", "-n", NAMESPACE, plan.model)["spec"]["template"]["spec"]
        yield from starts.measure(NAMESPACE, spec, plan.image, plan.starts)


def speed(plan: Plan, pod: Peer, native: Peer) -> Iterator[dict[str, Any]]:
    """The same two requests to both, in each round the other first, so that a busy minute meets both."""
    for number in range(-1, plan.rounds):  # the round before the first warms up
        order = (pod, native) if number % 2 else (native, pod)
        texts: dict[str, set[str]] = {}
        for peer in order:
            # A long prompt with a short answer and a short prompt with a long one: each rate has most of its time to itself.
            for kind, prompt, tokens in (("prompt", plan.long_prompt, 2), ("generation", plan.prompt, plan.tokens)):
                run = peer.ask(prompt, tokens)
                texts.setdefault(kind, set()).add(run.pop("text"))
                if number >= 0:
                    yield {"round": number, "peer": peer.name, "kind": kind, **run}
        for kind, answers in texts.items():
            if len(answers) != 1:
                raise Broken(f"pod and program gave different answers ({kind}: {sorted(answers)}): not the same work")


if __name__ == "__main__":
    sys.exit(main())
