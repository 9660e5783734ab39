# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the dynamic loader would read from an ELF file, without running it.

Works from program headers alone (as ld.so does), so stripped files are fine.
Limited to 64-bit little-endian files: all machines this collection supports.
Source: System V gABI, chapters 4 and 5; glibc's elf.h.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ = 1, 4, 5, 6, 7, 8
DT_SONAME, DT_RPATH, DT_RUNPATH, DT_GNU_HASH = 14, 15, 29, 0x6FFFFEF5
DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
SYMBOL_BYTES = 24
RELA_BYTES = 24
# "Add the load address to the addend", per machine.
R_RELATIVE = {"x86_64": 8, "aarch64": 1027}


class ElfError(Exception):
    """The file is not an ELF file this reader understands; the text says why."""


class ElfTruncated(ElfError):
    """The file ends before the data its headers promise."""

    def __init__(self, path: str, expected: int, found: int):
        self.expected = expected
        self.found = found
        super().__init__(f"{path} is cut short: its headers need {expected} bytes, it has {found}")


@dataclass(frozen=True)
class Symbol:
    """A dynamic symbol. *address* is before relocation; *size* in bytes."""

    name: str
    address: int
    size: int


class Elf:
    """One ELF file, read once and closed.

    Raises :class:`ElfError` for anything but a sound 64-bit little-endian file, ``OSError`` if it cannot be read.
    """

    def __init__(self, path: str):
        self.path = path
        with open(path, "rb") as stream:
            self.file_size = os.fstat(stream.fileno()).st_size
            if self.file_size < 64:
                raise ElfError(f"{path} is no ELF file: it has only {self.file_size} bytes")
            # Private mapping: a GPU plugin may have hundreds of megabytes.
            self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._read_header()
        self._read_dynamic()

    # -- raw access ---------------------------------------------------------

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from("<" + layout, self._data, offset)
        except struct.error:
            raise ElfError(f"{self.path} is damaged: a header points to byte {offset} of {self.file_size}") from None

    def _offset(self, address: int) -> int:
        """File offset of a virtual address."""
        for start, offset, size in self._loads:
            if start <= address < start + size:
                return offset + address - start
        raise ElfError(f"{self.path} is damaged: address 0x{address:x} lies in no loaded part of it")

    def read(self, address: int, size: int) -> bytes:
        """*size* bytes as the file has them at a virtual address, before relocation."""
        offset = self._offset(address)
        return self._data[offset : offset + size]

    def string(self, address: int) -> str:
        """The NUL-terminated text at a virtual address."""
        offset = self._offset(address)
        end = self._data.find(b"\0", offset)
        return self._data[offset:end].decode("utf-8", "replace") if end >= 0 else ""

    def contains(self, text: bytes) -> bool:
        """Whether the bytes occur anywhere in the file."""
        return self._data.find(text) >= 0

    # -- headers ------------------------------------------------------------

    def _read_header(self) -> None:
        if self._data[:4] != b"\x7fELF":
            raise ElfError(f"{self.path} is no ELF file: it begins with {bytes(self._data[:4])!r}")
        if self._data[4:6] != b"\x02\x01":
            raise ElfError(f"{self.path} is not a 64-bit little-endian ELF file")
        (self.type, machine) = self._unpack("HH", 16)
        self.machine = MACHINES.get(machine, f"machine {machine}")
        (phoff, shoff) = self._unpack("QQ", 32)
        (phentsize, phnum, shentsize, shnum) = self._unpack("HHHH", 54)
        expected = max(phoff + phentsize * phnum, shoff + shentsize * shnum)
        if phoff + phentsize * phnum > self.file_size:
            raise ElfTruncated(self.path, expected, self.file_size)
        headers = [self._unpack("IIQQQQ", phoff + phentsize * index) for index in range(phnum)]
        expected = max([expected] + [offset + size for kind, _f, offset, _v, _p, size in headers if size])
        if expected > self.file_size:
            raise ElfTruncated(self.path, expected, self.file_size)
        self._loads = [(vaddr, offset, size) for kind, _f, offset, vaddr, _p, size in headers if kind == PT_LOAD]
        self._dynamic = [(offset, size) for kind, _f, offset, _v, _p, size in headers if kind == PT_DYNAMIC]
        self.interpreter: str | None = None
        for kind, _f, offset, _v, _p, size in headers:
            if kind == PT_INTERP:
                self.interpreter = self._data[offset : offset + size].rstrip(b"\0").decode("utf-8", "replace")

    def _read_dynamic(self) -> None:
        self._tags: dict[int, list[int]] = {}
        for offset, size in self._dynamic:
            for position in range(offset, offset + size - 15, 16):
                tag, value = self._unpack("QQ", position)
                if tag == 0:
                    break
                self._tags.setdefault(tag, []).append(value)
        self.needed = [self._text(value) for value in self._tags.get(DT_NEEDED, [])]
        self.soname = self._text_tag(DT_SONAME)
        self.rpath = [part for part in self._text_tag(DT_RPATH).split(":") if part]
        self.runpath = [part for part in self._text_tag(DT_RUNPATH).split(":") if part]

    def _tag(self, tag: int) -> int:
        return self._tags.get(tag, [0])[0]

    def _text(self, offset: int) -> str:
        return self.string(self._tag(DT_STRTAB) + offset)

    def _text_tag(self, tag: int) -> str:
        return self._text(self._tag(tag)) if tag in self._tags else ""

    @property
    def static(self) -> bool:
        """An executable that loads no library (static, or static-pie, which has a dynamic section for itself alone)."""
        return self.interpreter is None and not self.needed and not self.soname

    @property
    def libc(self) -> str:
        """``static``, ``musl`` or ``glibc``, by the interpreter and the name of the C library; else an empty text."""
        if self.static:
            return "static"
        names = " ".join([*self.needed, self.interpreter or ""])
        if "musl" in names or "libc.so" in self.needed:
            return "musl"
        return "glibc" if "libc.so.6" in names or "ld-linux" in names else ""

    # -- symbol versions ----------------------------------------------------

    def version_needs(self) -> dict[str, list[str]]:
        """Library name -> versions asked of it, e.g. ``{"libc.so.6": ["GLIBC_2.34"]}``. Weak ones are left out."""
        needs: dict[str, list[str]] = {}
        if DT_VERNEED not in self._tags:
            return needs
        position = self._offset(self._tag(DT_VERNEED))
        for _entry in range(self._tag(DT_VERNEEDNUM)):
            _version, count, library, aux, following = self._unpack("HHIII", position)
            names = needs.setdefault(self._text(library), [])
            part = position + aux
            for _part in range(count):
                _hash, flags, _other, name, step = self._unpack("IHHII", part)
                if not flags & 2:  # VER_FLG_WEAK
                    names.append(self._text(name))
                part += step
            position += following
        return needs

    def version_definitions(self) -> list[str]:
        """Versions this library offers, e.g. ``GLIBC_2.36``."""
        names: list[str] = []
        if DT_VERDEF not in self._tags:
            return names
        position = self._offset(self._tag(DT_VERDEF))
        for _entry in range(self._tag(DT_VERDEFNUM)):
            _version, _flags, _index, _count, _hash, aux, following = self._unpack("HHHHIII", position)
            names.append(self._text(self._unpack("I", position + aux)[0]))
            position += following
        return names

    # -- symbols and relocations --------------------------------------------

    def _symbol_count(self) -> int:
        if DT_HASH in self._tags:
            return self._unpack("II", self._offset(self._tag(DT_HASH)))[1]
        if DT_GNU_HASH not in self._tags:
            return 0
        # GNU's table has no count: the last chain's end tells it.
        table = self._offset(self._tag(DT_GNU_HASH))
        buckets, first, bloom, _shift = self._unpack("IIII", table)
        bucket_table = table + 16 + 8 * bloom
        last = max(self._unpack(f"{buckets}I", bucket_table), default=0)
        if last < first:
            return first
        chain = bucket_table + 4 * buckets
        while not self._unpack("I", chain + 4 * (last - first))[0] & 1:
            last += 1
        return last + 1

    def _symbols(self) -> Iterator[Symbol]:
        count = self._symbol_count()
        table = self._offset(self._tag(DT_SYMTAB)) if count else 0
        for index in range(count):
            name, _info, _other, section, value, size = self._unpack("IBBHQQ", table + SYMBOL_BYTES * index)
            if section:
                yield Symbol(self._text(name), value, size)

    def symbol(self, name: str) -> Symbol | None:
        """The defined dynamic symbol of that name, or ``None``."""
        return next((entry for entry in self._symbols() if entry.name == name), None)

    def pointer(self, address: int) -> int:
        """The pointer stored at a virtual address once the loader has relocated it (load address 0)."""
        if DT_RELA in self._tags:
            table = self._offset(self._tag(DT_RELA))
            for position in range(table, table + self._tag(DT_RELASZ), RELA_BYTES):
                where, info, addend = self._unpack("QQq", position)
                if where != address:
                    continue
                if info & 0xFFFFFFFF == R_RELATIVE.get(self.machine):
                    return addend
                entry = self._offset(self._tag(DT_SYMTAB)) + SYMBOL_BYTES * (info >> 32)
                symbol: int = self._unpack("IBBHQQ", entry)[4]
                return symbol + addend
        # Packed relative relocations (DT_RELR) keep the addend in place.
        return int.from_bytes(self.read(address, 8), "little")
