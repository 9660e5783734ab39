# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came out: tables, a picture, and the last line that says how the goal was met."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GOAL = 0.97
POD, NATIVE = "pod", "native"
KINDS = {"generation": "generation", "prompt": "prompt processing"}
STARTS = {"listening_ms": "to listening", "ready_ms": "to Ready"}


def rate(run: dict[str, Any], clock: str = "") -> float:
    """Tokens a second of what a run measures; ``clock`` is empty for time or ``cpu_`` for processor time."""
    if run["kind"] == "prompt":
        return float(run["prompt_tokens"] / run[f"prompt_{clock}ms"] * 1e3)
    # The first token came with the prompt.
    return float((run["tokens"] - 1) / run[f"generate_{clock}ms"] * 1e3)


def spread(values: Sequence[float]) -> str:
    """Median, and the smallest and largest value."""
    return f"{statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"


def error(ratios: Sequence[float]) -> float:
    """Standard error of the rounds' median, taken as that of a normal distribution: sqrt(pi / 2) times the mean's."""
    if len(ratios) < 2:
        return math.inf
    return statistics.stdev(ratios) * math.sqrt(math.pi / 2 / len(ratios))


@dataclass
class Results:
    """Measurements by what was measured; each list has one entry a round."""

    runs: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    replicas: dict[int, dict[str, Any]] = field(default_factory=dict)

    def take(self, line: dict[str, Any]) -> None:
        """Sort one line of :mod:`inside` in."""
        if "peer" in line:
            self.runs[line["peer"], line["kind"]].append(line)
        elif "start" in line:
            self.starts[line["kind"]].append(line)
        elif "replicas" in line:
            self.replicas[line["replicas"]] = line

    def rates(self, peer: str, kind: str, clock: str = "") -> list[float]:
        """Tokens a second, one number a round."""
        return [rate(run, clock) for run in self.runs[peer, kind]]

    def ratios(self, kind: str, clock: str = "") -> list[float]:
        """The pod's rate to the program's, round by round, so that a busy minute meets both."""
        pairs = zip(self.rates(POD, kind, clock), self.rates(NATIVE, kind, clock), strict=True)
        return [pod / native for pod, native in pairs]

    def ratio(self, kind: str, clock: str = "") -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios(kind, clock))

    @property
    def second(self) -> dict[str, float]:
        """What the second replica added, in MiB."""
        one, two = self.replicas[1], self.replicas[2]
        return {name: two[name] - one[name] for name in one if isinstance(one[name], float)}


def table(results: Results) -> str:
    """All figures, Markdown: medians over the rounds, with the smallest and the largest."""
    lines = [f"### speed, {len(results.runs[POD, 'generation'])} rounds", ""]
    lines += ["| | pod | native | ratio |", "|---|---:|---:|---:|"]
    for kind, label in KINDS.items():
        for clock, unit in (("", "tokens/s"), ("cpu_", "tokens a second of processor")):
            ours, theirs = (spread(results.rates(peer, kind, clock)) for peer in (POD, NATIVE))
            ratios = results.ratios(kind, clock)
            between = f"{statistics.median(ratios):.3f} ± {error(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
            lines.append(f"| {label}, {unit} | {ours} | {theirs} | {between} |")
    if results.starts:
        lines += ["", f"### start, {len(results.starts['wasm'])} pods of each kind", ""]
        lines += [
            "| from the pod's creation, ms | wasm, model warm | runc, image of the same size |",
            "|---|---:|---:|",
        ]
        for name, label in STARTS.items():
            cells = [spread([start[name] for start in results.starts[kind]]) for kind in ("wasm", "runc")]
            lines.append(f"| {label} | {cells[0]} | {cells[1]} |")
    lines += ["", "### memory, MiB", "", "| | one replica | two | the second |", "|---|---:|---:|---:|"]
    names = {
        "pss": "PSS of all pods' processes and their shims",
        "rss": "RSS of the same: what it would be if nothing were shared",
        "model_pss": "of it the model's file, PSS",
        "model_rss": "of it the model's file, RSS",
        "charged": "charged to the pods' control group",
    }
    for name, label in names.items():
        one, two = results.replicas[1][name], results.replicas[2][name]
        lines.append(f"| {label} | {one:.1f} | {two:.1f} | {two - one:.1f} |")
    return "\n".join(lines)


def met(results: Results) -> bool:
    """Whether both rates reach the goal."""
    return all(results.ratio(kind) >= GOAL for kind in KINDS)


def verdict(results: Results) -> str:
    """The line that others read."""
    return f"ratio={results.ratio('generation'):.3f}"


def draw(results: Results, folder: Path) -> list[Path]:
    """A picture of the rounds, the starts and the memory, PNG and SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (*speeds, starts, memory) = pyplot.subplots(1, 4, figsize=(14, 4), layout="constrained")
    for axes, (kind, label) in zip(speeds, KINDS.items(), strict=True):
        _bars(axes, {peer: results.rates(peer, kind) for peer in (POD, NATIVE)})
        axes.set(title=f"{label}\nratio {results.ratio(kind):.3f}", ylabel="tokens/s")
    _bars(starts, {kind: [start["ready_ms"] for start in runs] for kind, runs in results.starts.items()})
    starts.set(title="creation to Ready", ylabel="ms")
    for offset, (name, label) in enumerate((("pss", "PSS"), ("rss", "RSS"))):
        values = [results.replicas[count][name] for count in (1, 2)]
        memory.bar([place + 0.4 * offset for place in (0, 1)], values, 0.4, label=label, alpha=0.6)
    memory.set(title="pods' processes and shims", ylabel="MiB", xticks=[0.2, 1.2], xticklabels=["1 replica", "2"])
    memory.legend()
    figure.suptitle("Bars are medians, dots the rounds")
    paths = [folder / f"inference.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return paths


def _bars(axes: Any, values: dict[str, list[float]]) -> None:
    axes.bar(list(values), [statistics.median(row) for row in values.values()], color=["C0", "C1"], alpha=0.6)
    for place, row in enumerate(values.values()):
        axes.scatter([place] * len(row), row, color="black", s=6, zorder=3)
