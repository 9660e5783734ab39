# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shim under a real containerd: how containers end, how many it takes, and that nothing of them stays."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.oci_image import Image, build

from extensions.molecule.node.tests import wasm_modules

INVENTORY = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory.yml"
testinfra_hosts = [f"ansible://node1?ansible_inventory={INVENTORY}&force_ansible=True"]

CTR = "ctr --namespace wasinn-test"
RUN = f"{CTR} run --platform wasip1/wasm --runtime io.containerd.wasmedge.v1"
#: What containerd gives a container that asks for nothing, with the kernel's numbers (include/uapi/linux/capability.h).
DEFAULT_CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}
#: What a container may leave behind, counted; a shim's own last process may take a moment to go.
COUNTS = {
    "processes": "ps -eo stat=,comm= | awk '!/^Z/ && /containerd-shim/' | wc -l",
    "mounts": "wc -l < /proc/mounts",
    "cgroups": "find /sys/fs/cgroup -type d | wc -l",
    "sockets": "find /run/containerd -type s | wc -l",
    "notes": "find /run/containerd/wasmedge -mindepth 2 -maxdepth 2 | wc -l",
    "bundles": "find /run/containerd/io.containerd.runtime.v2.task -mindepth 2 -maxdepth 2 | wc -l",
}


class Containers:
    """Runs modules on the machine."""

    def __init__(self, host) -> None:
        self.host = host

    def write(self, place: str, content: bytes) -> None:
        self.host.check_output(f"echo {base64.b64encode(content).decode()} | base64 -d > {place}")

    def image(self, name: str, module: bytes) -> str:
        """Imports a module as an image with the module at its root, and returns the image's name."""
        reference = f"wasinn.test/{name}:1"
        place = f"/run/wasinn-{name}.tar"
        self.write(place, build(Image(reference), f"{name}.wasm", module).archive)
        self.host.check_output(f"{CTR} images import --platform wasip1/wasm {place} && rm {place}")
        return reference

    def run(self, name: str, module: bytes, options: str = ""):
        return self.host.run(f"{RUN} --rm {options} {self.image(name, module)} {name} /{name}.wasm")


@pytest.fixture
def containers(host):
    yield Containers(host)
    host.run(
        f"for c in $({CTR} tasks list --quiet); do {CTR} tasks kill --signal SIGKILL $c; sleep 0.2; done; "
        f"for c in $({CTR} containers list --quiet); do {CTR} tasks delete $c; {CTR} containers delete $c; done; "
        f"{CTR} images remove $({CTR} images list --quiet)"
    )


def counted(host) -> dict[str, int]:
    line = "; ".join(f"echo {name} $({command})" for name, command in COUNTS.items())
    return {name: int(number) for name, number in map(str.split, host.check_output(line).splitlines())}


def test_a_modules_exit_code_is_the_containers(containers):
    assert containers.run("ends", wasm_modules.ends(7)).rc == 7


def test_a_trap_is_reported(containers):
    done = containers.run("traps", wasm_modules.traps())
    assert done.rc == 134
    assert "containerd-shim-wasmedge: /traps.wasm stopped in _start" in done.stderr


def test_no_module_at_all_is_said(containers):
    done = containers.run("broken", wasm_modules.ends(0)[:-4])
    assert done.rc == 125
    assert "is not a module WasmEdge can run" in done.stderr


def test_a_compiled_module_runs_compiled(host, containers):
    """The loop takes an interpreter ten seconds; native code none at all."""
    place = "/run/wasinn-counts.wasm"
    containers.write(place, wasm_modules.counts(300_000_000))
    host.check_output(f"/opt/wasinn/wasmedge/current/bin/wasmedge compile {place} {place}.compiled")
    compiled = base64.b64decode(host.check_output(f"base64 -w0 {place}.compiled; rm {place} {place}.compiled"))
    image = containers.image("counts", compiled)
    # timeout puts ctr into a process group of its own, where reading from a terminal would stop it.
    done = host.run(f"timeout 5 {RUN} --rm {image} counts /counts.wasm </dev/null")
    assert done.rc == 0, done.stdout + done.stderr
    assert done.stdout == ""


def test_sigterm_ends_a_container_at_once(host, containers):
    image = containers.image("sleeps", wasm_modules.sleeps(60))
    done = host.run(
        f"{RUN} {image} sleeps /sleeps.wasm & sleep 1; {CTR} tasks kill --signal SIGTERM sleeps; "
        f"for i in $(seq 20); do {CTR} tasks list | grep -q STOPPED && break; sleep 0.1; done; wait $!"
    )
    assert done.rc == 143, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ("", DEFAULT_CAPABILITIES.keys() - {"CAP_MKNOD"}),
        (" ".join(f"--cap-drop {name}" for name in DEFAULT_CAPABILITIES), ()),
        ("--user 65532", ()),
    ],
    ids=["root", "all dropped", "another user"],
)
def test_a_container_has_no_more_capabilities_than_it_was_given(host, containers, options, left):
    """As a native program's: what a pod drops is gone, another user than root has none, and nobody makes devices."""
    host.check_output(
        f"{RUN} --detach {options} {containers.image('sleeps', wasm_modules.sleeps(60))} caps /sleeps.wasm"
    )
    pid = host.check_output(f"{CTR} tasks list | awk '$1 == \"caps\" {{ print $2 }}'")
    wanted = sum(1 << DEFAULT_CAPABILITIES[name] for name in left)
    # The thread that runs the module gives some of them up itself, once it runs.
    host.run(f"for i in $(seq 50); do grep -q '^CapEff:.*{wanted:016x}$' /proc/{pid}/status && break; sleep 0.1; done")
    lines = host.check_output(f"grep ^Cap /proc/{pid}/status").splitlines()
    sets = [(name, int(value, 16)) for name, value in map(str.split, lines)]
    assert {value for name, value in sets if name in ("CapEff:", "CapPrm:")} == {wanted}
    assert {value for name, value in sets if name in ("CapInh:", "CapAmb:")} == {0}
    given = 0 if "--cap-drop" in options else sum(1 << number for number in DEFAULT_CAPABILITIES.values())
    assert {value for name, value in sets if name == "CapBnd:"} == {given}


#: What containerd's environment has and a shim reads.
SHIMS_VARIABLES = {"GRPC_ADDRESS", "LD_LIBRARY_PATH", "MAX_SHIM_VERSION", "PATH", "TTRPC_ADDRESS"}


def test_a_container_finds_nothing_of_containerds_environment(host, containers):
    """A module runs in the shim's own process, and can read how it was started."""
    host.check_output(f"{RUN} --detach {containers.image('sleeps', wasm_modules.sleeps(60))} asks /sleeps.wasm")
    pid = host.check_output(f"{CTR} tasks list | awk '$1 == \"asks\" {{ print $2 }}'")

    def names(process: str) -> set[str]:
        return set(host.check_output(f"tr '\\0' '\\n' </proc/{process}/environ | sed 's/=.*//'").split())

    assert names("$(pgrep -xo containerd)") - SHIMS_VARIABLES, "containerd has nothing that could be kept back"
    assert names(pid) <= SHIMS_VARIABLES


def test_a_native_program_has_its_own_environment(host):
    """A side-car beside modules: a root file system with env(1) and what it is linked with."""
    root = "/var/tmp/wasinn-native"  # programs below /run are not executed
    host.check_output(
        f"mkdir -p {root}/proc {root}/dev {root}/sys {root}/run && "
        f"cp --parents /usr/bin/env $(ldd /usr/bin/env | grep -o '/[^ ]*') {root}/"
    )
    done = host.run(
        f"timeout 20 {CTR} run --rm --runtime io.containerd.wasmedge.v1 --rootfs --env OWN=yes {root} native /usr/bin/env </dev/null; "
        f"code=$?; rm -r {root}; exit $code"
    )
    assert done.rc == 0, done.stdout + done.stderr
    variables = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert variables.pop("OWN") == "yes"
    assert variables.keys() <= {"PATH", "HOSTNAME", "TERM"}


def test_what_is_written_is_whole_lines_of_its_own_stream(host, containers):
    lines, out, err = 2000, "o" * 120, "e" * 120
    image = containers.image("writes", wasm_modules.writes(lines, out, err))
    done = host.run(f"timeout 60 {RUN} --rm {image} writes /writes.wasm </dev/null")
    assert done.rc == 0, done.stderr
    assert done.stdout.splitlines() == [out] * lines
    assert done.stderr.splitlines() == [err] * lines


def test_too_little_memory_is_told_to_containerd(host, containers):
    image = containers.image("fills", wasm_modules.fills(512))
    done = host.run(
        f"timeout 20 {CTR} events > /run/wasinn-events & sleep 0.5; "
        f"{RUN} --rm --memory-limit {128 * 2**20} {image} fills /fills.wasm; code=$?; "
        "sleep 0.5; kill $!; cat /run/wasinn-events; rm /run/wasinn-events; exit $code"
    )
    assert done.rc == 137, done.stdout + done.stderr
    topics = [word for line in done.stdout.splitlines() for word in line.split() if word.startswith("/tasks/")]
    assert topics.index("/tasks/oom") < topics.index("/tasks/exit")


def test_enough_memory_is_no_such_event(host, containers):
    assert containers.run("fills", wasm_modules.fills(64), f"--memory-limit {512 * 2**20}").rc == 0


@pytest.mark.parametrize("kinds", [["createContainer", "poststop"], ["prestart", "createContainer", "poststop"]])
def test_hooks_run_once_each(host, containers, kinds):
    """Hooks as CDI adds them; ctr has no option for them, so they are put into a specification that containerd made."""
    host.check_output(f"{RUN} --detach {containers.image('sleeps', wasm_modules.sleeps(60))} model /sleeps.wasm")
    made = "/run/containerd/io.containerd.runtime.v2.task/wasinn-test/model/config.json"
    spec = json.loads(host.check_output(f"cat {made}"))
    folder = "/run/wasinn-hooks"
    shell = [{"kind": kind, "path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} >> {folder}/log"]} for kind in kinds]
    spec["hooks"] = {hook.pop("kind"): [hook] for hook in shell}
    spec["root"]["path"], spec["process"]["args"] = f"{folder}/root", ["/ends.wasm"]
    spec["linux"]["cgroupsPath"] = "/wasinn-test/hooks"
    host.check_output(f"mkdir -p {folder}/root")
    containers.write(f"{folder}/root/ends.wasm", wasm_modules.ends(0))
    containers.write(f"{folder}/config.json", json.dumps(spec).encode())
    done = host.run(f"{CTR} run --rm --runtime io.containerd.wasmedge.v1 --config {folder}/config.json hooks")
    log = host.check_output(f"cat {folder}/log; rm -r {folder}").split()
    assert done.rc == 0, done.stdout + done.stderr
    assert sorted(log) == sorted(kinds)


def test_two_models_in_one_container(host, containers):
    """One file under two names: each name answers, a third does not."""
    (probe,) = [
        name for name in host.check_output("ctr --namespace wasinn images list --quiet").split() if "/probe:" in name
    ]
    folder, file = host.check_output("find /var/lib/wasinn/models -name '*.gguf' | head -1").rsplit("/", 1)
    preload = ";".join(f"{alias}:GGML:AUTO:/models/{file}" for alias in ("chat", "embedding"))
    for alias, works in (("chat", True), ("embedding", True), ("other", False)):
        done = host.run(
            f"{RUN.replace(CTR, 'ctr --namespace wasinn')} --rm --env 'WASMEDGE_WASINN_PRELOAD={preload}' "
            f"--mount type=bind,src={folder},dst=/models,options=rbind:ro {probe} two "
            f"/wasinn-probe-{probe.rpartition(':')[2]}.wasm --prompt 'The capital of Italy is' --max-tokens 4 --alias {alias}"
        )
        assert (done.rc == 0) is works, done.stdout + done.stderr
        assert not works or json.loads(done.stdout.strip().splitlines()[-1])["completion_tokens"] == 4


def test_twenty_at_once_and_nothing_stays(host, containers):
    image = containers.image("sleeps", wasm_modules.sleeps(120))
    before = counted(host)
    host.check_output(
        f"for i in $(seq 20); do {RUN} --detach {image} many$i /sleeps.wasm & done; wait; "
        f"for i in $(seq 50); do [ $({CTR} tasks list | grep -c RUNNING) = 20 ] && break; sleep 0.1; done; "
        f"[ $({CTR} tasks list | grep -c RUNNING) = 20 ]"
    )
    host.check_output(
        f"for i in $(seq 20); do {CTR} tasks kill --signal SIGTERM many$i; done; sleep 2; "
        f"for i in $(seq 20); do {CTR} tasks delete many$i; {CTR} containers delete many$i; done; sleep 2"
    )
    assert counted(host) == before


def test_two_hundred_cycles_leave_nothing(host, containers):
    image = containers.image("ends", wasm_modules.ends(0))
    before = counted(host)
    host.check_output(f"for i in $(seq 200); do {RUN} --rm {image} cycle$i /ends.wasm || exit; done; sleep 2")
    assert counted(host) == before


def test_a_shim_that_is_killed_takes_its_container_along(host, containers):
    """Nobody would end its process any more; Kubernetes starts another one beside it."""
    image = containers.image("sleeps", wasm_modules.sleeps(120))
    before = counted(host)
    host.check_output(f"{RUN} --detach {image} alone /sleeps.wasm")
    assert counted(host) != before
    # The oldest of the two: the container's process is the shim's child and looks like it.
    host.check_output("kill -KILL $(pgrep -o -f 'shim-wasmedge.*[a]lone')")
    host.check_output(
        f"for i in $(seq 50); do {CTR} containers delete alone 2>/dev/null && exit; sleep 0.2; done; exit 1"
    )
    host.check_output("sleep 1")
    assert counted(host) == before


def test_containerd_starts_over_shims_that_died(host, containers):
    """All killed together, as with the unit: nobody reads their logs any more, and containerd clears up before it answers."""
    image = containers.image("sleeps", wasm_modules.sleeps(120))
    before = counted(host)
    host.check_output(f"for i in 1 2 3; do {RUN} --detach {image} dead$i /sleeps.wasm || exit; done")
    host.check_output("systemctl kill --signal SIGKILL containerd; sleep 1; systemctl start containerd")
    host.check_output("for i in $(seq 15); do timeout 5 ctr version >/dev/null 2>&1 && exit; sleep 1; done; exit 1")
    host.check_output(
        f"for i in 1 2 3; do {CTR} containers delete dead$i || exit; done; ! pgrep -f 'shim-wasmedge.*[d]ead' && sleep 1"
    )
    assert counted(host) == before
    assert containers.run("again", wasm_modules.ends(0)).rc == 0
