# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters: findings as text, and the model catalogue."""

from __future__ import annotations

from ansible_collections.wasinn.cluster.plugins.filter.findings import findings_text
from ansible_collections.wasinn.cluster.plugins.filter.models import models_on

DISK = {"check": "disk", "cause": "/var is full.", "remedy": "Free 2 GiB."}
PORT = {"check": "port", "cause": "6443 is taken.", "remedy": "Stop nginx."}


def test_no_findings_give_no_text():
    assert findings_text({"a": {}, "b": {"node_findings": []}}, ["a", "b"]) == ""


def test_findings_of_all_hosts_are_told_in_order():
    text = findings_text(
        {"a": {"node_findings": [DISK, PORT]}, "b": {"node_findings": [PORT]}, "c": {}}, ["b", "a", "c"]
    )
    assert text.splitlines() == [
        "3 findings stand in the way:",
        "b: [port] 6443 is taken. Remedy: Stop nginx.",
        "a: [disk] /var is full. Remedy: Free 2 GiB.",
        "a: [port] 6443 is taken. Remedy: Stop nginx.",
    ]


def test_hosts_outside_the_play_are_not_told():
    assert findings_text({"a": {"node_findings": [DISK]}, "b": {}}, ["b"]) == ""


def test_models_get_defaults_and_their_file():
    (model,) = models_on([{"name": "m", "url": "https://h.example/x/A%20b.gguf?download=true"}])
    assert model["file"] == "A b.gguf"
    assert (model["context"], model["replicas"], model["kind"]) == (2048, None, "chat")


def test_a_path_wins_over_a_url_and_keeps_its_values():
    (model,) = models_on([{"name": "m", "url": "https://h.example/a.gguf", "path": "/data/b.gguf", "context": 512}])
    assert (model["file"], model["context"]) == ("b.gguf", 512)


def test_a_host_keeps_only_its_models():
    catalogue = [
        {"name": "everywhere", "path": "/a.gguf"},
        {"name": "here", "path": "/b.gguf", "hosts": ["n1"]},
        {"name": "there", "path": "/c.gguf", "hosts": ["n2"]},
    ]
    assert [model["name"] for model in models_on(catalogue, "n1")] == ["everywhere", "here"]
    assert len(models_on(catalogue)) == 3
