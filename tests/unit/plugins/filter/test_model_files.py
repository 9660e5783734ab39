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
from ansible_collections.wasinn.cluster.plugins.filter.models import models_homes, models_on

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
    (here,) = models_wanted(models_on([model]), known, {"m": 2}, ["m"])
    assert (here["pods"], here["limit"], here["size"], here["weights"]) == (3, "1Gi", 9, 7)
    (there,) = models_wanted(models_on([model]), known, {"m": 2}, [])
    assert there["pods"] == 0


def look(**states: tuple[str, int]) -> dict[str, Any]:
    return {
        "files": {
            f"{name}.gguf": {"state": state, "part": part, "wanted": "f"} for name, (state, part) in states.items()
        }
    }


def copies(plan: dict[str, Any]) -> dict[str, list[str]]:
    return {host: part["copies"] for host, part in plan["hosts"].items() if part["copies"]}


GONE, HERE = ("missing", 0), ("present", 0)


def test_each_file_leaves_the_controller_once() -> None:
    looks = {host: look(x=GONE, y=GONE) for host in ("a", "b", "c")}
    plan = models_plan(looks, "peers")
    assert plan["files"] == ["x.gguf", "y.gguf"]
    assert plan["hosts"]["a"] == {"copies": ["x.gguf"], "pulls": {"y.gguf": ["b", "c"]}, "gives": True}
    assert plan["hosts"]["b"] == {
        "copies": ["y.gguf"],
        "pulls": {"x.gguf": ["a", "c"]},
        "gives": True,
    }  # they take turns
    assert plan["hosts"]["c"]["pulls"] == {"x.gguf": ["a", "b"], "y.gguf": ["b", "a"]}


def test_what_a_node_has_does_not_leave_the_controller() -> None:
    plan = models_plan({"a": look(x=GONE), "b": look(x=HERE), "c": look(x=("other", 0))}, "peers")["hosts"]
    assert plan["b"] == {"copies": [], "pulls": {}, "gives": True}
    assert plan["a"] == {"copies": [], "pulls": {"x.gguf": ["b", "c"]}, "gives": True}


def test_whoever_has_most_of_it_carries_on() -> None:
    plan = models_plan({"a": look(x=GONE), "b": look(x=("missing", 700)), "c": look(x=("missing", 10))}, "peers")
    assert copies(plan) == {"b": ["x.gguf"]}


def test_without_a_checksum_nobody_pulls() -> None:
    looks = {host: look(x=GONE) for host in ("a", "b")}
    looks["a"]["files"]["x.gguf"]["wanted"] = ""
    plan = models_plan(looks, "peers")
    assert copies(plan) == {"a": ["x.gguf"], "b": ["x.gguf"]}
    assert not any(part["pulls"] or part["gives"] for part in plan["hosts"].values())


def test_the_other_ways() -> None:
    looks = {"a": look(), "b": look(x=GONE), "c": look(x=GONE)}
    assert copies(models_plan(looks, "controller")) == {"b": ["x.gguf"], "c": ["x.gguf"]}
    assert copies(models_plan(looks, "shared")) == {"a": ["x.gguf"]}
    assert models_plan({"a": look(x=HERE)}, "peers") == {
        "files": [],
        "hosts": {"a": {"copies": [], "pulls": {}, "gives": False}},
    }


def test_in_a_large_cluster_nobody_is_told_of_all_and_everyone_is_reached() -> None:
    hosts = [f"n{number}" for number in range(200)]
    plan = models_plan({host: look(x=GONE) for host in hosts}, "peers")["hosts"]
    asks = {host: part["pulls"].get("x.gguf", []) for host, part in plan.items()}
    assert plan["n0"]["copies"] == ["x.gguf"]
    assert all("n0" in others and host not in others for host, others in asks.items() if host != "n0")
    assert max(map(len, asks.values())) <= 4 + 8  # sources, and as many others as 200 has binary digits
    have, rounds = {"n0"}, 0
    while len(have) < len(hosts):  # without the source's help after the first round: others give on what they got
        have |= {host for host, others in asks.items() if have & set(others) - {"n0"}} if rounds else {"n1"}
        rounds += 1
    assert rounds <= 1 + 8


def test_where_models_are_is_known_for_all_hosts_at_once() -> None:
    labels = {"a": ["gpu=true"], "b": ["gpu=false"], "c": []}
    catalogue: list[dict[str, Any]] = [
        {"name": "all", "path": "/all.gguf"},
        {"name": "gpus", "path": "/gpus.gguf", "node_selector": {"gpu": "true"}},
        {"name": "named", "path": "/named.gguf", "hosts": ["c"]},
    ]
    homes = models_homes(catalogue, labels)
    assert homes == {
        "on": {"a": ["all", "gpus"], "b": ["all"], "c": ["all", "named"]},
        "keepers": {"all": 3, "gpus": 1, "named": 1},
    }
    assert homes["on"] == {host: [model["name"] for model in models_on(catalogue, host, labels)] for host in labels}
