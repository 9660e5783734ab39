# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a plugin's descriptor out of its file, in the shapes compilers give it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import plugin_descriptor
from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf, ElfError
from ansible_collections.wasinn.cluster.plugins.module_utils.elf_constant import returned_address
from ansible_collections.wasinn.cluster.plugins.module_utils.plugin_descriptor import library_version, read_descriptor


@pytest.mark.parametrize("getter", ["WasmEdge_Plugin_GetDescriptor", "GetDescriptor"])
@pytest.mark.parametrize("storage", ["static", "static const", "", "const"])
@pytest.mark.parametrize("flags", [("-O2",), ("-O0",), ("-fcf-protection=full",), ("-Wl,-z,pack-relative-relocs",)])
def test_read_without_running(make_plugin, monkeypatch, getter: str, storage: str, flags: tuple[str, ...]) -> None:
    monkeypatch.setattr(plugin_descriptor, "_from_child", lambda *_: pytest.fail("the plugin was loaded"))
    plugin = make_plugin("plugin.so", 5, *flags, getter=getter, storage=storage)
    found = read_descriptor(Elf(str(plugin)))
    assert found is not None
    assert (found.name, found.api_version, found.version) == ("wasi_nn", 5, "0.14.1.0")


def test_descriptor_filled_at_run_time(make_plugin) -> None:
    plugin = make_plugin("plugin.so", 0, body="Desc.APIVersion = 3;")
    assert returned_address(Elf(str(plugin)), Elf(str(plugin)).symbol("WasmEdge_Plugin_GetDescriptor")) is None
    found = read_descriptor(Elf(str(plugin)))
    assert found is not None
    assert found.api_version == 3


def test_plugin_that_crashes(make_plugin) -> None:
    plugin = make_plugin("plugin.so", 4, body="__builtin_trap();")
    with pytest.raises(ElfError, match=r"plugin\.so cannot be loaded to ask for its descriptor"):
        read_descriptor(Elf(str(plugin)))


def test_plugin_that_hangs(make_plugin, monkeypatch) -> None:
    monkeypatch.setattr(plugin_descriptor, "DLOPEN_SECONDS", 1)
    plugin = make_plugin("plugin.so", 4, body="for (volatile int i = 1; i;);")
    with pytest.raises(ElfError, match="no descriptor within 1 s"):
        read_descriptor(Elf(str(plugin)))


def test_no_descriptor() -> None:
    assert read_descriptor(Elf("/bin/ls")) is None


@pytest.mark.parametrize("flags", [(), ("-O0",), ("-fcf-protection=full",)])
def test_library_version(compile_c, flags: tuple[str, ...]) -> None:
    text = 'const char *WasmEdge_VersionGet(void) { return "0.17.1"; }'
    library: Path = compile_c("lib.so", text, "-shared", "-fPIC", *flags)
    assert library_version(Elf(str(library))) == "0.17.1"


def test_library_without_version() -> None:
    assert library_version(Elf("/bin/ls")) == ""


def _aarch64(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in (*words, 0, 0, 0, 0, 0))[:32]


class _Aarch64(Elf):
    """Code of an arm64 compiler at a given address; this machine's compiler makes none."""

    def __init__(self, code: bytes) -> None:
        self.machine = "aarch64"
        self._code = code

    def read(self, address: int, size: int) -> bytes:
        return self._code

    def pointer(self, address: int) -> int:
        return address + 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # As clang 19 made it: adrp x0, +0x10000; add x0, x0, #0x3b0; ret
        ((0x90000080, 0x910EC000, 0xD65F03C0), 0x20000 + 0x3B0),
        # bti c before it
        ((0xD503245F, 0x90000080, 0x910EC000, 0xD65F03C0), 0x20000 + 0x3B0),
        # ldr x0, [x0, #8] in place of add: through the global offset table
        ((0x90000080, 0xF9400400, 0xD65F03C0), 0x20000 + 8 + 1),
        # adrp x0 one page back
        ((0xF0FFFFE0, 0x91000000, 0xD65F03C0), 0xF000),
        # adr x0, -4; nop, which lld makes of adrp and add for near targets
        ((0x10FFFFE0, 0xD503201F, 0xD65F03C0), 0xFFFC),
        # mov w0, #1 and a bare ret return no address
        ((0x52800020, 0xD65F03C0), None),
        ((0xD65F03C0, 0, 0), None),
    ],
)
def test_arm64_code(words: tuple[int, ...], expected: int | None) -> None:
    symbol = type("S", (), {"address": 0x10000})
    assert returned_address(_Aarch64(_aarch64(*words)), symbol) == expected
