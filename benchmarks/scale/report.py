# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came out: tables, a picture, the tasks that grow too fast, and the last line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tasks.table import Cost

#: A task's cost grows as hosts to this power at most: 1 is their number, 2 its square. What one run costs for all hosts together
#: stays below 1; measurements err, most of all those of cheap tasks.
STEEP = 1.4
#: Seconds of processor time beyond proportion that are worth a name.
WORTH = 1.0


@dataclass
class Run:
    """One run of the playbook."""

    hosts: int
    seconds: float
    forks: int
    workers: int
    own_mib: float
    rss_mib: float
    pss_mib: float
    costs: list[Cost]

    @property
    def cpu(self) -> float:
        return sum(cost.cpu for cost in self.costs)

    @property
    def results(self) -> int:
        return sum(cost.ran for cost in self.costs)

    @property
    def asked(self) -> int:
        return sum(cost.api for cost in self.costs)

    @property
    def gathered(self) -> int:
        """How often facts were gathered."""
        return sum(cost.ran for cost in self.costs if cost.action.endswith("setup"))


@dataclass(frozen=True)
class Growth:
    """A task in a small and in a large run."""

    task: str
    place: str
    small: float
    large: float
    hosts: tuple[int, int]

    @property
    def exponent(self) -> float:
        """The power of the hosts' number by which the cost grew; 0 where the small run had none to speak of."""
        if self.small <= 0.005 or self.large <= 0:
            return 0.0
        return math.log(self.large / self.small) / math.log(self.hosts[1] / self.hosts[0])

    @property
    def beyond(self) -> float:
        """Seconds beyond proportion."""
        return self.large - self.small * self.hosts[1] / self.hosts[0]

    @property
    def steep(self) -> bool:
        return self.exponent > STEEP and self.beyond > WORTH


def growths(small: Run, large: Run) -> list[Growth]:
    """Each task of both runs, the dearest of the large run first."""
    before = {(cost.task, cost.place): cost.cpu for cost in small.costs}
    found = [
        Growth(cost.task, cost.place, before[cost.task, cost.place], cost.cpu, (small.hosts, large.hosts))
        for cost in large.costs
        if (cost.task, cost.place) in before
    ]
    return sorted(found, key=lambda growth: -growth.large)


def ratio(small: Run, large: Run) -> float:
    """Seconds for each host in the large run, to those in the small one."""
    return (large.seconds / large.hosts) / (small.seconds / small.hosts)


def runs_table(runs: list[Run]) -> str:
    """Each run, Markdown."""
    lines = [
        "| hosts | seconds | s/host | CPU s/host | results/host | facts gathered/host | API calls | forks (seen) "
        "| main process MiB | tree RSS MiB | tree PSS MiB |",
        "|---:" * 11 + "|",
    ]
    for run in runs:
        lines.append(
            f"| {run.hosts} | {run.seconds:.0f} | {run.seconds / run.hosts:.2f} | {run.cpu / run.hosts:.2f} "
            f"| {run.results / run.hosts:.1f} | {run.gathered / run.hosts:.1f} | {run.asked} | {run.forks} ({run.workers}) "
            f"| {run.own_mib:.0f} | {run.rss_mib:.0f} | {run.pss_mib:.0f} |"
        )
    return "\n".join(lines)


def tasks_table(small: Run, large: Run, count: int = 25) -> str:
    """The dearest tasks of the large run, Markdown; seconds are of processor time."""
    lines = [
        f"| task | where | s/host at {small.hosts} | s/host at {large.hosts} | exponent | s at {large.hosts} |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for growth in growths(small, large)[:count]:
        lines.append(
            f"| {growth.task or '(between tasks)'} | {growth.place} | {growth.small / small.hosts:.4f} "
            f"| {growth.large / large.hosts:.4f} | {growth.exponent:.2f} | {growth.large:.1f} |"
        )
    return "\n".join(lines)


def steep_text(small: Run, large: Run) -> str:
    """Which tasks cost more for each host the more hosts there are; the goal is that there are none."""
    found = [growth for growth in growths(small, large) if growth.steep]
    if not found:
        return "goal met: no task's cost grows markedly faster than the number of hosts"
    names = "; ".join(f"{growth.task} ({growth.place}, hosts^{growth.exponent:.1f})" for growth in found)
    return f"goal missed: these grow faster than the number of hosts: {names}"


def draw(runs: list[Run], folder: Path) -> list[Path]:
    """Seconds and memory by hosts, and each task's exponent, PNG and SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (time, memory, tasks) = pyplot.subplots(1, 3, figsize=(14, 4.5), layout="constrained")
    hosts = [run.hosts for run in runs]
    time.plot(hosts, [run.seconds / run.hosts for run in runs], "o-", label="wall")
    time.plot(hosts, [run.cpu / run.hosts for run in runs], "o-", label="processor")
    time.set(xlabel="hosts", ylabel="seconds for each host", ylim=(0, None), title="Time")
    time.legend()
    memory.plot(hosts, [run.own_mib for run in runs], "o-", label="main process (RSS)")
    memory.plot(hosts, [run.pss_mib for run in runs], "o-", label="with its workers (PSS)")
    memory.set(xlabel="hosts", ylabel="MiB", ylim=(0, None), title="Controller's memory, at most")
    memory.legend()
    shown = [growth for growth in growths(runs[0], runs[-1]) if growth.exponent]
    tasks.scatter([growth.large for growth in shown], [growth.exponent for growth in shown], s=10)
    for growth in shown:
        if growth.steep:
            tasks.annotate(growth.task, (growth.large, growth.exponent), fontsize=7)
    for power, words in ((1, "as the hosts"), (2, "as their square")):
        tasks.axhline(power, color="grey", linewidth=0.8)
        tasks.text(1, power, words, va="bottom", ha="right", fontsize=8, transform=tasks.get_yaxis_transform())
    tasks.set(
        xscale="log",
        xlabel=f"processor seconds at {hosts[-1]} hosts",
        ylabel="exponent",
        title="Tasks: how their cost grows",
    )
    paths = [folder / f"scale.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return paths
