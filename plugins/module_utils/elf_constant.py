# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what a function returns when all it does is return the address of something constant.

WasmEdge's plugins hand out their descriptor, and libwasmedge its version, through such functions. Decoding
the two or three instructions a compiler makes of them lets a node be checked without running foreign code.
"""

from __future__ import annotations

from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf, Symbol


def returned_address(elf: Elf, function: Symbol) -> int | None:
    """The (unrelocated) address the function returns, or ``None`` where it does more than that."""
    code = elf.read(function.address, 32)
    if elf.machine == "x86_64":
        return _x86_64(elf, function.address, code)
    if elf.machine == "aarch64":
        return _aarch64(elf, function.address, code)
    return None


def _x86_64(elf: Elf, address: int, code: bytes) -> int | None:
    position = 0
    for prologue in (b"\xf3\x0f\x1e\xfa", b"\x55\x48\x89\xe5"):  # endbr64; push %rbp, mov %rsp,%rbp
        if code.startswith(prologue, position):
            position += len(prologue)
    opcode = code[position : position + 3]
    target = address + position + 7 + int.from_bytes(code[position + 3 : position + 7], "little", signed=True)
    if not code.startswith((b"\xc3", b"\x5d\xc3"), position + 7):  # ret; pop %rbp, ret
        return None
    if opcode == b"\x48\x8d\x05":  # lea target(%rip),%rax
        return target
    if opcode == b"\x48\x8b\x05":  # mov target(%rip),%rax: through the global offset table
        return elf.pointer(target)
    return None


def _aarch64(elf: Elf, address: int, code: bytes) -> int | None:
    result: int | None = None  # what x0 holds
    for at in range(0, 16, 4):
        word = int.from_bytes(code[at : at + 4], "little")
        immediate = word >> 10 & 0xFFF
        if word in (0xD503245F, 0xD503201F):  # bti c; nop
            continue
        if word == 0xD65F03C0:  # ret
            return result
        if word & 0x9F00001F == 0x90000000:  # adrp x0, page
            result = ((address + at) & ~0xFFF) + (_signed_21(word) << 12)
        elif word & 0x9F00001F == 0x10000000:  # adr x0, target
            result = address + at + _signed_21(word)
        elif word & 0xFFC003FF == 0x91000000 and result is not None:  # add x0, x0, #immediate
            result += immediate
        elif word & 0xFFC003FF == 0xF9400000 and result is not None:  # ldr x0, [x0, #immediate * 8]: through the GOT
            result = elf.pointer(result + immediate * 8)
        else:
            return None
    return None


def _signed_21(word: int) -> int:
    """The signed immediate of adr and adrp."""
    value = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
    return value - ((value & 1 << 20) << 1)
