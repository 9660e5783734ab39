# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running host commands, with failures that fit in one sentence."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CACHE = REPO / ".cache"


class Failure(Exception):
    """Something a person has to mend; the text is one sentence with cause and remedy."""


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    timeout: float | None = None,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a host command and capture its output as text.

    :param timeout: seconds.
    :param env: variables added to this process's own.
    :raises Failure: where the command is missing, takes too long, or (with ``check``) exits with another code than 0.
    """
    try:
        done = subprocess.run(
            list(argv),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env=None if env is None else {**os.environ, **env},
        )
    except FileNotFoundError:
        raise Failure(f"'{argv[0]}' is not on this machine: install it (as root, 'make setup' does).") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"'{' '.join(argv[:4])}' took longer than {timeout:.0f} s: run it by hand to see why.") from None
    if check and done.returncode != 0:
        raise Failure(f"'{' '.join(argv[:4])}' failed ({done.returncode}): {last_line(done.stderr or done.stdout)}")
    return done


def live(
    argv: Sequence[str],
    say: Callable[[str], None],
    *,
    env: Mapping[str, str],
    started: Callable[[subprocess.Popen[str]], None] | None = None,
    new_session: bool = False,
) -> int:
    """Run a host command from the repository's root, hand on each line that it prints, and give its exit status.

    It is ended where the reader is interrupted: a test's time is over, or a person's patience.

    :param env: the whole environment.
    :param started: takes the process, for tests that kill it half-way.
    :param new_session: makes the process the leader of its own group, so that its children can be killed with it.
    """
    with subprocess.Popen(
        list(argv),
        cwd=REPO,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=new_session,
    ) as child:
        try:
            if started:
                started(child)
            for line in child.stdout or ():
                say(line.rstrip("\n"))
        except BaseException:
            child.terminate()
            raise
    return child.returncode


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
