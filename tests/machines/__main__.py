# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: ``python -m tests.machines up|down|ssh SCENARIO [NODE…]``."""

from __future__ import annotations

import argparse
import os
import sys

from . import machines
from .scenario import KNOWN, Scenario
from .shell import Failure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.machines", description=__doc__)
    parser.add_argument("action", choices=("up", "down", "ssh"))
    parser.add_argument("scenario", help=f"{', '.join(KNOWN)}, or another name with nodes and --network")
    parser.add_argument(
        "nodes", nargs="*", help="machines other than the scenario's own; for ssh: the machine, a command"
    )
    parser.add_argument("--network", default="", metavar="A.B.C", help="first three numbers of the /24")
    args, rest = parser.parse_known_args()
    try:
        if args.action == "ssh":
            scenario = Scenario.named(args.scenario, prefix=args.network)
            node, *command = args.nodes or [scenario.nodes[0]]
            line = [*machines.ssh_command(scenario, node), *command, *rest]
            os.execvp(line[0], line)
        scenario = Scenario.named(args.scenario, tuple(args.nodes), args.network)
        if args.action == "up":
            machines.up(scenario)
        else:
            machines.down(scenario, anyones=True)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
