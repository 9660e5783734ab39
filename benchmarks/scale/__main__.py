# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.scale``: the playbook `site` for 20 and for 200 simulated machines, one run after the other.

What is measured is the controller: Ansible itself, the playbook, the roles, the action and filter plugins. Simulated is what
lies beyond it: each host has the connection `local` and a Python that takes the module and answers at once, without running it
(benchmarks/scale/stub.py), as a bare machine whose cluster forms well; modules that are delegated to the controller
(kubernetes.core, images) are answered the same way, and their number is told. There is no ssh and no `become`. Artifacts are a
few bytes each: they go through the real cache, and are copied once for each host and file.

A task's cost is processor time of ansible-playbook and its workers, which other programs on the machine hardly change. The last
line is ``scale_ratio=…``: wall time for each host of the largest run, to that of the smallest one. 1 means that twice the hosts
take twice the time. The figures end up in ``.cache/benchmarks/scale``, or in another folder (``--output``).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from benchmarks.tasks import table
from tests.demo import collection, playbook
from tests.machines.shell import CACHE, Failure

from . import report, world
from .measure import Watch

OUTPUT = CACHE / "benchmarks" / "scale"


def main() -> int:
    args = _arguments()
    try:
        collection.install()
        runs = [run(args.output / str(hosts), hosts, args.forks, args.tags) for hosts in args.hosts]
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    pictures = report.draw(runs, args.output)
    texts = [
        report.runs_table(runs),
        report.tasks_table(runs[0], runs[-1], args.tasks),
        report.steep_text(runs[0], runs[-1]),
    ]
    (args.output / "scale.md").write_text("\n\n".join(texts) + "\n")
    print("\n" + "\n\n".join(texts))
    print(f"\n{', '.join(map(str, pictures))}")
    print(f"scale_ratio={report.ratio(runs[0], runs[-1]):.2f}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--hosts", default="20,200", help="how many, two numbers or more (%(default)s)")
    parser.add_argument("--forks", type=int, default=16, help="ansible-playbook's (%(default)s)")
    parser.add_argument("--tasks", type=int, default=25, help="how many the table has (%(default)s)")
    parser.add_argument("--tags", default="", help="only these parts of the playbook, such as preflight")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the figures end up")
    args = parser.parse_args()
    try:
        args.hosts = sorted({int(number) for number in args.hosts.split(",")})
    except ValueError:
        parser.error("--hosts takes numbers, such as 20,200")
    args.output = args.output.absolute()  # ansible-playbook runs elsewhere
    if len(args.hosts) < 2 or args.hosts[0] <= world.SERVERS:
        parser.error(f"--hosts takes two different numbers or more, each above {world.SERVERS}, which are servers")
    return args


def run(folder: Path, hosts: int, forks: int, tags: str = "") -> report.Run:
    """One run, from nothing, of the collection as it is installed.

    :param folder: of the simulated machines; what was there is gone.
    :param tags: of the only parts to run, with commas between them.
    :raises Failure: where the playbook fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    inventory, variables = world.build(folder, hosts)
    times, watch = folder / "times.jsonl", Watch()
    print(f"{hosts} hosts …", flush=True)
    try:
        done = playbook.run_playbook(
            "site",
            *(["--tags", tags] if tags else []),
            inventory=inventory,
            extra_vars=variables,
            env={"ANSIBLE_FORKS": str(forks), "ANSIBLE_PIPELINING": "1", **table.environment(times)},
            artifacts_mirror=variables["artifacts_mirror"],
            say=lambda line: None,
            started=lambda child: watch.start(child.pid),
        )
    finally:
        watch.end()
    (folder / "output.txt").write_text(done.output)
    if done.rc or len([name for name in done.recap if name != "localhost"]) != hosts:
        raise Failure(
            f"The playbook failed for {hosts} hosts; its last words ({folder}/output.txt):\n{done.output[-2000:]}"
        )
    made = report.Run(
        hosts=hosts,
        seconds=done.seconds,
        forks=forks,
        workers=watch.workers,
        own_mib=watch.own_mib,
        rss_mib=watch.rss_mib,
        pss_mib=watch.pss_mib,
        costs=table.read(times),
    )
    print(
        f"{hosts} hosts: {made.seconds:.0f} s, {made.results} results, {made.cpu:.0f} s of processor time", flush=True
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
