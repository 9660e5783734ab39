# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release archive of a later WasmEdge, made as that of :mod:`.wasmedge` from the packages of Debian's next release."""

from __future__ import annotations

from tests.closed_network.context import Context
from tests.machines.image import NEWER_BUILDER

from . import plugin, wasmedge

VERSION = plugin.NEWER
RELEASE = wasmedge.RELEASE.replace(wasmedge.VERSION, VERSION)
ARCHIVE = wasmedge.ARCHIVE.replace(wasmedge.VERSION, VERSION)

DESCRIPTION = f"libwasmedge {VERSION} from the packages of Debian's next release"
INPUTS = (*wasmedge.INPUTS, "tests/machines/image.py")
NEEDS = ()
ON_DEMAND = True


def build(ctx: Context) -> None:
    """Build and publish the archive. Since 0.15 it has no folder above the others (upstream's utils/install_v2.sh)."""
    layout = {"ABOVE": ".", "MEMBERS": "bin include lib64"}
    ctx.builder(wasmedge.SCRIPT, env={"VERSION": VERSION, "ARCHIVE": ARCHIVE, **layout}, within=NEWER_BUILDER)
    ctx.publish(ctx.work / ARCHIVE, f"{RELEASE}/{ARCHIVE}", checksums=f"{RELEASE}/SHA256SUM")
