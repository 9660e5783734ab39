# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of upstream's builds of WasmEdge and its WASI-NN/GGML plugin a node gets: one table, and the choice from it.

Its versions are those whose plugin API is known (PLUGIN_API in wasmedge.py) and that the shim works with (LINES in
rust/shim/src/engine.rs), so neither 0.15 nor 0.16.

Where a build's name comes from stands at its line; those of CUDA were not seen in a release's own list yet. Left out for
want of any source: 0.14.0, CUDA builds for aarch64 (there is none with CUDA 11: WasmEdge #3885), CUDA and noavx builds of
0.17. manylinux2014 is for a glibc older than the runtime needs.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.wasinn.cluster.plugins.module_utils.distribution import version_tuple
from ansible_collections.wasinn.cluster.plugins.module_utils.gpu import kernel_version
from ansible_collections.wasinn.cluster.plugins.module_utils.loader import node_glibc
from ansible_collections.wasinn.cluster.plugins.module_utils.ports import read

MACHINES = ("x86_64", "aarch64")
X86_64 = ("x86_64",)
VARIANTS = ("cuda12", "cuda11", "cpu", "noavx")  # the best one first

#: Oldest glibc that a platform's files run with (Ubuntu 20.04's: LlamaEdge #152).
GLIBC = {"manylinux_2_28": "2.28", "ubuntu20.04": "2.31"}
#: A variant's part of the file name.
SUFFIX = {"cpu": "", "noavx": "-noavx", "cuda11": "-cuda-11", "cuda12": "-cuda"}
#: Oldest NVIDIA driver of the CUDA versions that upstream builds with, 12.0 and 11.3 (release notes of CUDA).
DRIVER = {"cuda12": "525.60.13", "cuda11": "465.19.01"}
#: What llama.cpp's common build needs of a CPU, as /proc/cpuinfo names it.
CPU_FLAGS = {"x86_64": ("avx", "avx2", "fma", "f16c")}


@dataclass(frozen=True)
class Build:
    """A published plugin."""

    version: str
    variant: str
    platform: str
    machines: tuple[str, ...]


#: The one that is preferred first.
BUILDS = (
    # Confirmed by the list of checksums in the plugin registry's README of 2024-11-21, by today's use of both, ...
    Build("0.14.1", "cpu", "manylinux_2_28", MACHINES),
    # ... by Flatcar's recipe for llamaedge, which takes it for both architectures, ...
    Build("0.14.1", "cpu", "ubuntu20.04", MACHINES),
    # ... by the same README.
    Build("0.14.1", "noavx", "ubuntu20.04", X86_64),
    # Not confirmed: the names that upstream's utils/install_v2.sh makes for 0.14.1.
    Build("0.14.1", "cuda12", "ubuntu20.04", X86_64),
    Build("0.14.1", "cuda11", "ubuntu20.04", X86_64),
    # utils/install_v2.sh and .github/workflows/matrix-extensions.json.
    Build("0.17.0", "cpu", "manylinux_2_28", MACHINES),
    Build("0.17.1", "cpu", "manylinux_2_28", MACHINES),
)


@dataclass(frozen=True)
class Node:
    """What decides. *driver* is the version of the NVIDIA driver, empty without one."""

    machine: str
    glibc: str
    flags: frozenset[str]
    driver: str = ""


@dataclass(frozen=True)
class Choice:
    """Names of the release's files, how many folders of WasmEdge's archive to drop, and why it is these."""

    version: str
    variant: str
    runtime: str
    plugin: str
    strip: int
    reason: str


class NoBuild(Exception):
    """There is no build for a node: the cause, and the remedy."""

    def __init__(self, cause: str, remedy: str):
        super().__init__(f"{cause} {remedy}")
        self.cause = cause
        self.remedy = remedy


def this_node(root: str = "/") -> Node:
    """This machine. *root* lets tests look at another tree than the machine's."""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", read(os.path.join(root, "proc/cpuinfo")), re.MULTILINE)
    driver = kernel_version(read(os.path.join(root, "proc/driver/nvidia/version")))
    return Node(platform.machine(), node_glibc(), frozenset(flags.group(1).split() if flags else ()), driver)


def choose(version: str, wanted: str, node: Node) -> Choice:
    """The build of *version* for *node*. Raises :class:`NoBuild`.

    *wanted* is a variant, ``auto`` for the best the node can run, or ``own`` where the user names the plugin's address,
    so that only WasmEdge itself is chosen.
    """
    if wanted == "own":
        own = Build(version, "own", "manylinux_2_28", (node.machine,))
        return _choice(version, own, node, "artifacts_urls names the plugin")
    published = [build for build in BUILDS if build.version == version]
    if not published:
        known = ", ".join(dict.fromkeys(build.version for build in BUILDS))
        raise NoBuild(
            f"The builds of WasmEdge {version} are not known; those of {known} are.",
            "Set artifacts_versions.wasmedge to one of these, or name the plugin in artifacts_urls.wasmedge_plugin_ggml.",
        )
    reasons: list[str] = []
    for variant in VARIANTS if wanted == "auto" else (wanted,):
        obstacle = _lacks(node, variant, wanted != "auto") or _unpublished(version, variant, node, published)
        if not obstacle:
            build = next(item for item in published if _fits(item, variant, node))
            why = (
                "wasmedge_plugin_variant asks for it"
                if wanted == variant
                else "; ".join([*reasons, _can(node, variant)])
            )
            return _choice(version, build, node, why)
        reasons.append(obstacle)
    raise NoBuild(
        f"This machine can have no {'' if wanted == 'auto' else wanted + ' '}build of WasmEdge's plugin: "
        f"{'; '.join(reasons)}.",
        _remedy(version, wanted, node, published),
    )


def _fits(build: Build, variant: str, node: Node) -> bool:
    new_enough = version_tuple(node.glibc or "0") >= version_tuple(GLIBC[build.platform])
    return build.variant == variant and node.machine in build.machines and new_enough


def _missing_flags(node: Node) -> list[str]:
    return [flag for flag in CPU_FLAGS.get(node.machine, ()) if flag not in node.flags]


def _lacks(node: Node, variant: str, asked: bool = False) -> str:
    """What the machine lacks for a variant; empty if nothing. Who *asked* for one may install the driver later."""
    if variant in DRIVER:
        if not node.driver:
            return "" if asked else "there is no NVIDIA driver"
        if version_tuple(node.driver) < version_tuple(DRIVER[variant]):
            return f"the NVIDIA driver {node.driver} is older than {DRIVER[variant]}, which {variant} needs"
    missing = _missing_flags(node)
    if missing and variant == "cpu":
        return f"the CPU lacks {', '.join(missing)}"
    return ""


def _can(node: Node, variant: str) -> str:
    if variant in DRIVER:
        return f"the NVIDIA driver {node.driver} runs it"
    if variant == "noavx":
        return "this build needs none of them"
    return "the CPU has what it needs"


def _unpublished(version: str, variant: str, node: Node, published: Sequence[Build]) -> str:
    """Why there is no file of a variant for the machine; empty if there is one."""
    there = [build for build in published if build.variant == variant and node.machine in build.machines]
    if not there:
        return f"upstream has no {variant} build of {version} for {node.machine}"
    if not any(_fits(build, variant, node) for build in there):
        oldest = min((GLIBC[build.platform] for build in there), key=version_tuple)
        return f"the {variant} build of {version} needs glibc {oldest}, here is {node.glibc or 'none'}"
    return ""


def _remedy(version: str, wanted: str, node: Node, published: Sequence[Build]) -> str:
    """The nearest ways out: another variant of this version, another version, a build of one's own."""
    ways = []
    others = [
        variant
        for variant in VARIANTS
        if variant != wanted and not _lacks(node, variant) and not _unpublished(version, variant, node, published)
    ]
    if others and wanted != "auto":
        ways.append(f"set wasmedge_plugin_variant to {' or '.join(others)} (or auto)")
    able = [item for item in VARIANTS if wanted in ("auto", item) and not _lacks(node, item, wanted == item)]
    versions = [
        item.version for item in BUILDS if item not in published and any(_fits(item, name, node) for name in able)
    ]
    if versions:
        ways.append(f"set artifacts_versions.wasmedge to {' or '.join(dict.fromkeys(versions))}")
    ways.append("name a build of your own in artifacts_urls.wasmedge_plugin_ggml")
    text = ", or ".join(ways)
    return f"{text[0].upper()}{text[1:]}."


def _choice(version: str, build: Build, node: Node, reason: str) -> Choice:
    where = f"{version}-{build.platform}_{node.machine}.tar.gz"
    return Choice(
        version=version,
        variant=build.variant,
        runtime=f"WasmEdge-{where}",
        plugin=f"WasmEdge-plugin-wasi_nn-ggml{SUFFIX.get(build.variant, '')}-{where}",
        # Since 0.15 the archive has no folder around its files (utils/install_v2.sh).
        strip=1 if version_tuple(version) < (0, 15) else 0,
        reason=reason,
    )
