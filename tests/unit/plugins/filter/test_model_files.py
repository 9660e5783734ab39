# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files go where, and from whom."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wasinn.cluster.plugins.filter.model_files import (
    models_fetched,
    models_plan,
    models_wanted,
)
from ansible_collections.wasinn.cluster.plugins.filter.models import models_on

HUB = {"repo": "org/repo", "file": "sub/a.gguf", "revision": None}


@pytest.mark.parametrize(
    ("entry", "file"),
    [
        ({"path": "/models/a b.gguf"}, "a b.gguf"),
        ({"url": "https://example.org/x/a%20b.gguf?download=true"}, "a b.gguf"),
        ({"huggingface": HUB}, "a.gguf"),
        ({"s3": {"bucket": "b", "key": "x/y.gguf"}}, "y.gguf"),
        ({"oci": {"reference": "example.org/a:1"}}, "name.gguf"),
        ({"oci": {"reference": "example.org/a:1", "file": "b.gguf"}}, "b.gguf"),
        ({"huggingface": HUB, "file": "mine.gguf"}, "mine.gguf"),
    ],
)
def test_the_names_of_files(entry: dict[str, Any], file: str) -> None:
    assert models_on([{"name": "name", **entry}])[0]["file"] == file


def test_labels_decide_where_the_inventory_knows_them() -> None:
    labels = {"a": ["gpu=true", "zone=1"], "b": ["zone=2"], "c": []}

    def keepers(**selector: str) -> list[str]:
        model = {"name": "m", "url": "https://example.org/m.gguf", "node_selector": selector}
        return [host for host in labels if models_on([model], host, labels)]

    assert keepers(gpu="true") == ["a"]
    assert keepers(zone="2") == ["b"]
    assert keepers(gpu="true", zone="2") == []
    assert keepers(**{"kubernetes.io/arch": "amd64"}) == ["a", "b", "c"]


def test_what_was_left_out_is_not_passed_on() -> None:
    (entry,) = models_fetched(models_on([{"name": "m", "huggingface": HUB, "sha256": None}]))
    assert entry == {"name": "m", "huggingface": {"repo": "org/repo", "file": "sub/a.gguf"}}


def test_pods_are_divided_between_the_hosts_that_keep_the_model() -> None:
    model = {
        "name": "m",
        "path": "/m.gguf",
        "replicas": 5,
        "hosts": ["a", "b"],
        "resources": {"limits": {"memory": "1Gi"}},
    }
    known = {"m": {"sha256": "f" * 64, "size": 9, "model": {"memory": {"weights": 7, "kv_cache": 1, "context": 2}}}}
    labels: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    (here,) = models_wanted(models_on([model]), known, labels, "a")
    assert (here["pods"], here["limit"], here["size"], here["weights"]) == (3, "1Gi", 9, 7)
    (there,) = models_wanted(models_on([model]), known, labels, "c")
    assert there["pods"] == 0


def look(**states: tuple[str, int]) -> dict[str, Any]:
    return {
        "files": {
            f"{name}.gguf": {"state": state, "part": part, "wanted": "f"} for name, (state, part) in states.items()
        }
    }


GONE, HERE = ("missing", 0), ("present", 0)


def test_each_file_leaves_the_controller_once() -> None:
    looks = {host: look(x=GONE, y=GONE) for host in ("a", "b", "c")}
    plan = models_plan(looks, "peers")
    assert plan["x.gguf"] == {"give": ["a", "b", "c"], "copy": ["a"], "pull": ["b", "c"]}
    assert plan["y.gguf"]["copy"] == ["b"]  # they take turns


def test_what_a_node_has_does_not_leave_the_controller() -> None:
    plan = models_plan({"a": look(x=GONE), "b": look(x=HERE), "c": look(x=("other", 0))}, "peers")
    assert plan == {"x.gguf": {"give": ["b", "a", "c"], "copy": [], "pull": ["a", "c"]}}


def test_whoever_has_most_of_it_carries_on() -> None:
    plan = models_plan({"a": look(x=GONE), "b": look(x=("missing", 700)), "c": look(x=("missing", 10))}, "peers")
    assert plan["x.gguf"]["copy"] == ["b"]


def test_without_a_checksum_nobody_pulls() -> None:
    looks = {host: look(x=GONE) for host in ("a", "b")}
    looks["a"]["files"]["x.gguf"]["wanted"] = ""
    assert models_plan(looks, "peers")["x.gguf"] == {"give": [], "copy": ["a", "b"], "pull": []}


def test_the_other_ways() -> None:
    looks = {"a": look(), "b": look(x=GONE), "c": look(x=GONE)}
    assert models_plan(looks, "controller")["x.gguf"] == {"give": [], "copy": ["b", "c"], "pull": []}
    assert models_plan(looks, "shared")["x.gguf"] == {"give": [], "copy": ["a"], "pull": []}
    assert models_plan({"a": look(x=HERE)}, "peers") == {}
