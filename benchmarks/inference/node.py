# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node says of its pods: through kubectl, from control groups and from /proc."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KUBECTL = ("k3s", "kubectl")
CGROUPS = Path("/sys/fs/cgroup")
READY_SECONDS = 120


class Broken(Exception):
    """What cannot be measured; one sentence."""


def kubectl(*args: str, stdin: str | None = None, output: bool = True) -> Any:
    """What kubectl says, from JSON.

    :raises Broken: where it fails.
    """
    command = [*KUBECTL, *args, *(["-o", "json"] if output else [])]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(f"kubectl {' '.join(args)} failed: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout) if output else done.stdout


def ready(pod: dict[str, Any]) -> bool:
    """Whether a pod is Ready and stays."""
    conditions = pod["status"].get("conditions", [])
    there = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return there and "deletionTimestamp" not in pod["metadata"]


def pods_of(namespace: str, instance: str, count: int) -> list[dict[str, Any]]:
    """The pods of a Deployment of the role's, oldest first, once so many and no others are Ready.

    :raises Broken: where they do not become Ready.
    """
    until = time.monotonic() + READY_SECONDS
    while True:
        pods = kubectl("get", "pods", "-n", namespace, "-l", f"app.kubernetes.io/instance={instance}")["items"]
        if len(pods) == count and all(map(ready, pods)):
            return sorted(pods, key=lambda pod: str(pod["status"]["startTime"]))
        if time.monotonic() > until:
            raise Broken(f"{instance} has {len(pods)} pods, not {count} that are Ready: kubectl describe pods")
        time.sleep(0.5)


def cgroup(controller: str, uid: str) -> Path:
    """A pod's control group, in either version and under either driver.

    :raises Broken: where it is not found.
    """
    top = CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / controller
    for name in (uid, uid.replace("-", "_")):
        for path in top.glob("**/kubepods*/**/*pod" + name + "*"):
            if path.is_dir():
                return path
    raise Broken(f"pod {uid} has no control group below {top}")


def processor_ms(group: Path) -> float:
    """Processor time that a control group has used so far, in milliseconds."""
    old = group / "cpuacct.usage"
    if old.exists():
        return int(old.read_text()) / 1e6
    values = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(values["usage_usec"]) / 1e3


def charged_mib(group: Path) -> float:
    """Memory charged to a control group; file pages only to whoever touched them first."""
    for name in ("memory.current", "memory.usage_in_bytes"):
        if (group / name).exists():
            return int((group / name).read_text()) / 2**20
    raise Broken(f"{group} has no account of memory")


def shims_and_pods(proc: Path = Path("/proc")) -> list[Path]:
    """All processes of pods, and of the shims for wasm that hold them."""
    found = []
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            shim = (folder / "comm").read_text().startswith("containerd-shim") and b"wasmedge" in (
                folder / "cmdline"
            ).read_bytes()
            if shim or "kubepods" in (folder / "cgroup").read_text():
                found.append(folder)
        except OSError:
            continue  # ended meanwhile
    return found


def memory_mib(processes: Sequence[Path]) -> dict[str, float]:
    """Sums of the processes' PSS and RSS, and the same of their mappings of GGUF files, in MiB."""
    sums = dict.fromkeys(("pss", "rss", "model_pss", "model_rss"), 0.0)
    for folder in processes:
        try:
            text = (folder / "smaps").read_text()
        except OSError:
            continue
        model = False
        for line in text.splitlines():
            name, _colon, value = line.partition(":")
            if name in ("Pss", "Rss"):
                mib = int(value.split()[0]) / 1024
                sums[name.lower()] += mib
                if model:
                    sums[f"model_{name.lower()}"] += mib
            elif "-" in line.split(" ", 1)[0]:  # "7f00-7f01 r--s 0000 08:01 123   /models/x.gguf"
                model = line.endswith(".gguf")
    return sums
