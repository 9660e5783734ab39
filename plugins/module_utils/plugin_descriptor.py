# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The descriptor a WasmEdge plugin gives to libwasmedge: its name and, above all, its API version.

libwasmedge refuses a plugin whose API version is not its own, silently; so it has to be seen from outside.
Both kinds of plugin begin their descriptor the same way (wasmedge.h, ``WasmEdge_PluginDescriptor``; the C++ kind
exports ``GetDescriptor``): name, description, uint32 API version, four uint32 of the plugin's own version.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf, ElfError, Symbol
from ansible_collections.wasinn.cluster.plugins.module_utils.elf_constant import returned_address

GETTERS = ("WasmEdge_Plugin_GetDescriptor", "GetDescriptor")
DLOPEN_SECONDS = 20

# Run in a process of its own: a plugin runs code when it is loaded. libwasmedge first, as plugins expect its symbols.
_ASK = r"""
import ctypes, json, os, sys
plugin, getter, library = sys.argv[1:4]
class Descriptor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("description", ctypes.c_char_p), ("api", ctypes.c_uint32),
                ("version", ctypes.c_uint32 * 4)]
if library:
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
function = getattr(ctypes.CDLL(plugin, mode=os.RTLD_LAZY), getter)
function.restype = ctypes.POINTER(Descriptor)
found = function().contents
print(json.dumps({"name": found.name.decode(), "api": found.api, "version": list(found.version)}))
"""


@dataclass(frozen=True)
class Descriptor:
    """What the plugin says of itself. *version* is the plugin's own, e.g. ``0.10.1.0``."""

    name: str
    api_version: int
    version: str


def read_descriptor(elf: Elf, libwasmedge: str = "") -> Descriptor | None:
    """The plugin's descriptor, read from the file; loaded in a child process only where that cannot tell.

    ``None`` if the file exports no descriptor at all. Raises :class:`ElfError` if it has one that cannot be read.
    """
    for name in GETTERS:
        getter = elf.symbol(name)
        if getter is not None:
            return _from_file(elf, getter) or _from_child(elf, name, libwasmedge)
    return None


def _from_file(elf: Elf, getter: Symbol) -> Descriptor | None:
    try:
        address = returned_address(elf, getter)
        if address is None:
            return None
        api, *version = struct.unpack("<5I", elf.read(address + 16, 20))
        name = elf.string(elf.pointer(address))
    except (ElfError, struct.error):  # filled in at run time
        return None
    return _sane(name, api, version)


def _from_child(elf: Elf, getter: str, libwasmedge: str) -> Descriptor:
    command = [sys.executable, "-c", _ASK, elf.path, getter, libwasmedge]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=DLOPEN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ElfError(f"{elf.path} gave no descriptor within {DLOPEN_SECONDS} s of being loaded") from None
    if child.returncode:
        last = (child.stderr.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        raise ElfError(f"{elf.path} cannot be loaded to ask for its descriptor: {last}")
    answer = json.loads(child.stdout.splitlines()[-1])  # a plugin may print while it is loaded
    found = _sane(answer["name"], answer["api"], answer["version"])
    if found is None:
        raise ElfError(f"{elf.path} has a plugin descriptor that makes no sense")
    return found


def _sane(name: str, api: int, version: Iterable[int]) -> Descriptor | None:
    """A descriptor, unless the values show that something else was read."""
    if not name.isprintable() or not 0 < len(name) < 64 or not 0 < api < 1000:
        return None
    return Descriptor(name, api, ".".join(str(part) for part in version))


def library_version(elf: Elf) -> str:
    """libwasmedge's version such as ``0.14.1``, as ``WasmEdge_VersionGet`` returns it; empty if it cannot be read."""
    function = elf.symbol("WasmEdge_VersionGet")
    address = returned_address(elf, function) if function else None
    return elf.string(address) if address else ""
