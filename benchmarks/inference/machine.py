# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine with its cluster of one node, and the programs that the pods are compared with."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from tests.closed_network import mirror, plan
from tests.closed_network.builds import api_server
from tests.closed_network.context import BUILDS, Context
from tests.closed_network.layout import place
from tests.demo import collection, one_node, playbook
from tests.machines import engine, machines
from tests.machines.engine import docker
from tests.machines.scenario import Scenario
from tests.machines.shell import Failure, run

HERE = Path(__file__).resolve().parent
THERE = "/opt/benchmark"  # on the machine
IMAGE = "wasinn.local/benchmark-server:1"
ARCHIVES = ("llama/src/libllama.a", "llama/ggml/src/libggml.a")  # in the plugin's build folder
# The very archives that the plugin was linked of, with the plugin's own settings.
SCRIPT = """
plugin=/src/.cache/build/plugin
llama=$plugin/llama-source/vendor/llama.cpp
g++ -std=c++17 -O3 -DNDEBUG -Wall -Wextra -I$llama/include -I$llama/ggml/include -I$llama/common \\
  -o native /src/benchmarks/inference/native.cpp $ARCHIVES -static-libstdc++ -static-libgcc -pthread
gcc -O2 -static -s -Wall -Wextra -o server /src/benchmarks/inference/server.c
"""


def set_up(scenario: Scenario, threads: int) -> str:
    """Leave with a cluster that serves one model and with all programs on its node; gives the model's name.

    :raises Failure: where a build, a machine or the playbook fails.
    """
    engine.ensure()
    mirror.ensure([])
    _libllama()
    ctx = Context("benchmark-inference")
    print("building the native program and the runc pods' server", flush=True)
    archives = " ".join(f"/src/.cache/build/plugin/cmake/{name}" for name in ARCHIVES)
    ctx.builder(SCRIPT, env={"ARCHIVES": archives})
    module = place(ctx.mirror, f"{api_server.RELEASE}/llama-api-server.wasm")
    _server_image(ctx.work / "server", module.stat().st_size, ctx.work / "image.tar")
    collection.install()
    machines.up(scenario)
    inventory, model = _inventory(scenario, threads)
    result = playbook.run_playbook("site", inventory=inventory, say=_tasks)
    if result.rc:
        raise Failure(f"Playbook site failed, so there is nothing to measure:\n{result.output[-3000:]}")
    container = scenario.container("node1")
    docker("exec", container, "mkdir", "-p", f"{THERE}/benchmarks")
    for source, target in (
        (HERE, f"{THERE}/benchmarks"),
        (HERE.parent / "__init__.py", f"{THERE}/benchmarks/"),
        (ctx.work / "native", f"{THERE}/"),
        (ctx.work / "image.tar", f"{THERE}/"),
    ):
        docker("cp", str(source), f"{container}:{target}")
    ssh = machines.ssh_command(scenario, "node1")
    run([*ssh, f"k3s ctr -n k8s.io images import {THERE}/image.tar"], timeout=120)
    return model


def _tasks(line: str) -> None:
    if line.startswith(("PLAY [", "fatal:", "PLAY RECAP", "node1 ")):
        print(line, flush=True)


def _libllama() -> None:
    """The plugin's build folder, made again where somebody cleared it."""
    folder = BUILDS / "plugin" / "cmake"
    if not all((folder / name).is_file() for name in ARCHIVES):
        plan.load(["plugin"])["plugin"].stamp.unlink(missing_ok=True)
        mirror.ensure(["plugin"])
    missing = [name for name in ARCHIVES if not (folder / name).is_file()]
    if missing:
        raise Failure(
            f"The build of the plugin leaves no {', '.join(missing)} in {folder}: look at its CMakeLists.txt."
        )


def _server_image(server: Path, size: int, target: Path) -> None:
    """An image for runc with a static server at ``/server``, filled up to the size of the wasm image's layer."""
    rough = target.with_suffix(".root")
    program = server.read_bytes()
    padding = bytes(range(256)) * (max(size - len(program), 0) // 256)
    with tarfile.open(rough, "w") as archive:
        for name, content in (("server", program), ("padding", padding)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    docker("import", "-c", 'ENTRYPOINT ["/server"]', str(rough), IMAGE)
    docker("save", "-o", str(target), IMAGE)
    docker("rmi", IMAGE)
    rough.unlink()


def _inventory(scenario: Scenario, threads: int) -> tuple[Path, str]:
    """The machine's inventory, where the model has so many threads; gives the folder and the model's name."""
    (model,) = one_node.variables()["models_catalogue"]
    model["server"] = {**model.get("server", {}), "threads": threads}
    return one_node.inventory(scenario, models_catalogue=[model]), str(model["name"])
