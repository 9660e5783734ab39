# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Baselines of probes, and failures taken as findings."""

from __future__ import annotations

import re

from ansible_collections.wasinn.cluster.plugins.filter.findings import failure_finding, failure_sentence
from ansible_collections.wasinn.cluster.plugins.filter.probes import probe_baseline, runtime_tuple

ITEM = {"name": "m", "file": "m.gguf"}
PROBE = {"item": ITEM, "tokens_per_second": 30.0, "load_ms": 300.0, "text": " Paris."}
KEPT = {"m": {"file": "m.gguf", "tuple": "wasmedge-0.14.1", "tokens_per_second": 60.0, "load_ms": 100.0}}


def test_the_first_figures_are_the_baseline():
    assert probe_baseline([PROBE], {}, "wasmedge-0.14.1") == {
        "m": {"file": "m.gguf", "tuple": "wasmedge-0.14.1", "tokens_per_second": 30.0, "load_ms": 300.0}
    }


def test_a_baseline_stays_as_long_as_file_and_runtime_do():
    assert probe_baseline([PROBE], KEPT, "wasmedge-0.14.1") == KEPT
    assert probe_baseline([PROBE], KEPT, "wasmedge-0.17.1")["m"]["tokens_per_second"] == 30.0
    other = {**PROBE, "item": {"name": "m", "file": "m-q8.gguf"}}
    assert probe_baseline([other], KEPT, "wasmedge-0.14.1")["m"]["file"] == "m-q8.gguf"


def test_models_that_were_not_asked_are_forgotten():
    assert probe_baseline([{"item": ITEM, "skipped": True}], KEPT, "wasmedge-0.14.1") == {}


INFO = {
    "libwasmedge": {"version": "0.14.1", "sha256": "a"},
    "plugins": [{"backends": ["ggml"], "cuda": False, "sha256": "b"}],
    "shim": {"sha256": "c"},
}
LABEL = re.compile(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?")


def test_a_tuple_names_versions_and_files():
    name = runtime_tuple(INFO, "0.1.0")
    assert re.fullmatch(r"wasmedge-0\.14\.1_plugin-ggml_shim-0\.1\.0_[0-9a-f]{8}", name)
    assert runtime_tuple({**INFO, "shim": {"sha256": "d"}}, "0.1.0") != name
    cuda = {"backends": ["ggml"], "cuda": True, "sha256": "b"}
    assert "_plugin-ggml-cuda_" in runtime_tuple({**INFO, "plugins": [cuda]}, "0.1.0")
    assert runtime_tuple({**INFO, "plugins": [cuda, *INFO["plugins"]]}, "1") == runtime_tuple(
        {**INFO, "plugins": [*INFO["plugins"], cuda]}, "1"
    )


def test_a_tuple_is_always_a_labels_value():
    long = {**INFO, "libwasmedge": {"version": "0.17.0+a~b." + "x" * 80, "sha256": "a"}}
    for info in (INFO, long, {}):
        assert LABEL.fullmatch(runtime_tuple(info, "0.1.0-rc.1+build")), info
    assert runtime_tuple({}, "0.1.0").startswith("wasmedge-none_plugin-none_shim-none_")


def test_a_failure_becomes_a_finding():
    said = failure_finding({"failed": True, "msg": "no space left on device."}, "Copy it")
    assert said["cause"] == "The task 'Copy it' failed: no space left on device."
    assert said["remedy"]


def test_a_failed_loop_tells_what_its_items_said():
    result = {
        "msg": "One or more items failed",
        "results": [{"msg": "fine"}, {"failed": True, "msg": "a"}, {"failed": True, "module_stderr": "b\n"}],
    }
    assert failure_finding(result, "Ask")["cause"] == "The task 'Ask' failed: a; b."


def test_a_failure_without_words_is_one_all_the_same():
    assert failure_finding({}, "Ask")["cause"] == "The task 'Ask' failed: it gave no reason."


def test_a_message_that_has_a_remedy_is_a_sentence_already():
    said = "The disk of /opt is full. Remedy: make room there."
    assert failure_sentence({"msg": said}, "Copy it") == said
    assert failure_sentence({"msg": "no"}, "Copy it").startswith("The task 'Copy it' failed: no. Remedy: ")
