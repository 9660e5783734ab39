# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancer through our shim: containerd inside the benchmark's container, and the module as a container of it.

As in a pod, but for its network, which is that of all other programs here.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import programs
from .programs import Broken, Program

SHIM = "containerd-shim-wasmedge-v1"
NAME = "balancer"
START_SECONDS = 30
# The container's own trees, mounted read-only, as tests/machines/entry.sh has it.
WRITABLE = """
mount -o remount,rw,bind /sys
awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r tree; do mount -o remount,rw,bind "$tree"; done
mount --make-rshared /
"""


@contextmanager
def containerd(shim: Path) -> Iterator[None]:
    """containerd with the shim on its path, while the context lasts.

    :raises Broken: where it does not come up.
    """
    subprocess.run(["sh", "-ec", WRITABLE], check=True)
    shutil.copy(shim, f"/usr/local/bin/{SHIM}")
    log = Path("/tmp/containerd.log")
    with log.open("wb") as sink:
        daemon = subprocess.Popen(["containerd"], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
    try:
        until = time.monotonic() + START_SECONDS
        while subprocess.run(["ctr", "version"], capture_output=True, check=False).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > until:
                raise Broken(f"containerd does not answer: {log.read_text(errors='replace')[-300:]}")
            time.sleep(0.1)
        yield
    finally:
        daemon.terminate()
        daemon.wait(10)


class Contained(Program):
    """The program's processes are the shim's, which are no children of ours."""

    def pids(self) -> list[int]:
        found = []
        for place in Path("/proc").iterdir():
            if place.name.isdigit() and SHIM.encode() in (place / "cmdline").read_bytes().split(b"\0")[0]:
                found.append(int(place.name))
        return found

    def stop(self) -> None:
        subprocess.run(["ctr", "task", "kill", "-s", "SIGKILL", NAME], capture_output=True, check=False)
        super().stop()


def balancer(name: str, port: int, folder: Path, wasm: str) -> Program:
    """The module in a root of its own, the configuration mounted at the same path."""
    root = folder / "root"
    root.mkdir()
    shutil.copy(wasm, root / "balancer.wasm")
    command = ["ctr", "run", "--rm", "--rootfs", "--net-host", "--runtime", "io.containerd.wasmedge.v1"]
    command += [
        "--mount",
        "type=bind,src=FOLDER,dst=FOLDER,options=rbind:ro",
        str(root),
        NAME,
        "/balancer.wasm",
        "CONFIG",
    ]
    plain = programs.balancer(name, port, folder, command)
    return Contained(plain.name, plain.port, plain.command, plain.log)
