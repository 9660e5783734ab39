# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: ``python -m tests.demo STEP [ARGUMENT…]``; the Makefile's targets call it."""

from __future__ import annotations

import sys

from tests.machines.shell import Failure

from .steps import STEPS


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in STEPS:
        print(f"usage: python -m tests.demo {'|'.join(STEPS)} [argument…]", file=sys.stderr)
        return 2
    try:
        return STEPS[sys.argv[1]](sys.argv[2:])
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command carries on where this one stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
