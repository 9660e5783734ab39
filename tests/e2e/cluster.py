# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of a journey as its tests talk about them."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place, sha256
from tests.demo import one_node, playbook
from tests.machines import machines
from tests.machines.image import Image
from tests.machines.scenario import Scenario

from .snapshot import Snapshot, snapshot

C = TypeVar("C", bound="Cluster")
_TASK = re.compile(r"^TASK \[(.*?)\]")


class Cluster:
    """Playbooks, shell lines, kubectl and files on a scenario's machines."""

    def __init__(
        self, scenario: Scenario, run_playbook: Callable[..., playbook.Result], on: Callable[..., Any]
    ) -> None:
        self.scenario, self.nodes = scenario, scenario.nodes
        self.kubeconfig = scenario.state / "kubeconfig"
        self.report = scenario.state / "report.md"
        self._run_playbook = run_playbook
        self._on = on

    def play(
        self, name: str, *args: str, extra: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
    ) -> playbook.Result:
        """Run a playbook of the collection to its end."""
        return self._run_playbook(name, *args, extra_vars=extra, env=env)

    def play_and_kill(self, name: str, at: str) -> playbook.Result:
        """Run a playbook and end it with SIGKILL, workers included, as soon as the task ``at`` begins."""
        child: list[subprocess.Popen[str]] = []

        def watch(line: str) -> None:
            if (task := _TASK.match(line)) and at in task[1] and child:
                os.killpg(child[0].pid, signal.SIGKILL)

        return self._run_playbook(name, say=watch, started=child.append, new_session=True)

    def run(
        self, node: str, line: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell line as root on a machine."""
        return self._on(node, line, check=check, stdin=stdin)

    def snapshot(self, node: str) -> Snapshot:
        """What the machine looks like now."""
        return snapshot(lambda line: self.run(node, line).stdout)

    def started(self, node: str, unit: str) -> str:
        """When a unit of a machine was started."""
        line = f"systemctl show {unit} --property ExecMainStartTimestampMonotonic --value"
        return self.run(node, line).stdout.strip()

    def shims(self, *nodes: str) -> set[str]:
        """Versions of the shim that nodes (all, unless some are named) start pods with."""
        line = "readlink -f /usr/local/bin/containerd-shim-wasmedge-v1"
        return {Path(self.run(node, line).stdout.strip()).parent.name for node in nodes or self.nodes}

    def kubectl(self, *args: str) -> Any:
        """What kubectl on the server says, from JSON."""
        return json.loads(self.run("node1", f"k3s kubectl {' '.join(args)} -o json").stdout)

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Apply manifests with kubectl on the server."""
        self._on("node1", "k3s kubectl apply -f -", stdin="\n".join(map(json.dumps, manifests)))

    def put(self, node: str, url: str, member: str, target: str) -> None:
        """Write a member of an archive of the mirror over a file on a machine, behind Ansible's back."""
        with tarfile.open(place(MIRROR, url)) as archive:
            stream = archive.extractfile(next(name for name in archive.getnames() if name.endswith(member)))
            assert stream is not None
            content = base64.b64encode(stream.read()).decode()
        self._on(
            node,
            f"base64 -d >{target}.new && chmod 755 {target}.new && mv {target}.new $(readlink -f {target})",
            stdin=content,
        )


def one_machine(kind: type[C], scenario: Scenario, system: Image, run_playbook: Any, say: Any) -> C:
    """A cluster of one bare machine with that system."""
    machines.renew(scenario, say, system)
    folder = one_node.inventory(scenario)
    return kind(scenario, partial(run_playbook, inventory=folder), partial(machines.run_on, scenario))


def changes(result: playbook.Result) -> list[str]:
    """The tasks of a run that changed something, with the hosts."""
    found, task = [], ""
    for line in result.output.splitlines():
        if match := _TASK.match(line):
            task = match[1]
        elif line.startswith("changed: ["):
            found.append(f"{task}: {line}")
    return found


def published_sha256(url: str) -> str:
    """The checksum of a file in the mirror."""
    return sha256(place(MIRROR, url))
