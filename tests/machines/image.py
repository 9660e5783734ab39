# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The builder's and the machines' image: Debian from mmdebstrap, made again only when the recipe changes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from . import engine
from .shell import CACHE, Failure, last_line

SUITE = "trixie"
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Image:
    """A recipe: Debian packages on ``minbase``, files laid into the image, Dockerfile instructions."""

    name: str
    packages: str  # separated by blanks
    files: tuple[tuple[str, str], ...] = ()  # (file beside this one, place in the image); mode 0755
    changes: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()  # shell lines run on the finished root as $1
    suite: str = SUITE
    options: tuple[str, ...] = ()  # of mmdebstrap
    flags: tuple[str, ...] = ()  # of docker run, for the machines made of it

    @property
    def recipe(self) -> str:
        """What the image is made of, as a short hash."""
        parts = [self.suite, self.packages.split(), self.changes, self.hooks]
        parts += [(place, (HERE / source).read_text()) for source, place in self.files]
        parts += self.options
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


BUILDER = Image(
    "wasinn-builder",
    # Compilers for the native parts and for wasm32-wasip1, libwasmedge with its headers, and Go for Kubernetes.
    "ca-certificates rustc cargo libstd-rust-dev-wasm32 lld clang libclang-dev protobuf-compiler libseccomp-dev "
    "pkg-config libwasmedge-dev wasmedge cmake ninja-build g++ make patchelf zstd python3 git golang-go "
    "libseccomp2 xz-utils",
)

# Bare on purpose: what the collection needs besides, it has to bring (or name in its preflight).
NODE = Image(
    "wasinn-node",
    "systemd systemd-sysv dbus python3 openssh-server sudo iproute2 iptables nftables kmod procps ca-certificates",
    files=(("entry.sh", "/usr/local/sbin/wasinn-entry"),),
    # Host keys and the machine id belong to each machine, not to the image.
    hooks=('rm -f "$1"/etc/ssh/ssh_host_*', ': > "$1"/etc/machine-id'),
    changes=('ENTRYPOINT ["/usr/local/sbin/wasinn-entry"]',),
)
# Its glibc and libstdc++ are older than what is built on SUITE asks for.
OLDER_NODE = replace(NODE, name="wasinn-node-bookworm", suite="bookworm")
# Packages of the next release, which has a later WasmEdge. A release that is not out yet has lists of security updates that nobody renews.
NEXT = "forky"
NEWER_BUILDER = Image(
    "wasinn-builder-newer",
    "wasmedge libwasmedge-dev patchelf binutils python3",
    suite=NEXT,
    options=('--aptopt=Acquire::Check-Valid-Until "false"',),
)
# Its glibc on SUITE's system, since its systemd does not start on cgroup v1.
NEWER_NODE = replace(
    NODE,
    name="wasinn-node-newer",
    hooks=(
        *NODE.hooks,
        f'sed -n "s/ {SUITE} / {NEXT} /p" "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/{NEXT}.list"',
        'chroot "$1" apt-get -q -o Acquire::Check-Valid-Until=false update',
        f'chroot "$1" apt-get -q -y install libc6/{NEXT} libstdc++6/{NEXT} libgcc-s1/{NEXT}',
        f'rm -r "$1/etc/apt/sources.list.d/{NEXT}.list" "$1"/var/lib/apt/lists/*',
    ),
)
# Both front ends, neither of them on.
GUARDED_NODE = replace(
    NODE,
    name="wasinn-node-guarded",
    packages=f"{NODE.packages} firewalld ufw",
    hooks=(*NODE.hooks, 'chroot "$1" systemctl disable firewalld ufw'),
)
# Privileged pods, such as NVIDIA's device plugin: a container's own devices are a list of a few.
DEVICES_NODE = replace(NODE, flags=("--device-cgroup-rule", "a *:* rwm"))
DATABASE_NODE = replace(
    NODE,
    name="wasinn-node-database",
    packages=f"{NODE.packages} postgresql mariadb-server",
    hooks=(*NODE.hooks, 'chroot "$1" systemctl disable postgresql mariadb'),
)
ALL = (NODE, OLDER_NODE, NEWER_NODE, GUARDED_NODE, DATABASE_NODE, BUILDER, NEWER_BUILDER)


def ensure(image: Image, say: Callable[[str], None] = print) -> str:
    """Leave with the image in the engine, and return its name.

    :raises Failure: where mmdebstrap or the import fails.
    """
    recipe = image.recipe
    have = engine.docker("image", "inspect", "-f", '{{index .Config.Labels "wasinn.recipe"}}', image.name, check=False)
    if have == recipe:
        say(f"image {image.name}: up to date")
        return image.name
    say(f"image {image.name}: making it from Debian {image.suite} packages")
    began = time.monotonic()
    _make(image, recipe)
    say(f"image {image.name}: made in {time.monotonic() - began:.0f} s")
    return image.name


def remove(image: Image) -> None:
    """Remove the image from the engine, if it is there."""
    engine.docker("image", "rm", image.name, check=False)


def _make(image: Image, recipe: str) -> None:
    logs = CACHE / "images"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{image.name}.log"
    strap = ["mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(image.packages.split())}"]
    strap += image.options
    for source, place in image.files:
        strap += [f"--customize-hook=copy-in {HERE / source} /tmp"]
        strap += [f'--customize-hook=install -D -m 0755 "$1/tmp/{source}" "$1{place}" && rm "$1/tmp/{source}"']
    strap += [f"--customize-hook={hook}" for hook in image.hooks]
    # Without a mirror mmdebstrap takes Debian's own, or the machine's where that runs the same suite.
    strap += [image.suite, "-", *filter(None, [os.environ.get("DEBIAN_MIRROR")])]
    changes = [flag for change in (*image.changes, f"LABEL wasinn.recipe={recipe}") for flag in ("-c", change)]
    # Into a name of its own first: an archive cut short by a failing mmdebstrap must not become the image.
    rough = f"{image.name}:making-{os.getpid()}"
    if shutil.which("mmdebstrap") is None:
        raise Failure("'mmdebstrap' is not on this machine: apt-get install mmdebstrap")
    with (
        log.open("wb") as sink,
        # In a session of its own: where it fails it sends SIGHUP to its whole process group.
        subprocess.Popen(
            strap, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sink, start_new_session=True
        ) as maker,
    ):
        importer = ["docker", "import", *changes, "-", rough]
        imported = subprocess.run(importer, stdin=maker.stdout, capture_output=True, text=True, check=False)
    made = maker.returncode == 0
    if made and imported.returncode == 0:
        engine.docker("tag", rough, image.name)
    engine.docker("rmi", rough, check=False)
    if not made or imported.returncode != 0:
        errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("E:")]
        cause = last_line(imported.stderr) if imported.returncode or not errors else errors[0]
        raise Failure(f"Image {image.name} could not be made ({cause}): see {log}.")
