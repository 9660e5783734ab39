# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.lint`: all steps, or the named ones; exit status 1 if any failed."""

from __future__ import annotations

import argparse
import fcntl
import sys
import time

from tests.lint.runner import fix, run_all
from tests.lint.steps import STEPS, Step
from tests.lint.tree import CACHE, Tree


def main() -> int:
    """Runs the command line."""
    names = [step.name for step in STEPS]
    parser = argparse.ArgumentParser(prog="python -m tests.lint", description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="step", help=f"any of: {', '.join(names)}")
    parser.add_argument("--fresh", action="store_true", help="run also what passed before on the same files")
    parser.add_argument("--fix", action="store_true", help="format, mend and generate what can be, then check")
    options = parser.parse_args()
    unknown = sorted(set(options.steps) - set(names))
    if unknown:
        parser.error(f"there is no step {', '.join(unknown)}; steps are: {', '.join(names)}")

    steps = [step for step in STEPS if not options.steps or step.name in options.steps]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # two runs would pull the copy from under each other
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("lint: another run is on; waiting for its end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        tree = Tree()
        tree.refresh()
        if options.fix:
            fix(tree)
            tree.refresh()
        return _lint(steps, tree, options.fresh)


def _lint(steps: list[Step], tree: Tree, fresh: bool) -> int:
    started = time.monotonic()
    print(f"lint: {len(steps)} steps over {len(tree.files)} files", flush=True)
    results = run_all(steps, tree, fresh=fresh)
    failed = sorted(r.name for r in results if r.state == "FAIL")
    verdict = f"{len(failed)} of {len(results)} failed: {', '.join(failed)}" if failed else "all clean"
    print(f"lint: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
