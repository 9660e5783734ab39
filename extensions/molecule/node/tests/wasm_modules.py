# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""WebAssembly modules of a few instructions, in binary form: each does one thing a container can do.

Encoding: WebAssembly core specification, section 5; the functions imported are those of wasi_snapshot_preview1.
"""

from __future__ import annotations

import struct

I32 = b"\x7f"
PAGE = 65536  # bytes


def unsigned(number: int) -> bytes:
    """Unsigned LEB128."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + unsigned(rest) if rest else bytes([low])


def const(number: int) -> bytes:
    """i32.const; the number from 0 on, in signed LEB128."""
    code = b"\x41"
    while number > 0x3F:
        code += bytes([number & 0x7F | 0x80])
        number >>= 7
    return code + bytes([number])


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + unsigned(len(content)) + content


def text(name: str) -> bytes:
    return unsigned(len(name)) + name.encode()


def module(body: bytes, imported: tuple[str, int, bool] | None = None, pages: int = 0, data: bytes = b"") -> bytes:
    """A module whose function ``_start`` is *body*, with one i32 as its local.

    *imported* is a function of WASI: its name, how many i32 it takes, whether it returns one; it has the index 0.
    """
    types, functions = [b"\x60\0\0"], b"\x01\0"
    result = b"\0asm\x01\0\0\0"
    imports = b""
    if imported:
        name, parameters, returns = imported
        types.append(b"\x60" + bytes([parameters]) + I32 * parameters + (b"\x01" + I32 if returns else b"\0"))
        imports = section(2, b"\x01" + text("wasi_snapshot_preview1") + text(name) + b"\0\x01")
    result += section(1, bytes([len(types)]) + b"".join(types)) + imports + section(3, functions)
    exports = [text("_start") + b"\0" + bytes([1 if imported else 0])]
    if pages:
        result += section(5, b"\x01\0" + unsigned(pages))
        exports.append(text("memory") + b"\x02\0")
    result += section(7, bytes([len(exports)]) + b"".join(exports))
    code = b"\x01\x01" + I32 + body + b"\x0b"
    result += section(10, b"\x01" + unsigned(len(code)) + code)
    if data:
        result += section(11, b"\x01\0\x41\0\x0b" + unsigned(len(data)) + data)
    return result


def ends(code: int) -> bytes:
    """Calls proc_exit."""
    return module(const(code) + b"\x10\0", ("proc_exit", 1, False), pages=1)


def traps() -> bytes:
    """Runs into ``unreachable``."""
    return module(b"\0")


def sleeps(seconds: int) -> bytes:
    """Waits in poll_oneoff on the monotonic clock, without using a CPU."""
    subscription = struct.pack("<QQQQQQ", 0, 0, 1, seconds * 10**9, 0, 0)
    return module(
        const(0) + const(64) + const(1) + const(128) + b"\x10\0\x1a", ("poll_oneoff", 4, True), 1, subscription
    )


def counts(to: int) -> bytes:
    """A loop that counts: what native code does many times faster than an interpreter."""
    return module(b"\x03\x40\x20\0\x41\x01\x6a\x22\0" + const(to) + b"\x48\x0d\0\x0b")


def fills(mebibytes: int) -> bytes:
    """Writes into every page of so much memory, and ends."""
    pages = mebibytes * 2**20 // PAGE
    write = b"\x20\0" + const(1) + b"\x36\x02\0"  # i32.store at the local's address
    step = b"\x20\0" + const(4096) + b"\x6a\x22\0"  # the next page of the machine
    return module(b"\x03\x40" + write + step + const(pages * PAGE) + b"\x48\x0d\0\x0b", pages=pages)


def writes(lines: int, out: str, err: str) -> bytes:
    """Writes *out* and *err*, of the same length, with an end of line each, so many times by turns."""
    first = 16
    second = first + len(out) + 1
    vectors = struct.pack("<IIII", first, len(out) + 1, second, len(err) + 1)
    write = b"".join(
        const(descriptor) + const(vector) + const(1) + const(PAGE - 4) + b"\x10\0\x1a"
        for descriptor, vector in ((1, 0), (2, 8))
    )
    again = b"\x20\0\x41\x01\x6a\x22\0" + const(lines) + b"\x48\x0d\0\x0b"
    data = vectors + f"{out}\n{err}\n".encode()
    return module(b"\x03\x40" + write + again, ("fd_write", 4, True), 1, data)
