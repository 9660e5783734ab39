# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every known failure is told from its own message, and only as itself."""

from __future__ import annotations

import time

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.failures import SIGNATURES, Signature, classify


@pytest.mark.parametrize("entry", SIGNATURES, ids=lambda entry: entry.check)
def test_each_example(entry: Signature) -> None:
    for text in (entry.example, f"before it\n{entry.example}\nafter it"):
        (item,) = classify(text)
        assert item["check"] == entry.check
        assert "{" not in item["cause"] + item["remedy"]
        assert item["cause"].endswith(".")
        assert item["remedy"].rstrip(")").endswith((".", ")")) or item["remedy"].endswith(".")


def test_nothing_known() -> None:
    assert classify("") == []
    assert classify("The capital of France is Paris.") == []


def test_groups_fill_the_sentences() -> None:
    (item,) = classify("unknown model architecture: 'gemma3'")
    assert "gemma3" in item["cause"]
    (item,) = classify('no runtime for "wasmedge" is configured')
    assert "wasmedge" in item["cause"]


def test_cause_and_consequence() -> None:
    """A missing library comes before the import it makes fail; both are told, the cause first."""
    text = (
        "libopenblas.so.0: cannot open shared object file: No such file or directory\n"
        "[error] instantiation failed: unknown import, Code: 0x62\n"
        '[error]     When linking module: "wasi_ephemeral_nn" , function name: "load"\n'
    )
    assert [item["check"] for item in classify(text)] == ["missing_library", "plugin_not_loaded"]


def test_start_of_the_shim() -> None:
    """As containerd 1.7 says it once it has seen the shim, which is gone since."""
    text = (
        "ctr: failed to start shim: start failed: : fork/exec /usr/local/bin/containerd-shim-wasmedge-v1: no such file"
    )
    assert [item["check"] for item in classify(text + " or directory")] == ["shim_not_found"]


def test_two_copies() -> None:
    text = 'module name conflict, Code: 0x60 ... unknown import, Code: 0x62 When linking module: "wasi_ephemeral_nn"'
    assert classify(text)[0]["check"] == "plugin_duplicate"


def test_consequences_are_left_out() -> None:
    """As the plugin and the probe said it of a model that was cut short, and of a swapped preload."""
    text = (
        "llama_model_load: error loading model: tensor 'blk.2.ffn_up.weight' data is not within the file bounds, "
        "model is corrupted or incomplete\nllama_load_model_from_file: failed to load model\n"
        "[error] [WASI-NN] GGML backend: Error: unable to init model. /m2/x.gguf is not a GGUF file that this llama.cpp "
        "can read (truncated, or of a newer architecture).\n"
    )
    assert [item["check"] for item in classify(text)] == ["model_truncated"]
    text = (
        '[error] [WASI-NN] Preload Model\'s Backend or Device is Not Support. "default:AUTO:GGML:/m.gguf": this plugin '
        'has the backend GGML.\n[error] [WASI-NN] Model "default" is not among the 0 preloaded ones.\n'
    )
    assert [item["check"] for item in classify(text)] == ["backend_missing"]


@pytest.mark.parametrize("noise", ["x", "a.so", '"', "unknown import ", "wasi_ephemeral_nn ", "dial unix "])
def test_long_outputs_take_no_time(noise: str) -> None:
    started = time.monotonic()
    assert classify(noise * (1_000_000 // len(noise))) == []
    assert time.monotonic() - started < 5
