# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Chat requests one after another and many at once, and what their answers say together.

Bounded in count (a phase's requests) and in time (one limit for all phases): what was not sent by then is counted.
"""

from __future__ import annotations

import math
import threading
import time
import typing as t
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding
from ansible_collections.wasinn.cluster.plugins.module_utils.openai_client import (
    ChatError,
    ChatRequest,
    ChatResult,
    chat,
)

#: Fewer answers say nothing about shares.
SHARES_FROM = 20


@dataclass(frozen=True)
class Phase:
    """So many requests, so many of them at a time."""

    name: str
    requests: int
    concurrency: int = 1


@dataclass(frozen=True)
class Limits:
    """What is good enough. ``success`` is a ratio; ``p95`` in milliseconds, 0 for none; ``share`` a difference."""

    success: float = 1.0
    p95: float = 0
    share: float = 0.1


@dataclass
class Sent:
    """One request: the model it named, and its answer or its failure."""

    asked: str
    result: ChatResult | None = None
    error: ChatError | None = None


@dataclass
class Run:
    """A phase that is over; ``seconds`` is its wall time."""

    phase: Phase
    sent: list[Sent] = field(default_factory=list)
    seconds: float = 0

    @property
    def answers(self) -> list[ChatResult]:
        """What came."""
        return [each.result for each in self.sent if each.result]


def run_phase(phase: Phase, requests: t.Sequence[ChatRequest], deadline: float) -> Run:
    """Sends ``phase.requests`` requests, taking ``requests`` in turn; none after ``deadline`` (time.monotonic())."""
    run = Run(phase)
    lock = threading.Lock()
    numbers = iter(range(phase.requests))

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            left = deadline - time.monotonic()
            if number is None or left <= 0:
                return
            request = requests[number % len(requests)]
            sent = Sent(request.model)
            try:
                sent.result = chat(replace(request, timeout=min(request.timeout, left)))
            except ChatError as exc:
                sent.error = exc
            with lock:
                run.sent.append(sent)

    started = time.monotonic()
    with ThreadPoolExecutor(phase.concurrency) as pool:
        for worker in [pool.submit(work) for _worker in range(phase.concurrency)]:
            worker.result()
    run.seconds = time.monotonic() - started
    return run


def percentiles(seconds: t.Iterable[float]) -> dict[str, float]:
    """p50, p95, p99 and max in milliseconds by the nearest rank: each is a value that was measured. Empty of nothing."""
    values = sorted(seconds)
    if not values:
        return {}
    ranks = {f"p{share}": values[math.ceil(share / 100 * len(values)) - 1] for share in (50, 95, 99)}
    return {name: round(value * 1000, 1) for name, value in {**ranks, "max": values[-1]}.items()}


def summary(run: Run) -> dict[str, t.Any]:
    """A phase's figures; latencies are those of requests that succeeded."""
    answers = run.answers
    failed: dict[tuple[int, str], list[str]] = {}
    for error in (each.error for each in run.sent if each.error):
        failed.setdefault((error.status, error.cause), []).append(str(error))
    tokens = sum(int(answer.usage.get("completion_tokens") or 0) for answer in answers)
    seconds = max(run.seconds, 1e-9)
    return {
        "name": run.phase.name,
        "requests": run.phase.requests,
        "concurrency": run.phase.concurrency,
        "succeeded": len(answers),
        "failed": len(run.sent) - len(answers),
        "unsent": run.phase.requests - len(run.sent),
        "seconds": round(run.seconds, 3),
        "requests_per_second": round(len(answers) / seconds, 2),
        "latency_ms": percentiles(answer.latency_s for answer in answers),
        "first_token_ms": percentiles(answer.ttft_s for answer in answers if answer.ttft_s is not None),
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "models": dict(sorted(Counter(answer.model for answer in answers).items())),
        "failures": [
            {"status": status, "cause": cause, "example": said[0], "count": len(said)}
            for (status, cause), said in sorted(failed.items(), key=lambda item: -len(item[1]))
        ],
    }


def shares(runs: t.Iterable[Run], weights: t.Mapping[str, float], tolerance: float) -> list[dict[str, t.Any]]:
    """How the answers to requests that named no model fell on the models, beside what their weights promise.

    A share is within, if it is off by no more than the tolerance or three standard deviations of a draw by chance
    (binomial), whichever is more.
    """
    served = Counter(sent.result.model for run in runs for sent in run.sent if sent.result and not sent.asked)
    count, whole = sum(served.values()), sum(weights.values())
    if count < SHARES_FROM or whole <= 0:
        return []
    rows = []
    for model in sorted({*weights, *served}):
        expected, share = weights.get(model, 0) / whole, served[model] / count
        allowed = max(tolerance, 3 * math.sqrt(expected * (1 - expected) / count))
        row = {"model": model, "answers": served[model], "share": round(share, 3), "expected": round(expected, 3)}
        rows.append({**row, "within": abs(share - expected) <= allowed})
    return rows


def judge(
    phases: t.Iterable[t.Mapping[str, t.Any]], rows: t.Iterable[t.Mapping[str, t.Any]], limits: Limits
) -> list[Finding]:
    """What is not good enough."""
    findings = []
    for phase in phases:
        name, requests, unsent = phase["name"], phase["requests"], phase["unsent"]
        if phase["failed"] and phase["succeeded"] < limits.success * (requests - unsent):
            said = ", ".join("{count} by {cause}".format(**failure) for failure in phase["failures"])
            cause = f"{phase['failed']} of {requests - unsent} requests of phase {name} failed: {said}."
            findings.append(finding("load_failed", cause, f"The first says: {phase['failures'][0]['example']}."))
        if unsent:
            cause = f"{unsent} of {requests} requests of phase {name} were not sent: the time limit was over."
            findings.append(finding("load_unsent", cause, "Give more time or send fewer; more replicas answer faster."))
        p95 = phase["latency_ms"].get("p95", 0)
        if limits.p95 and p95 > limits.p95:
            cause = f"The slowest 5 % of phase {name} took {p95:.0f} ms or more; {limits.p95:.0f} ms are allowed."
            findings.append(finding("load_slow", cause, "Add replicas or nodes, or allow more."))
    for row in rows:
        if not row["within"]:
            cause = (
                f"The model {row['model']} gave {row['share']:.0%} of the answers; its weight is {row['expected']:.0%}."
            )
            findings.append(finding("load_share", cause, "See that its pods are ready and that the weights are these."))
    return findings


def run_all(
    phases: t.Sequence[Phase],
    requests: t.Sequence[ChatRequest],
    time_limit: float,
    weights: t.Mapping[str, float],
    limits: Limits,
) -> dict[str, t.Any]:
    """All phases in their order, summed up and judged; ``time_limit`` in seconds for all of them."""
    deadline = time.monotonic() + time_limit
    runs = [run_phase(phase, requests, deadline) for phase in phases]
    summaries = [summary(run) for run in runs]
    rows = shares(runs, weights, limits.share)
    findings = judge(summaries, rows, limits)
    return {"phases": summaries, "shares": rows, "findings": findings, "passed": not findings}
