# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs steps, two or more at a time, and remembers which inputs passed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.lint.steps import Step, find, fixes
from tests.lint.tree import CACHE, REPO, Tree

# The copy is the collection; caches lie outside it; no colours in the report.
_ENV = {
    "ANSIBLE_COLLECTIONS_PATH": str(CACHE),
    "CARGO_TERM_COLOR": "never",
    "MYPY_CACHE_DIR": str(CACHE / "mypy"),
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "RUFF_CACHE_DIR": str(CACHE / "ruff"),
    "TERM": "dumb",
}
_TIME_LIMIT = 1800  # seconds for one command; sanity's first run fills its virtual environments


@dataclass(frozen=True)
class Result:
    """What became of a step: `state` is ok, same, skip or FAIL."""

    name: str
    state: str
    seconds: float
    text: str = ""


def run_all(steps: list[Step], tree: Tree, fresh: bool = False) -> list[Result]:
    """All steps, failures or not, each reported as it ends; results in the order of ending."""
    results = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        for done in as_completed([pool.submit(_run, step, tree, fresh) for step in steps]):
            result = done.result()
            _show(result)
            results.append(result)
    return results


def _run(step: Step, tree: Tree, fresh: bool) -> Result:
    started = time.monotonic()
    stamp = CACHE / "stamps" / step.name
    key = step.key(tree)
    if not tree.matching(*step.inputs):
        return Result(step.name, "skip", 0, "no such files")
    if step.needs and not find(step.needs):
        return Result(step.name, "skip", 0, f"there is no {step.needs} on this machine")
    if not fresh and stamp.is_file() and stamp.read_text(encoding="utf-8") == key:
        return Result(step.name, "same", 0, "passed before, inputs unchanged")
    failed = []
    for argv in step.commands(tree):
        code, output = _call(argv, step.env, tree.path)
        if code:
            failed.append(f"{' '.join(argv)[:200]}: exit {code}\n{output}")
    seconds = time.monotonic() - started
    if failed:
        stamp.unlink(missing_ok=True)
        return Result(step.name, "FAIL", seconds, "\n".join(failed))
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(key, encoding="utf-8")
    return Result(step.name, "ok", seconds)


def fix(tree: Tree) -> None:
    """Mends the repository's own files; what cannot be mended stays for the checks to tell."""
    for argv in fixes(tree):
        _code, output = _call(argv, {}, REPO)
        print(output, end="")


def _call(argv: list[str], extra: dict[str, str], cwd: Path) -> tuple[int, str]:
    """Exit status and joined output of one command, tools of this Python's environment first."""
    env = dict(os.environ, **_ENV, **extra)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    env.pop("ANSIBLE_CONFIG", None)
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=env,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIME_LIMIT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        return 127, f"{argv[0]} is not installed: run `make bootstrap`, or use the locked environment's Python."
    except subprocess.TimeoutExpired:
        return 124, f"did not end within {_TIME_LIMIT} s"
    return done.returncode, done.stdout


def _show(result: Result) -> None:
    note = result.text if result.state in ("same", "skip") else ""
    print(f"  {result.state:<5} {result.name:<14} {result.seconds:6.1f} s  {note}".rstrip(), flush=True)
    if result.state == "FAIL":
        print("\n".join(f"        {line}" for line in result.text.rstrip().splitlines()), flush=True)
