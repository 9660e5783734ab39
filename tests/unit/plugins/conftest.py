# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds small real files: ELF with the C compiler, GGUF by hand (version 3, as docs/gguf.md of ggml has it)."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Compile = Callable[..., Path]

#: A plugin in WasmEdge's C ABI (wasmedge.h, WasmEdge_PluginDescriptor).
PLUGIN = """
#include <stdint.h>
typedef struct {
  const char *Name; const char *Description; uint32_t APIVersion; uint32_t Version[4];
  uint32_t ModuleCount; uint32_t ProgramOptionCount; void *Modules; void *Options;
} Descriptor;
static const char *text = "llama_model_loader";
const char *marker(void) { return text; }
STORAGE Descriptor Desc = {"wasi_nn", "made by a test", API, {0, 14, 1, 0}, 0, 0, 0, 0};
const Descriptor *GETTER(void) { BODY return &Desc; }
"""

#: What libwasmedge answers for its version.
LIBRARY = 'const char *WasmEdge_VersionGet(void) { return "VERSION"; }'


@pytest.fixture
def compile_c(tmp_path: Path) -> Compile:
    """Compiles C text to ``tmp_path/name``; flags decide what it becomes."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")

    def build(name: str, text: str, *flags: str) -> Path:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-x", "c", "-O2", "-o", str(target), "-", "-x", "none", *flags]
        subprocess.run(command, input=text, text=True, check=True, capture_output=True)
        return target

    return build


@pytest.fixture
def make_plugin(compile_c: Compile) -> Compile:
    """A plugin of the given API version; *getter*, *storage* and *body* choose how it hands its descriptor out."""

    def build(
        name: str,
        api: int = 4,
        *flags: str,
        getter: str = "WasmEdge_Plugin_GetDescriptor",
        storage: str = "static",
        body: str = "",
    ) -> Path:
        text = PLUGIN.replace("STORAGE", storage).replace("API,", f"{api},")
        text = text.replace("GETTER", getter).replace("BODY", body)
        return compile_c(name, text, "-shared", "-fPIC", *flags)

    return build


@pytest.fixture
def make_library(compile_c: Compile) -> Compile:
    """A libwasmedge of the given version at the given place."""

    def build(name: str, version: str = "0.14.1") -> Path:
        return compile_c(name, LIBRARY.replace("VERSION", version), "-shared", "-fPIC", "-Wl,-soname,libwasmedge.so.0")

    return build


#: (name, extents, ggml type, bytes)
TENSORS = (("token_embd.weight", (64, 10), 8, 64 * 10 // 32 * 34), ("output_norm.weight", (64,), 0, 256))

METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.file_type": 7,
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
    "llama.block_count": 2,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 4,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["<s>", "</s>", "Paris"],
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.chat_template": "{{ messages }}",
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def metadata_value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    items = [metadata_value(item) for item in value]
    return struct.pack("<I", 9) + items[0][:4] + struct.pack("<Q", len(items)) + b"".join(item[4:] for item in items)


def write_gguf(
    path: Path,
    metadata: dict[str, Any] | None = None,
    tensors: tuple[tuple[str, tuple[int, ...], int, int], ...] = TENSORS,
    version: int = 3,
) -> Path:
    metadata = METADATA if metadata is None else metadata
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += text(key) + metadata_value(value)
    body = b""
    for name, extents, kind, size in tensors:
        body += b"\0" * (-len(body) % 32)
        head += text(name) + struct.pack(f"<I{len(extents)}QIQ", len(extents), *extents, kind, len(body))
        body += b"\1" * size
    head += b"\0" * (-len(head) % 32)
    path.write_bytes(head + body)
    return path


@pytest.fixture(scope="session")
def gguf() -> SimpleNamespace:
    """``write(path, metadata, tensors, version)`` and what it writes unless told otherwise."""
    return SimpleNamespace(write=write_gguf, METADATA=METADATA, TENSORS=TENSORS)
