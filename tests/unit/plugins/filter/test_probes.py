# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Baselines of probes, and failures taken as findings."""

from __future__ import annotations

from ansible_collections.wasinn.cluster.plugins.filter.findings import failure_finding
from ansible_collections.wasinn.cluster.plugins.filter.probes import probe_baseline

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
