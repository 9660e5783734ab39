# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing machines up and down. A machine is up when systemd says ``running`` and ssh answers."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from . import engine, image, network
from .engine import docker
from .scenario import CHECKOUT, Scenario
from .shell import Failure, last_line, run

BOOT_SECONDS = 120
INOTIFY_INSTANCES = 1024
# overlayfs does not stack on the container's own overlayfs, so containerd's folders lie on volumes.
VOLUMES = {"rancher": "/var/lib/rancher", "containerd": "/var/lib/containerd"}
# Everything but SYS_RESOURCE, which the engine itself may lack; nothing of the host's is mounted, above all no cgroups.
FLAGS = (
    *("--cgroupns=private", "--cap-add=ALL", "--cap-drop=SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--stop-signal", "SIGRTMIN+3"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec", "-e", "container=docker"),
)


def up(scenario: Scenario, say: Callable[[str], None] = print, base: image.Image = image.NODE) -> None:
    """Leave with every machine of the scenario up, made of ``base``, and its key and known hosts in ``.cache/<name>/ssh``.

    :raises Failure: with the failed units or the last line of the machine's log.
    """
    engine.ensure(say)
    _room_for_watchers(say)
    image.ensure(base, say)
    if _abandoned(scenario):
        say(f"machines of {scenario.name}: another checkout left them behind")
        down(scenario, say, anyones=True)
    network.ensure(scenario)
    public = _key(scenario)
    fresh = [node for node in scenario.nodes if _start(scenario, node, base)]
    hosts = []
    for node in scenario.nodes:
        _wait_for_systemd(scenario, node)
        _authorize(scenario, node, public)
        host_key = docker("exec", scenario.container(node), "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
        hosts.append(f"{scenario.address(node)} {' '.join(host_key.split()[:2])}\n")
    (scenario.state / "ssh" / "known_hosts").write_text("".join(hosts))
    for node in scenario.nodes:
        _wait_for_ssh(scenario, node)
        say(f"machine {node} ({scenario.address(node)}): running, {'new' if node in fresh else 'as it was'}")


def _room_for_watchers(say: Callable[[str], None]) -> None:
    """All machines share this host's inotify instances: 128 are used up by four machines with a kubelet each."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    try:
        if int(limit.read_text()) < INOTIFY_INSTANCES:
            limit.write_text(str(INOTIFY_INSTANCES))
            say(f"engine: raised fs.inotify.max_user_instances to {INOTIFY_INSTANCES}")
    except (OSError, ValueError):
        return  # not ours to change; the playbook's preflight says so where it is too little


def down(scenario: Scenario, say: Callable[[str], None] = print, *, anyones: bool = False) -> None:
    """Remove what carries the scenario's labels: containers, volumes, network.

    :param anyones: those of other checkouts of this repository as well.
    """
    if not engine.answers():
        return
    mine = ("-q", *scenario.filters(anyones))
    containers = docker("ps", "-a", *mine).split()
    if containers:
        docker("rm", "-f", "-v", *containers)
    volumes = docker("volume", "ls", *mine).split()
    if volumes:
        docker("volume", "rm", *volumes)
    network.remove(scenario, anyones)
    if containers or volumes:
        say(f"machines of {scenario.name}: removed")


def renew(scenario: Scenario, say: Callable[[str], None] = print, base: image.Image = image.NODE) -> None:
    """Remove the scenario's machines, and leave with other ones, bare, up.

    :raises Failure: as :func:`up`.
    """
    down(scenario, say)
    up(scenario, say, base)


def _abandoned(scenario: Scenario) -> bool:
    """Whether another checkout has machines of this name that nobody uses: none runs, or the checkout itself is gone."""
    shown = docker(
        "ps", "-a", *scenario.filters(anyones=True), "--format", '{{.State}} {{.Label "wasinn.checkout"}}'
    ).splitlines()
    machines = [line.split(" ", 1) for line in shown]
    others = [(state, where) for state, where in machines if f"wasinn.checkout={where}" != CHECKOUT]
    return bool(others) and not any(state == "running" and Path(where).is_dir() for state, where in others)


def all_scenarios() -> list[str]:
    """Names of this checkout's scenarios that have anything in the engine."""
    asked = (
        "--filter",
        "label=wasinn.scenario",
        "--filter",
        f"label={CHECKOUT}",
        "--format",
        '{{.Label "wasinn.scenario"}}',
    )
    names = docker("ps", "-a", *asked).split() + docker("network", "ls", *asked).split()
    return sorted(set(names))


def ssh_command(scenario: Scenario, node: str) -> list[str]:
    """The ssh command line to a machine, to which a remote command may be added."""
    folder = scenario.state / "ssh"
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "5",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(folder / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
    }
    flags = [flag for name, value in options.items() for flag in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "/dev/null", "-i", str(folder / "id_ed25519"), *flags, f"root@{scenario.address(node)}"]


def run_on(
    scenario: Scenario, node: str, line: str, *, check: bool = True, timeout: float = 120, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a shell line as root on a machine.

    :raises Failure: as :func:`shell.run`.
    """
    return run([*ssh_command(scenario, node), line], check=check, timeout=timeout, stdin=stdin)


def _key(scenario: Scenario) -> str:
    folder = scenario.state / "ssh"
    folder.mkdir(parents=True, exist_ok=True)
    private = folder / "id_ed25519"
    if not private.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"wasinn-{scenario.name}", "-f", str(private)])
    return Path(f"{private}.pub").read_text()


def _start(scenario: Scenario, node: str, base: image.Image) -> bool:
    """Start one machine; True where it is a new one."""
    name = scenario.container(node)
    argv = [
        *("--name", name, "--hostname", node, "--network", scenario.network, "--ip", scenario.address(node)),
        *(*scenario.labels, "-e", f"WASINN_GATEWAY={scenario.gateway}", *FLAGS, *base.flags),
        *(flag for other in scenario.nodes for flag in ("--add-host", f"{other}:{scenario.address(other)}")),
        *(flag for short, place in VOLUMES.items() for flag in ("-v", f"{name}-{short}:{place}")),
    ]
    recipe = hashlib.sha256(json.dumps([argv, base.recipe]).encode()).hexdigest()[:16]
    label = '{{index .Config.Labels "wasinn.%s"}}'
    asked = " ".join((label % "recipe", "{{.State.Running}}", label % "checkout"))
    found = docker("inspect", "-f", asked, name, check=False)
    have, running, checkout = (*found.split(" ", 2), "", "")[:3]
    if checkout and f"wasinn.checkout={checkout}" != CHECKOUT:
        raise Failure(
            f"Machine {name} belongs to the checkout {checkout}: 'make clean' there, "
            f"or 'python -m tests.machines down {scenario.name}' here, takes it away."
        )
    if have == recipe:
        if running != "true":
            docker("start", name)
        return False
    if have:
        docker("rm", "-f", name)
    for short in VOLUMES:  # a new machine starts with empty disks
        docker("volume", "rm", f"{name}-{short}", check=False)
        docker("volume", "create", *scenario.labels, f"{name}-{short}")
    docker("run", "-d", *argv, "--label", f"wasinn.recipe={recipe}", base.name)
    return True


def _wait_for_systemd(scenario: Scenario, node: str) -> None:
    name = scenario.container(node)
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        state = docker("exec", name, "systemctl", "is-system-running", check=False)
        if state == "running":
            return
        if state == "degraded":
            units = docker("exec", name, "systemctl", "list-units", "--failed", "--plain", "--no-legend", check=False)
            failed = ", ".join(line.split()[0] for line in units.splitlines())
            raise Failure(f"Machine {node} came up degraded, failed units {failed}: docker exec {name} journalctl -b")
        if docker("inspect", "-f", "{{.State.Running}}", name) != "true":
            log = run(["docker", "logs", "--tail", "5", name], check=False)
            raise Failure(f"Machine {node} stopped while starting: {last_line(log.stdout + log.stderr)}")
        if time.monotonic() > deadline:
            raise Failure(
                f"Machine {node} is still '{state}' after {BOOT_SECONDS} s: docker exec {name} systemctl list-jobs"
            )
        time.sleep(0.3)


def _authorize(scenario: Scenario, node: str, public: str) -> None:
    script = "umask 077; mkdir -p /root/.ssh; cat >/root/.ssh/authorized_keys"
    docker("exec", "-i", scenario.container(node), "sh", "-c", script, stdin=public)


def _wait_for_ssh(scenario: Scenario, node: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        tried = run([*ssh_command(scenario, node), "true"], check=False, timeout=30)
        if tried.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise Failure(f"ssh to machine {node} ({scenario.address(node)}) fails: {last_line(tried.stderr)}")
        time.sleep(0.3)
