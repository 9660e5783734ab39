# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An earlier release of shim, probe, balancer and watcher, for tests that upgrade from it.

They are the same programs under other names and with other bytes: an ELF file may end with anything, a module with a
custom section. So a test can tell which of the two a node has, and nothing is compiled twice.
"""

from __future__ import annotations

import gzip
import io
import tarfile

from tests.closed_network import recipe

from . import balancer, shim, watcher

DESCRIPTION = "the release of what is ours that upgrades start from"
INPUTS = ()
NEEDS = ("balancer", "probe", "shim", "watcher")
ON_DEMAND = True

VERSION = "0.0.9"
MODULES = (balancer.URL, balancer.COMPILED, watcher.URL, watcher.COMPILED)
NAMES = (shim.ARCHIVE, f"wasinn-probe-{recipe.VERSION}.wasm", *(url.rpartition("/")[2] for url in MODULES))
MARK = b"earlier"


def build(ctx) -> None:
    """Publish each file of the release once more, marked."""
    release = recipe.RELEASE.replace(recipe.VERSION, VERSION)
    for name in NAMES:
        content = ctx.url(f"{recipe.RELEASE}/{name}").read_bytes()
        marked = ctx.work / name.replace(recipe.VERSION, VERSION)
        marked.write_bytes(_archive(content) if name.endswith(".tar.gz") else content + _section())
        ctx.publish(marked, f"{release}/{marked.name}", checksums=f"{release}/SHA256SUM")


def _section() -> bytes:
    """A custom section (id 0) of no meaning: its length, then its name with a length of its own."""
    return bytes((0, len(MARK) + 1, len(MARK))) + MARK


def _archive(content: bytes) -> bytes:
    """The archive with the mark at the end of its program."""
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as source, tarfile.open(fileobj=made, mode="w") as target:
        for member in source:
            stream = source.extractfile(member)
            if stream is None:
                raise ValueError(f"{member.name} is no file")
            program = stream.read() + MARK
            member.size = len(program)
            target.addfile(member, io.BytesIO(program))
    return gzip.compress(made.getvalue(), mtime=0)
