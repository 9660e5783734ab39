# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster's entries in somebody's kubeconfig."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.filter.kubeconfigs import kubeconfig_merged


def config(name: str, server: str = "https://10.0.0.1:6443") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {"token": name}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def names(found: dict[str, Any], kind: str) -> list[str]:
    return [entry["name"] for entry in found[kind]]


def test_an_empty_file_becomes_ours():
    found = kubeconfig_merged(config("wasinn"), "", "/config")
    assert {key: found[key] for key in config("wasinn")} == config("wasinn")


def test_others_stay_and_so_does_what_is_current():
    text = yaml.safe_dump({**config("work"), "extensions": ["x"]})
    found = kubeconfig_merged(config("wasinn"), text, "/config")
    assert all(names(found, kind) == ["work", "wasinn"] for kind in ("clusters", "users", "contexts"))
    assert (found["current-context"], found["extensions"]) == ("work", ["x"])


def test_a_second_time_changes_nothing_and_a_new_address_is_taken():
    once = kubeconfig_merged(config("wasinn"), yaml.safe_dump(config("work")), "/config")
    assert kubeconfig_merged(config("wasinn"), yaml.safe_dump(once), "/config") == once
    moved = kubeconfig_merged(config("wasinn", "https://10.0.0.2:6443"), yaml.safe_dump(once), "/config")
    assert names(moved, "clusters") == ["work", "wasinn"]
    assert moved["clusters"][1]["cluster"]["server"] == "https://10.0.0.2:6443"


@pytest.mark.parametrize("text", ["just words", "- a list", "clusters: {}x: [", "clusters: some"])
def test_what_is_no_kubeconfig_is_left_alone(text):
    with pytest.raises(AnsibleFilterError, match="/config is no kubeconfig, so nothing was merged"):
        kubeconfig_merged(config("wasinn"), text, "/config")
