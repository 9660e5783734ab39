# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came out: where the playbook's time goes, a picture, and the last line."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.tasks.table import Cost


@dataclass
class Results:
    """Seconds of each round, and the tasks of the playbook's last run."""

    site: list[float] = field(default_factory=list)
    shell: list[float] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)


def tasks_table(costs: list[Cost], count: int = 15) -> str:
    """The longest tasks, Markdown. Those that wait for the machines are long without costing the controller anything."""
    total = sum(cost.seconds for cost in costs)
    lines = ["| task | where | seconds | share | CPU s | results |", "|---|---|---:|---:|---:|---:|"]
    for cost in sorted(costs, key=lambda cost: -cost.seconds)[:count]:
        lines.append(
            f"| {cost.task or '(between tasks)'} | {cost.place} | {cost.seconds:.1f} | {100 * cost.seconds / total:.0f} % "
            f"| {cost.cpu:.1f} | {cost.ran} |"
        )
    return "\n".join(lines)


def by_role(costs: list[Cost]) -> dict[str, float]:
    """Seconds by role, the longest first."""
    found: dict[str, float] = defaultdict(float)
    for cost in costs:
        parts = cost.place.split("/")
        found[parts[1] if parts[0] == "roles" and len(parts) > 2 else "playbook"] += cost.seconds
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def verdict(results: Results) -> str:
    """The line that others read: medians over the rounds."""
    return f"site_seconds={statistics.median(results.site):.0f} shell_seconds={statistics.median(results.shell):.0f}"


def draw(results: Results, folder: Path) -> list[Path]:
    """The rounds side by side, and the playbook's time by role, PNG and SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (rounds, roles) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    values = {"playbook site": results.site, "shell script": results.shell}
    rounds.bar(list(values), [statistics.median(seconds) for seconds in values.values()], color=["C0", "C1"], alpha=0.6)
    for place, seconds in enumerate(values.values()):
        rounds.scatter([place] * len(seconds), seconds, color="black", s=8, zorder=3)
    rounds.set(ylabel="seconds", title="Three bare machines to an answer (median, dots the rounds)")
    parts = by_role(results.costs)
    roles.barh(list(parts), list(parts.values()))
    roles.invert_yaxis()
    roles.set(xlabel="seconds", title="The playbook's last run, by role")
    paths = [folder / f"site.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return paths
