# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines on slow links, and a folder that all of them share. Needs root on the engine's own machine."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machines.engine import docker
from tests.machines.scenario import Scenario
from tests.machines.shell import Failure, run

# Linux syscalls for mounts (x86-64 and all others alike), open_tree(2) and move_mount(2).
_OPEN_TREE, _MOVE_MOUNT, _SETNS = 428, 429, 308
_CLONE_TREE, _EMPTY_FROM, _AT_FDCWD = 1, 4, -100


def bridge(scenario: Scenario) -> str:
    """The bridge of the machines' network; only what the controller sends passes its queue."""
    return f"br-{docker('network', 'inspect', '-f', '{{.Id}}', scenario.network)[:12]}"


@contextmanager
def slow_links(scenario: Scenario, controller: str, node: str) -> Iterator[None]:
    """Limit what the controller and what each machine sends, each a rate as tc writes it."""
    shape = ["root", "tbf", "latency", "200ms", "burst", "256kb", "rate"]
    uplink = bridge(scenario)
    run(["tc", "qdisc", "replace", "dev", uplink, *shape, controller])
    for name in scenario.nodes:
        docker("exec", scenario.container(name), "tc", "qdisc", "replace", "dev", "eth0", *shape, node)
    try:
        yield
    finally:
        run(["tc", "qdisc", "del", "dev", uplink, "root"], check=False)


def sent(scenario: Scenario) -> int:
    """Bytes that the controller has sent to the machines so far."""
    return int(Path(f"/sys/class/net/{bridge(scenario)}/statistics/tx_bytes").read_text())


def share(scenario: Scenario, folder: Path, place: str) -> None:
    """Mount an empty folder of the controller at the same place in all machines, as a network file system would be.

    :raises Failure: where the kernel (before 5.2) or the rights do not allow it.
    """
    shutil.rmtree(folder, ignore_errors=True)  # what an earlier run left
    folder.mkdir(parents=True)
    for name in scenario.nodes:
        docker("exec", scenario.container(name), "mkdir", "-p", place)
        process = int(docker("inspect", "-f", "{{.State.Pid}}", scenario.container(name)))
        child = os.fork()
        if child == 0:
            os._exit(_mount_in(process, str(folder), place))
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise Failure(f"{folder} cannot be mounted in {name}: run this as root on Linux 5.2 or newer.")


def _mount_in(process: int, folder: str, place: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    tree = libc.syscall(_OPEN_TREE, _AT_FDCWD, folder.encode(), _CLONE_TREE)
    namespace = os.open(f"/proc/{process}/ns/mnt", os.O_RDONLY)
    if tree < 0 or libc.syscall(_SETNS, namespace, 0):
        return 1
    return 1 if libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, place.encode(), _EMPTY_FROM) else 0
