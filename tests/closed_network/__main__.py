# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: ``python -m tests.closed_network [BUILD…]`` builds what is out of date, and what that needs."""

from __future__ import annotations

import argparse
import functools
import signal
import sys

from tests.machines.shell import Failure

from . import mirror


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.closed_network", description=__doc__)
    parser.add_argument("builds", nargs="*", help="all without one")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("mirror: ended by a signal; the next run goes on"))
    try:
        mirror.ensure(args.builds, functools.partial(print, flush=True))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
