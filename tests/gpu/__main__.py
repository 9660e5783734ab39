# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the parts: ``python -m tests.gpu [FOLDER]`` (default ``.cache/gpu/parts``), each small enough to be carried."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.closed_network import layout, mirror, recipe
from tests.closed_network.builds import k3s, model, nvidia, plugin
from tests.closed_network.context import BUILDS, MIRROR
from tests.demo import collection
from tests.machines import engine, image
from tests.machines.shell import CACHE, REPO, Failure, run

STATE = CACHE / "gpu"
ROOT = STATE / "root"
PART_BYTES = 50 << 20
#: What the machine needs of the mirror, by its beginning; release lists besides.
WANTED = (
    "github.com/LlamaEdge",
    f"github.com/WasmEdge/WasmEdge/releases/download/{plugin.VERSION}",
    f"github.com/k3s-io/k3s/releases/download/{k3s.VERSIONS['KUBERNETES_VERSION']}+k3s1",
    recipe.RELEASE.removeprefix("https://"),
    layout.place(MIRROR, model.URL).relative_to(MIRROR).as_posix().rpartition("/")[0],
)
UNWANTED = ("Q8_0.gguf", "manylinux_2_28_x86_64.tar.gz")
#: Of what the playbooks need on the controller; the Python is that of the machine (Debian 13).
CONTROLLER = ("ansible-core", "kubernetes")
PYTHON = "3.13"


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else STATE / "parts"
    try:
        prepare(target)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def prepare(target: Path) -> None:
    """Put the machine's file system together and cut it into parts.

    :raises Failure: where a step fails.
    """
    engine.ensure()
    mirror.ensure([])
    mirror.ensure(["plugin_cuda", "nvidia"])
    collection.install()
    print("file system of the machine", flush=True)
    _base()
    _controller()
    _artifacts()
    _nvidia()
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("node.tar.zst.*"):
        old.unlink()
    line = f"tar -C {ROOT} -c . | zstd -q -T0 -12 --long=27 | split -d -b {PART_BYTES} - {target}/node.tar.zst."
    run(["bash", "-euo", "pipefail", "-c", line], timeout=1800)
    for path in ("/usr/sbin/runc", "/lib/x86_64-linux-gnu/libseccomp.so.2"):
        shutil.copy2(path, target)
    wheel = [
        "--only-binary=:all:",
        "--python-version",
        "3.12",
        "--platform",
        "manylinux2014_x86_64",
        "zstandard==0.25.0",
    ]
    run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(target), *wheel], timeout=300)
    for part in sorted(target.iterdir()):
        print(f"{part.stat().st_size >> 20:4} MiB  {part}")


def _base() -> None:
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    image.ensure(image.NODE)
    container = engine.docker("create", image.NODE.name)
    try:
        run(["bash", "-euo", "pipefail", "-c", f"docker export {container} | tar -C {ROOT} -xp"], timeout=300)
    finally:
        engine.docker("rm", container)
    for folder in ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(ROOT / folder, ignore_errors=True)
    (ROOT / "var/lib/apt/lists/partial").mkdir(parents=True)
    (ROOT / "var/cache/apt/archives/partial").mkdir(parents=True)


def _controller() -> None:
    """Ansible with the collection, run on the machine itself: it has no other."""
    here = ROOT / "opt/wasinn"
    collections = here / "collections/ansible_collections"
    pinned = REPO / "requirements" / "dev.txt"
    only = ["--only-binary", ":all:", "--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28"]
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--target", str(here / "python"), *only]
    hashless = STATE / "pinned.txt"
    lines = [
        line.split(" \\")[0] for line in pinned.read_text().splitlines() if "==" in line and not line.startswith("#")
    ]
    hashless.write_text("\n".join(lines) + "\n")
    run([*install, "-c", str(hashless), *CONTROLLER], timeout=600)
    venv = Path(sys.executable).parent.parent
    core = next(venv.glob("lib/python3*/site-packages/ansible_collections/kubernetes/core"))
    shutil.copytree(core, collections / "kubernetes/core")
    shutil.copytree(collection.COLLECTIONS / "ansible_collections/wasinn", collections / "wasinn")
    for program in (here / "python/bin").iterdir():  # their first line names this machine's Python
        text = program.read_text(encoding="utf-8")
        if text.startswith("#!"):
            program.write_text("#!/usr/bin/python3\n" + text.partition("\n")[2], encoding="utf-8")


def _artifacts() -> None:
    found = set()
    for path in sorted(MIRROR.rglob("*")):
        name = path.relative_to(MIRROR).as_posix()
        if path.is_file() and name.startswith(WANTED) and not name.endswith(UNWANTED):
            place = ROOT / "opt/wasinn/mirror" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)
            found |= {beginning for beginning in WANTED if name.startswith(beginning)}
    if missing := set(WANTED) - found:
        raise Failure(
            f"The mirror has nothing below {', '.join(sorted(missing))}: WANTED names another version than it has."
        )


def _nvidia() -> None:
    run(["dpkg", f"--root={ROOT}", "-i", str(BUILDS / "nvidia" / nvidia.PACKAGE)], timeout=60)
    shutil.copy2(nvidia.image(), ROOT / "opt/wasinn/device-plugin.tar")


if __name__ == "__main__":
    sys.exit(main())
