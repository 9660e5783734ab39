# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine: used where one answers, else installed and started by root, and stopped only if we started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .shell import CACHE, Failure, last_line, run

# DOCKER_HOST names another engine for the client; then starting one of our own would not help.
STATE = CACHE / "engine"
START_SECONDS = 60


def docker(*args: str, check: bool = True, timeout: float | None = 600, stdin: str | None = None) -> str:
    """Run ``docker`` and return what it wrote to stdout, stripped.

    :raises Failure: as :func:`shell.run`.
    """
    return run(["docker", *args], check=check, timeout=timeout, stdin=stdin).stdout.strip()


def answers() -> bool:
    """Whether the client is there and an engine answers it."""
    if shutil.which("docker") is None:
        return False
    return run(["docker", "version", "--format", "{{.Server.Version}}"], check=False, timeout=30).returncode == 0


def ensure(say: Callable[[str], None] = print) -> None:
    """Leave with an engine that answers.

    :raises Failure: where none answers and none can be installed or started.
    """
    if answers():
        say(f"engine: Docker {docker('version', '--format', '{{.Server.Version}}')} answers, used as it is")
        return
    if os.environ.get("DOCKER_HOST"):
        raise Failure(
            f"No Docker engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}: start it, or unset the variable."
        )
    if os.geteuid() != 0:
        raise Failure(
            "No Docker engine answers and this user is not root: start Docker and join its group, or run make as root."
        )
    if shutil.which("dockerd") is None:
        install(["docker.io"], say)
    start(say)


def install(packages: list[str], say: Callable[[str], None] = print) -> None:
    """Install Debian packages as root.

    :raises Failure: without apt, without root, or where apt fails.
    """
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise Failure(f"This machine has no apt-get, so {names} cannot be installed here: install them by hand.")
    if os.geteuid() != 0:
        raise Failure(f"These packages are missing and this user is not root: apt-get install {names}")
    say(f"installing {names}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], check=False, timeout=600, env=env)  # a broken third-party source must not stop us
    # A package's own start of its service is of no use where systemd is not in charge; its refusal is no failure.
    run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages], timeout=1800, env=env)


def start(say: Callable[[str], None] = print) -> None:
    """Start dockerd in the background and remember its process id.

    :raises Failure: with the last line of its log where it does not come up in time.
    """
    STATE.mkdir(parents=True, exist_ok=True)
    log = STATE / "dockerd.log"
    # The usual file may name a process that has that id by now, of an engine which was killed; dockerd would refuse.
    own = STATE / "docker.pid"
    own.unlink(missing_ok=True)
    with log.open("ab") as sink:
        child = subprocess.Popen(
            ["dockerd", f"--pidfile={own}", *os.environ.get("WASINN_DOCKERD_ARGS", "").split()],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives this program; ``stop`` ends it
        )
    (STATE / "pid").write_text(f"{child.pid} {_born(child.pid)}\n")
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if child.poll() is not None or time.monotonic() > deadline:
            stop(say)
            raise Failure(f"dockerd did not start ({last_line(log.read_text(errors='replace'))}): see {log}.")
        time.sleep(0.5)
    say(f"engine: started dockerd (process {child.pid}), 'make clean' stops it")


def stop(say: Callable[[str], None] = print) -> None:
    """Stop the engine that :func:`start` started; any other is left alone."""
    pidfile = STATE / "pid"
    if not pidfile.exists():
        return
    pid, _sep, born = pidfile.read_text().strip().partition(" ")
    # The start time guards against a process id that went to somebody else, after a reboot for example.
    if born and _born(int(pid)) == born:
        os.kill(int(pid), signal.SIGTERM)
        for _attempt in range(100):
            if _born(int(pid)) != born:
                break
            time.sleep(0.2)
        else:
            raise Failure(f"dockerd (process {pid}) did not stop within 20 s: look at {STATE / 'dockerd.log'}.")
        say("engine: stopped the dockerd that we had started")
    pidfile.unlink()


def _born(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty where it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
