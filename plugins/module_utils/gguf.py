# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A GGUF model file's header: what the model is, how large the file has to be, how much memory it takes.

Only the header is read (some megabytes at most, for the tokenizer), whatever the size of the model.
Source: docs/gguf.md of ggml; versions 2 and 3, little-endian.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding, human_bytes
from ansible_collections.wasinn.cluster.plugins.module_utils.gguf_types import (
    ARRAY,
    FILE_TYPES,
    SCALARS,
    STRING,
    TENSOR_TYPES,
)

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
#: Arrays up to this many elements are kept (per-layer head counts); longer ones are the tokenizer's.
KEPT_ELEMENTS = 1024
#: Anything above is damage, not a model: the largest model families have some thousands of both.
MOST_TENSORS = 1 << 20
MOST_KEYS = 1 << 16
KV_BYTES = 2  # llama.cpp keeps keys and values as 16-bit floats unless told otherwise

#: Architectures that came after llama.cpp b3651, which the plugin of WasmEdge 0.14.1 carries.
NEWER_THAN_0_14 = ("gemma3", "gemma3n", "qwen3", "qwen3moe")

FETCH_AGAIN = "Take the file away and fetch it again (role wasinn.cluster.models)."


class GgufError(Exception):
    """The file cannot be used as a model. *check* is a stable word; the text says why."""

    def __init__(self, check: str, message: str):
        self.check = check
        super().__init__(message)


class GgufIncomplete(GgufError):
    """The header goes on behind the bytes that were given; more of the same file may do."""


class _Reader:
    """Reads little-endian values one after the other and knows where the file ends."""

    def __init__(self, path: str, data: mmap.mmap | bytes, size: int):
        self.path, self._data, self._size, self.position = path, data, size, 0

    def take(self, count: int) -> int:
        """Moves *count* bytes on and returns where they begin."""
        start = self.position
        if start + count > self._size:
            raise GgufError(
                "gguf_truncated",
                f"{self.path} is cut short or damaged: its header needs at least {start + count} bytes, "
                f"it has {self._size}",
            )
        if start + count > len(self._data):
            raise GgufIncomplete(
                "gguf_incomplete", f"the header of {self.path} needs more than {len(self._data)} bytes"
            )
        self.position += count
        return start

    def unpack(self, layout: str) -> tuple[Any, ...]:
        start = self.take(struct.calcsize("<" + layout))
        return struct.unpack_from("<" + layout, self._data, start)

    def text(self) -> str:
        (length,) = self.unpack("Q")
        start = self.take(length)
        return self._data[start : start + length].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A metadata value; of a long array only its length, as ``{"length": n}``."""
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            (element, length) = self.unpack("IQ")
            return self._array(element, length)
        if kind not in SCALARS:
            raise GgufError("gguf_corrupt", f"{self.path} is damaged: its header has a value of unknown type {kind}")
        return self.unpack(SCALARS[kind][0])[0]

    def _array(self, kind: int, length: int) -> Any:
        if kind in SCALARS:
            letter, size = SCALARS[kind]
            if length <= KEPT_ELEMENTS:
                return list(self.unpack(f"{length}{letter}"))
            self.take(size * length)
        else:
            for _element in range(length):
                self.take(self.unpack("Q")[0]) if kind == STRING else self.value(kind)
        return {"length": length}


def read_gguf(path: str) -> dict[str, Any]:
    """The header as ``{"path", "version", "metadata", "tensors", "file_size", "expected_size"}``.

    Sizes in bytes. ``tensors`` is a list of (name, type number, elements, offset).
    Raises :class:`GgufError` (not a model, damaged, cut short) or ``OSError``.
    """
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            raise GgufError("gguf_truncated", f"{path} is empty: expected a GGUF model, found 0 bytes")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return read_header(path, data, size)


def read_header(path: str, data: mmap.mmap | bytes, size: int) -> dict[str, Any]:
    """The header, as :func:`read_gguf` returns it, from the first bytes of a file of *size* bytes.

    Raises :class:`GgufIncomplete` where *data* ends too early, and :class:`GgufError`.
    """
    reader = _Reader(path, data, size)
    if data[:4] != MAGIC:
        raise GgufError(
            "gguf_magic", f"{path} is no GGUF model: it begins with {bytes(data[:4])!r} instead of {MAGIC!r}"
        )
    reader.take(4)
    (version,) = reader.unpack("I")
    if version not in (2, 3):
        kind = "is big-endian" if version and not version & 0xFFFF else f"has GGUF version {version}"
        raise GgufError("gguf_version", f"{path} {kind}; this runtime reads versions 2 and 3, little-endian")
    tensor_count, key_count = reader.unpack("QQ")
    if tensor_count > MOST_TENSORS or key_count > MOST_KEYS:
        claim = f"{tensor_count} tensors and {key_count} keys"
        raise GgufError("gguf_corrupt", f"{path} is damaged: its header claims {claim}")
    metadata: dict[str, Any] = {}
    for _key in range(key_count):
        key = reader.text()
        metadata[key] = reader.value(reader.unpack("I")[0])
    tensors = [_tensor(reader) for _tensor_number in range(tensor_count)]
    return {
        "path": path,
        "version": version,
        "metadata": metadata,
        "tensors": tensors,
        "file_size": size,
        "expected_size": _expected_size(reader.position, metadata, tensors),
    }


def _tensor(reader: _Reader) -> tuple[str, int, int, int]:
    name = reader.text()
    (dimensions,) = reader.unpack("I")
    if dimensions > 8:
        raise GgufError("gguf_corrupt", f"{reader.path} is damaged: tensor {name!r} claims {dimensions} dimensions")
    elements = 1
    for extent in reader.unpack(f"{dimensions}Q"):
        elements *= extent
    kind, offset = reader.unpack("IQ")
    return name, kind, elements, offset


def tensor_bytes(kind: int, elements: int) -> int:
    """Bytes of a tensor; 0 where the type is not known (its end is then not checked)."""
    if kind not in TENSOR_TYPES:
        return 0
    _name, block, size = TENSOR_TYPES[kind]
    return elements // block * size


def _expected_size(header: int, metadata: dict[str, Any], tensors: list[tuple[str, int, int, int]]) -> int:
    alignment = number(metadata, "general.alignment") or DEFAULT_ALIGNMENT
    start = (header + alignment - 1) // alignment * alignment
    return max([header] + [start + offset + tensor_bytes(kind, elements) for _name, kind, elements, offset in tensors])


def number(metadata: dict[str, Any], key: str) -> int:
    """The whole number of that key (of a list the largest); 0 where there is none, or something else."""
    value = metadata.get(key)
    if isinstance(value, list):
        value = max((entry for entry in value if isinstance(entry, int)), default=0)
    return value if isinstance(value, int) and value > 0 else 0


def kv_cache_bytes(metadata: dict[str, Any], context: int) -> int:
    """Memory of the keys and values of *context* tokens; 0 where the header does not tell."""
    architecture = metadata.get("general.architecture", "")

    def per_model(key: str) -> int:
        return number(metadata, f"{architecture}.{key}")

    layers, heads, width = per_model("block_count"), per_model("attention.head_count"), per_model("embedding_length")
    if not layers or not heads or not width:
        return 0
    key_heads = metadata.get(f"{architecture}.attention.head_count_kv") or heads
    key_length = per_model("attention.key_length") or width // heads
    value_length = per_model("attention.value_length") or width // heads
    head_total = sum(key_heads) if isinstance(key_heads, list) else key_heads * layers
    return head_total * (key_length + value_length) * context * KV_BYTES


def describe(path: str, context: int | None = None, wasmedge_version: str = "") -> dict[str, Any]:
    """Everything the module returns: the model's description and findings. Raises nothing.

    *context*: tokens to size the KV cache for; without it 4096, or the model's own context where that is smaller.
    """
    try:
        header = read_gguf(path)
    except GgufError as error:
        model = {"path": path, "file_size": os.path.getsize(path)}
        return {"model": model, "findings": [finding(error.check, f"{error}.", FETCH_AGAIN)]}
    except OSError as error:
        cause = f"The model {path} cannot be read: {error.strerror}."
        remedy = "Bring it there (role wasinn.cluster.models), or correct its path or permissions."
        return {"model": {"path": path}, "findings": [finding("gguf_missing", cause, remedy)]}
    return {"model": model_of(header, context), "findings": judge(header, wasmedge_version)}


def model_of(header: dict[str, Any], context: int | None = None) -> dict[str, Any]:
    """The model's description from its header; *context* as in :func:`describe`."""
    metadata, tensors = header["metadata"], header["tensors"]
    architecture = str(metadata.get("general.architecture", ""))
    trained = number(metadata, f"{architecture}.context_length")
    context = context or min(trained or 4096, 4096)
    weights = sum(tensor_bytes(kind, elements) for _name, kind, elements, _offset in tensors)
    cache = kv_cache_bytes(metadata, context)
    template = metadata.get("tokenizer.chat_template")
    tokens = metadata.get("tokenizer.ggml.tokens")
    return {
        "path": header["path"],
        "version": header["version"],
        "file_size": header["file_size"],
        "expected_size": header["expected_size"],
        "architecture": architecture,
        "name": str(metadata.get("general.name", "")),
        "quantisation": _quantisation(metadata),
        "parameters": sum(elements for _name, _kind, elements, _offset in tensors),
        "context_length": trained,
        "embedding_length": number(metadata, f"{architecture}.embedding_length"),
        "block_count": number(metadata, f"{architecture}.block_count"),
        "tokenizer": str(metadata.get("tokenizer.ggml.model", "")),
        "vocabulary": tokens.get("length", 0) if isinstance(tokens, dict) else 0,
        "chat_template": template if isinstance(template, str) else "",
        "tensors": len(tensors),
        "tensor_types": _count_types(tensors),
        "memory": {"context": context, "weights": weights, "kv_cache": cache, "total": weights + cache},
    }


def _quantisation(metadata: dict[str, Any]) -> str:
    known = "general.file_type" in metadata
    return FILE_TYPES.get(number(metadata, "general.file_type"), "") if known else ""


def _count_types(tensors: list[tuple[str, int, int, int]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _name, kind, _elements, _offset in tensors:
        name = TENSOR_TYPES[kind][0] if kind in TENSOR_TYPES else f"type {kind}"
        counts[name] = counts.get(name, 0) + 1
    return counts


def judge(header: dict[str, Any], wasmedge_version: str = "") -> list[Finding]:
    """What is wrong with a file whose header could be read."""
    found: list[Finding] = []

    def say(check: str, cause: str, remedy: str) -> None:
        found.append(finding(check, cause, remedy))

    path, architecture = header["path"], header["metadata"].get("general.architecture")
    expected, size = header["expected_size"], header["file_size"]
    if size < expected:
        sizes = f"{expected} bytes ({human_bytes(expected)}), it has {size} ({human_bytes(size)})"
        say("gguf_truncated", f"{path} is cut short: its tensors need {sizes}.", FETCH_AGAIN)
    if not architecture:
        say(
            "gguf_architecture",
            f"{path} does not say which architecture it has.",
            "Use a file made by llama.cpp's own converter.",
        )
    if not header["tensors"]:
        say(
            "gguf_tensors",
            f"{path} has no tensors, so it is no model (perhaps a vocabulary).",
            "Use the model's own file.",
        )
    if wasmedge_version.startswith("0.14.") and architecture in NEWER_THAN_0_14:
        plugin = f"the llama.cpp (b3651) in the plugin of WasmEdge {wasmedge_version}"
        say(
            "gguf_too_new",
            f"{path} is a {architecture} model, which {plugin} does not know.",
            "Use WasmEdge 0.17.1 with its plugin and shim, or another model.",
        )
    return found
