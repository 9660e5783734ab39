# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a playbook of the installed collection with live output, and reading its recap."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.closed_network import mirror, serve
from tests.closed_network.context import MIRROR
from tests.machines.shell import CACHE, REPO, Failure, live

from . import collection

DEMO = REPO / "inventories" / "demo"
_RECAP = re.compile(r"^(\S+)\s+: (ok=\d+.*)$")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Result:
    """What a playbook did: exit status, counts of the recap by host, all output without colours, seconds."""

    rc: int
    output: str
    seconds: float
    recap: dict[str, dict[str, int]] = field(default_factory=dict)

    def total(self, count: str) -> int:
        """A count over all hosts, ``changed`` for example."""
        return sum(counts[count] for counts in self.recap.values())


def run_playbook(
    playbook: str,
    *args: str,
    inventory: Path = DEMO,
    extra_vars: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    artifacts_mirror: str | None = None,
    say: Callable[[str], None] | None = None,
    started: Callable[[subprocess.Popen[str]], None] | None = None,
    new_session: bool = False,
) -> Result:
    """Run ``wasinn.cluster.<playbook>`` (a path or a full name is taken as it is), with our mirror and cache.

    :param artifacts_mirror: the mirror's URL; without it the mirror is served while the playbook runs.
    :param say: takes each line as it comes; the terminal without it.
    :param started: takes the process, for tests that kill it half-way.
    :param new_session: makes the process the leader of its own group, so that its workers can be killed with it.
    :raises Failure: where there is no mirror to serve.
    """
    if artifacts_mirror is None:
        if mirror.upstream():
            artifacts_mirror = ""
        elif not MIRROR.is_dir():
            raise Failure("There is no mirror yet: run 'make mirror' (or 'make demo'), or set MIRROR=upstream.")
        else:
            with serve.serving() as url:
                return run_playbook(
                    *(playbook, *args),
                    inventory=inventory,
                    extra_vars=extra_vars,
                    env=env,
                    artifacts_mirror=url,
                    say=say,
                    started=started,
                    new_session=new_session,
                )
    name = playbook if "." in playbook or "/" in playbook else f"wasinn.cluster.{playbook}"
    variables = {
        "artifacts_mirror": artifacts_mirror,
        "artifacts_cache": str(CACHE / "artifacts"),
        **(extra_vars or {}),
    }
    argv = [collection.program("ansible-playbook"), name, "-i", str(inventory), "-e", json.dumps(variables), *args]
    environment = {**os.environ, **collection.environment(), **(env or {})}
    if say is None:
        if sys.stdout.isatty():
            environment["ANSIBLE_FORCE_COLOR"] = "1"
        say = _print
    began = time.monotonic()
    lines: list[str] = []

    def take(line: str) -> None:
        say(line)
        lines.append(_COLOURS.sub("", line) + "\n")

    with _alone(inventory, say):
        rc = live(argv, take, env=environment, started=started, new_session=new_session)
    output = "".join(lines)
    return Result(rc, output, time.monotonic() - began, recap(output))


def recap(output: str) -> dict[str, dict[str, int]]:
    """The counts below PLAY RECAP by host, or nothing where the run did not get there."""
    counts = {}
    for line in output.rpartition("PLAY RECAP")[2].splitlines():
        if match := _RECAP.match(line):
            counts[match[1]] = {key: int(value) for key, value in (pair.split("=") for pair in match[2].split())}
    return counts


@contextmanager
def _alone(inventory: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One run at a time against the same machines: two would install over each other."""
    folder = CACHE / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / inventory.stem).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another playbook runs against {inventory.stem}; waiting for its end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _print(line: str) -> None:
    print(line, flush=True)
