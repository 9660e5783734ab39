# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server process for the length of a context."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.machines.shell import CACHE, Failure

PLACE = CACHE / "servers"  # where servers are installed
_START_SECONDS = 60


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    argv: Sequence[str | Path], port: int, log: Path, env: Mapping[str, str] | None = None, host: str = "127.0.0.1"
) -> Iterator[None]:
    """Run a program while the context lasts, from the moment it answers on its port of an address of this machine's.

    :raises Failure: with the end of its log, where it does not.
    """
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        ) as child,
    ):
        try:
            _wait(argv, child, (host, port), log)
            yield
        finally:
            child.terminate()


def _wait(argv: Sequence[str | Path], child: subprocess.Popen[bytes], address: tuple[str, int], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Failure(f"{argv[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
