# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which build a node gets, or the sentence that says why it gets none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.wasmedge import PLUGIN_API
from ansible_collections.wasinn.cluster.plugins.module_utils.wasmedge_builds import (
    BUILDS,
    NoBuild,
    Node,
    choose,
    this_node,
)

from tests.lint.tree import REPO

AVX2 = frozenset(("sse4_2", "avx", "avx2", "fma", "f16c"))
OLD_CPU = frozenset(("sse4_2",))
PC = Node("x86_64", "2.36", AVX2)
ARM = Node("aarch64", "2.36", frozenset(("asimd",)))
OLD_PC = Node("x86_64", "2.36", OLD_CPU)
RHEL8 = Node("x86_64", "2.28", AVX2, "535.54.03")


def gpu(driver: str, machine: str = "x86_64", flags: frozenset[str] = AVX2) -> Node:
    return Node(machine, "2.36", flags, driver)


@pytest.mark.parametrize(
    ("version", "wanted", "node", "plugin", "reason"),
    [
        ("0.14.1", "auto", PC, "-0.14.1-manylinux_2_28_x86_64", "no NVIDIA driver; the CPU has what it needs"),
        ("0.14.1", "auto", ARM, "-0.14.1-manylinux_2_28_aarch64", "the CPU has what it needs"),
        ("0.14.1", "auto", OLD_PC, "-noavx-0.14.1-ubuntu20.04_x86_64", "the CPU lacks avx, avx2, fma, f16c"),
        ("0.14.1", "auto", gpu("535.54.03"), "-cuda-0.14.1-ubuntu20.04_x86_64", "driver 535.54.03 runs it"),
        ("0.14.1", "auto", gpu("525.60.13"), "-cuda-0.14.1-ubuntu20.04_x86_64", "driver 525.60.13 runs it"),
        ("0.14.1", "auto", gpu("470.256.02"), "-cuda-11-0.14.1-ubuntu20.04_x86_64", "older than 525.60.13"),
        ("0.14.1", "auto", gpu("384.81"), "-0.14.1-manylinux_2_28_x86_64", "older than 465.19.01"),
        ("0.14.1", "auto", gpu("540.4.0", "aarch64"), "-0.14.1-manylinux_2_28_aarch64", "no cuda12 build of 0.14.1"),
        ("0.14.1", "auto", RHEL8, "-0.14.1-manylinux_2_28_x86_64", "needs glibc 2.31, here is 2.28"),
        ("0.17.1", "auto", gpu("535.54.03"), "-0.17.1-manylinux_2_28_x86_64", "no cuda12 build of 0.17.1 for x86_64"),
        ("0.17.0", "auto", PC, "-0.17.0-manylinux_2_28_x86_64", "the CPU has what it needs"),
        ("0.14.1", "noavx", PC, "-noavx-0.14.1-ubuntu20.04_x86_64", "wasmedge_plugin_variant asks for it"),
        ("0.14.1", "cpu", gpu("535.54.03"), "-0.14.1-manylinux_2_28_x86_64", "asks for it"),
        ("0.14.1", "cuda12", PC, "-cuda-0.14.1-ubuntu20.04_x86_64", "asks for it"),  # the driver may come in this run
        ("0.18.0", "own", OLD_PC, "-0.18.0-manylinux_2_28_x86_64", "artifacts_urls names the plugin"),
    ],
)
def test_choice(version: str, wanted: str, node: Node, plugin: str, reason: str) -> None:
    choice = choose(version, wanted, node)
    assert choice.plugin == f"WasmEdge-plugin-wasi_nn-ggml{plugin}.tar.gz"
    assert choice.runtime == f"WasmEdge-{plugin[plugin.index(version) :]}.tar.gz"  # both for one platform
    assert reason in choice.reason
    assert choice.strip == (1 if version == "0.14.1" else 0)


@pytest.mark.parametrize(
    ("version", "wanted", "node", "cause", "remedy"),
    [
        (
            "0.13.5",
            "auto",
            PC,
            "those of 0.14.1, 0.17.0, 0.17.1 are.",
            "Set artifacts_versions.wasmedge to one of these",
        ),
        ("0.16.2", "auto", PC, "WasmEdge 0.16.2 are not known", "Set artifacts_versions.wasmedge to one of these"),
        ("0.17", "auto", PC, "WasmEdge 0.17 are not known", "Set artifacts_versions.wasmedge to one of these"),
        ("0.14.10", "auto", PC, "WasmEdge 0.14.10 are not known", "Set artifacts_versions.wasmedge"),
        ("0.17.1", "auto", OLD_PC, "no noavx build of 0.17.1", "Set artifacts_versions.wasmedge to 0.14.1, or name"),
        ("0.17.1", "cuda12", gpu("535.54.03"), "no cuda12 build of 0.17.1", "wasmedge_plugin_variant to cpu (or auto)"),
        ("0.17.1", "cuda12", gpu("535.54.03"), "for x86_64.", "artifacts_versions.wasmedge to 0.14.1"),
        ("0.14.1", "cuda11", gpu("540.4.0", "aarch64"), "no cuda11 build of 0.14.1 for aarch64", "variant to cpu"),
        ("0.14.1", "cuda12", gpu("470.256.02"), "driver 470.256.02 is older", "to cuda11 or cpu or noavx"),
        ("0.14.1", "cpu", OLD_PC, "the CPU lacks avx", "wasmedge_plugin_variant to noavx"),
        ("0.14.1", "noavx", RHEL8, "needs glibc 2.31, here is 2.28", "to cpu (or auto)"),
        ("0.14.1", "auto", Node("riscv64", "2.36", AVX2), "for riscv64", "Name a build of your own"),
    ],
)
def test_no_build(version: str, wanted: str, node: Node, cause: str, remedy: str) -> None:
    with pytest.raises(NoBuild) as caught:
        choose(version, wanted, node)
    assert cause in caught.value.cause
    assert remedy in caught.value.remedy
    assert caught.value.cause.endswith(".")
    assert caught.value.remedy.endswith(".")


def test_every_build_can_be_chosen_but_those_that_another_one_replaces() -> None:
    nodes = [PC, ARM, OLD_PC, gpu("535.54.03"), gpu("470.256.02")]
    chosen = {choose("0.14.1", "auto", node).plugin for node in nodes}
    assert len(chosen) == 5
    assert len({(build.version, build.variant, build.platform) for build in BUILDS}) == len(BUILDS)


def test_shim_and_judge_know_every_version_that_is_offered() -> None:
    engine = (REPO / "rust/shim/src/engine.rs").read_text()
    lines = dict(re.findall(r'\("([\d.]+)", (\d+)\)', engine.partition("const LINES")[2].partition("\n")[0]))
    for version in {build.version for build in BUILDS}:
        assert [int(api) for line, api in lines.items() if version.startswith(line)] == [PLUGIN_API[version]]


def test_this_node(tmp_path: Path) -> None:
    for name, text in {
        "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu sse4_2 avx\n\nprocessor\t: 1\nflags\t\t: fpu\n",
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    node = this_node(str(tmp_path))
    assert node.flags == {"fpu", "sse4_2", "avx"}
    assert node.driver == "535.54.03"
    assert this_node().glibc
