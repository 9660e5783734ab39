# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ELF reader on the system's own files and on small compiled ones, held against readelf."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf, ElfError, ElfTruncated
from ansible_collections.wasinn.cluster.plugins.module_utils.loader import Loader, node_glibc

PYTHON = os.path.realpath(sys.executable)


def readelf(path: str | Path, *options: str) -> str:
    if shutil.which("readelf") is None:
        pytest.skip("no readelf here")
    return subprocess.run(["readelf", "-W", *options, str(path)], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("path", ["/bin/ls", PYTHON])
def test_dynamic_section_agrees_with_readelf(path: str) -> None:
    elf = Elf(path)
    assert elf.needed == re.findall(r"\(NEEDED\).*\[(.*)\]", readelf(path, "-d"))
    assert elf.interpreter == re.findall(r"interpreter: (.*)\]", readelf(path, "-l"))[0]
    assert elf.machine == platform.machine()
    assert not elf.static
    assert elf.libc == "glibc"


@pytest.mark.parametrize("path", ["/bin/ls", PYTHON])
def test_versions_agree_with_readelf(path: str) -> None:
    said = set(re.findall(r"Name: (GLIBC_[0-9.]+)", readelf(path, "-V")))
    assert {version for versions in Elf(path).version_needs().values() for version in versions} >= said


def test_symbols_agree_with_readelf() -> None:
    libc = Loader().closure(PYTHON).found["libc.so.6"]
    elf = Elf(libc)
    lines = [line.split() for line in readelf(libc, "--dyn-syms").splitlines()]
    said = {
        line[7].split("@")[0]: int(line[1], 16)
        for line in lines
        if len(line) > 7 and line[7].startswith("getaddrinfo@")
    }
    assert said
    for name, address in said.items():
        symbol = elf.symbol(name)
        assert symbol is not None
        assert symbol.address == address
    assert elf.symbol("no_such_function") is None
    assert elf.soname == "libc.so.6"
    assert f"GLIBC_{node_glibc()}" in elf.version_definitions()


def test_static_program(compile_c) -> None:
    elf = Elf(str(compile_c("static", "int main(void) { return 0; }", "-static")))
    assert elf.static
    assert elf.libc == "static"
    assert elf.interpreter is None


def test_static_pie_program(compile_c) -> None:
    # runwasi's musl builds are of this kind: a dynamic section, but nothing to load.
    elf = Elf(str(compile_c("pie", "int main(void) { return 0; }", "-static-pie")))
    assert elf.static


def test_musl_program(compile_c) -> None:
    source = "void _start(void) { for (;;); }"
    flags = ("-nostdlib", "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1", "-pie", "-fPIE")
    elf = Elf(str(compile_c("musl", source, *flags)))
    assert elf.libc == "musl"


@pytest.mark.parametrize("size", [0, 3, 63, 64, 500, 5000, -1])
def test_cut_short(tmp_path: Path, size: int) -> None:
    whole = Path("/bin/ls").read_bytes()
    cut = tmp_path / "ls"
    cut.write_bytes(whole[:size])
    with pytest.raises(ElfError) as caught:
        Elf(str(cut))
    assert str(cut) in str(caught.value)
    if size == -1:
        assert isinstance(caught.value, ElfTruncated)
        assert (caught.value.expected, caught.value.found) == (len(whole), len(whole) - 1)


def test_not_elf(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("#!/bin/sh\n" + "x" * 100)
    with pytest.raises(ElfError, match="no ELF file"):
        Elf(str(text))


def test_damage_never_raises_anything_else(compile_c, tmp_path: Path) -> None:
    """Every byte of the headers and of the dynamic part, turned around one at a time."""
    whole = compile_c("small.so", "int one(void) { return 1; }", "-shared", "-fPIC").read_bytes()
    damaged = tmp_path / "damaged.so"
    for position in list(range(4, 800)) + list(range(800, len(whole), 37)):
        damaged.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            elf = Elf(str(damaged))
            elf.symbol("one")
            elf.version_needs()
            elf.version_definitions()
        except ElfError:
            pass
