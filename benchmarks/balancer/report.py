# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came out: tables, a picture, and the last line that says how the goal was met."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OURS, PEER = "balancer wasm", "haproxy"
BASE = "direct"
GOAL_CONNECTIONS = 32
GOAL_P99, GOAL_RPS = 1.5, 0.6


@dataclass
class Results:
    """Measurements by what was measured; each list has one entry a round."""

    runs: dict[tuple[str, bool, int], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    idle: dict[str, float] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds, MiB
    soak: list[dict[str, Any]] = field(default_factory=list)

    def take(self, line: dict[str, Any]) -> None:
        """Sort one line of :mod:`inside` in."""
        if "rps" in line:
            self.runs[line["program"], line["stream"], line["connections"]].append(line)
        elif "idle_pss_mib" in line:
            self.idle[line["program"]] = line["idle_pss_mib"]
        elif "soak_pss_mib" in line:
            self.memory.append((line["at_seconds"], line["soak_pss_mib"]))
        elif "soak" in line:
            self.soak.append(line["soak"])

    @property
    def programs(self) -> list[str]:
        return list(self.idle)

    @property
    def cases(self) -> list[tuple[bool, int]]:
        return sorted({(stream, connections) for _program, stream, connections in self.runs})

    def median(self, program: str, stream: bool, connections: int, figure: str) -> float:
        """Median over the rounds."""
        return float(statistics.median(run[figure] for run in self.runs[program, stream, connections]))

    def ratio(self, figure: str, stream: bool, connections: int) -> float:
        """Ours to HAProxy's: the median of the rounds' own ratios, so that a slow minute meets both."""
        pairs = zip(self.runs[OURS, stream, connections], self.runs[PEER, stream, connections], strict=True)
        return float(statistics.median(ours[figure] / theirs[figure] for ours, theirs in pairs))

    def errors(self, program: str, stream: bool, connections: int) -> int:
        return errors_of(self.runs[program, stream, connections])


def errors_of(runs: Iterable[dict[str, Any]]) -> int:
    """Connections refused or broken, time-outs, and answers other than 2xx and 3xx."""
    return sum(sum(run["errors"].values()) for run in runs)


def table(results: Results) -> str:
    """All figures, Markdown: medians over the rounds; added times are against `direct`."""
    lines = []
    for stream, connections in results.cases:
        kind = "streamed" if stream else "plain"
        lines += ["", f"### {kind}, {connections} connection{'s' * (connections > 1)}", ""]
        lines += ["| | requests/s | p50 ms | p99 ms | added p50 | added p99 | CPU µs/request | memory MiB | errors |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
        for program in results.programs:

            def of(figure: str, program: str = program, case: tuple[bool, int] = (stream, connections)) -> float:
                return results.median(program, *case, figure)

            base = {name: results.median(BASE, stream, connections, name) for name in ("p50_ms", "p99_ms")}
            added = [f"{of(name) - base[name]:.2f}" if program != BASE else "" for name in base]
            lines.append(
                f"| {program} | {of('rps'):,.0f} | {of('p50_ms'):.2f} | {of('p99_ms'):.2f} | {added[0]} | {added[1]} "
                f"| {of('cpu_us'):.0f} | {of('pss_mib'):.1f} | {results.errors(program, stream, connections)} |"
            )
    idle = ", ".join(f"{program} {mib:.1f}" for program, mib in results.idle.items() if mib)
    return "\n".join([*lines, "", f"Memory when idle, MiB (PSS): {idle}"]).strip()


def soak_text(results: Results) -> str:
    """How memory behaved: the first minute after the start's own growth beside the last."""
    if not results.memory:
        return ""
    end = results.memory[-1][0]
    first = _mean([mib for at, mib in results.memory if 30 <= at < 90] or [results.memory[0][1]])
    last = _mean([mib for at, mib in results.memory if at > end - 60])
    requests = sum(run["requests"] for run in results.soak)
    return (
        f"memory over {end / 60:.1f} min and {requests:,} requests: {first:.1f} MiB in the second minute, {last:.1f} MiB in the "
        f"last, {max(mib for _at, mib in results.memory):.1f} MiB at most; errors {errors_of(results.soak)}"
    )


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)


def verdict(results: Results) -> str:
    """The line that others read: ratios at 32 plain connections."""
    p99 = results.ratio("p99_ms", False, GOAL_CONNECTIONS)
    rps = results.ratio("rps", False, GOAL_CONNECTIONS)
    return f"p99_ratio={p99:.2f} rps_ratio={rps:.2f}"


def met(results: Results) -> bool:
    """Whether the goal is met: both ratios, and no error of ours in any measurement."""
    clean = all(results.errors(OURS, *case) == 0 for case in results.cases)
    p99 = results.ratio("p99_ms", False, GOAL_CONNECTIONS)
    return clean and p99 <= GOAL_P99 and results.ratio("rps", False, GOAL_CONNECTIONS) >= GOAL_RPS


def draw(results: Results, folder: Path) -> list[Path]:
    """Pictures of the rounds or of the memory, PNG and SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if results.memory:
        figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
        axes.plot([at / 60 for at, _mib in results.memory], [mib for _at, mib in results.memory])
        axes.set(xlabel="minutes", ylabel="MiB (PSS)", ylim=(0, None), title=f"{OURS}: memory at 32 connections")
        name = "memory"
    else:
        figure, rows = pyplot.subplots(
            2, len(results.cases), figsize=(3 * len(results.cases), 6), squeeze=False, layout="constrained"
        )
        colours = [f"C{number}" for number in range(len(results.programs))]
        for column, (stream, connections) in enumerate(results.cases):
            for row, (figure_name, label) in enumerate((("rps", "requests/s"), ("p99_ms", "p99, ms"))):
                axes = rows[row][column]
                values = [[run[figure_name] for run in results.runs[p, stream, connections]] for p in results.programs]
                axes.bar(results.programs, [statistics.median(value) for value in values], color=colours, alpha=0.6)
                for place, value in enumerate(values):
                    axes.scatter([place] * len(value), value, color="black", s=6, zorder=3)
                axes.set_ylabel(label)
                axes.tick_params(axis="x", rotation=60)
                if row == 0:
                    axes.set_title(f"{'streamed' if stream else 'plain'}, {connections}")
                    axes.set_xticklabels([])
        figure.suptitle("Bars are medians, dots the rounds")
        name = "balancer"
    paths = [folder / f"{name}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return paths
