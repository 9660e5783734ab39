# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on the models' files: what is asked of sources and nodes, and who gives a file to whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.wasinn.cluster.plugins.filter.models import SOURCES
from ansible_collections.wasinn.cluster.plugins.module_utils.model_memory import limit_findings

#: How many nodes that have a file from the start a node is told of; the others it gets to know by their distance from it.
SOURCES_TOLD = 4
#: Up to so many nodes each one is told of all others.
ALL_TOLD = 16


def models_fetched(models: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the models as M(wasinn.cluster.artifact_fetch) takes them."""
    keys = ("name", "sha256", *SOURCES)
    return [{key: _given(model[key]) for key in keys if model.get(key)} for model in models]


def _given(value: Any) -> Any:
    """A source without the options that were left out, which arrive from the argument spec as null."""
    return {key: item for key, item in value.items() if item is not None} if isinstance(value, Mapping) else value


def models_wanted(
    models: Iterable[Mapping[str, Any]], known: Mapping[str, Any], keepers: Mapping[str, int], here: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the models as M(wasinn.cluster.model_preflight) takes them on a host.

    C(known) is what M(wasinn.cluster.model_source_info) said, C(keepers) on how many hosts each model is, C(here) are the
    names of those that are on this one.
    """
    names = set(here)
    wanted = []
    for model in models:
        told = known.get(model["name"]) or {}
        memory = (told.get("model") or {}).get("memory") or {}
        pods = model.get("replicas") or (model.get("autoscale") or {}).get("max") or 1
        limits = (model.get("resources") or {}).get("limits") or {}
        wanted.append(
            {
                "name": model["name"],
                "file": model["file"],
                "sha256": told.get("sha256") or model.get("sha256") or "",
                "size": told.get("size") or 0,
                "weights": memory.get("weights") or 0,
                "kv_cache": memory.get("kv_cache") or 0,
                "context": memory.get("context") or 0,
                "pods": -(-int(pods) // keepers[model["name"]]) if model["name"] in names else 0,
                "limit": str(limits.get("memory") or ""),
            }
        )
    return wanted


def models_plan(looks: Mapping[str, Mapping[str, Any]], distribution: str) -> dict[str, Any]:
    """Return the C(files) that some host lacks, and by host (C(hosts)) which of them it gets from the controller (C(copies)),
    which ones from which other hosts (C(pulls)), and whether it C(gives) any.

    A host looks up its own part and no more, so that the work does not grow with the square of the hosts. C(looks) is what
    M(wasinn.cluster.model_preflight) returned on each host. Without a checksum nobody pulls. With C(distribution) C(shared) the
    first host gets a copy of everything; with C(peers) the copies are divided between the hosts, one of each file, and none of
    a file that some host has already.
    """
    files: dict[str, dict[str, dict[str, Any]]] = {}
    for host, look in looks.items():
        for file, state in look["files"].items():
            files.setdefault(file, {})[host] = state
    hosts: dict[str, dict[str, Any]] = {host: {"copies": [], "pulls": {}, "gives": False} for host in looks}
    lacking: list[str] = []
    for file, states in sorted(files.items()):
        have = [host for host, state in states.items() if state["state"] == "present"]
        lack = [host for host in states if host not in have]
        copy = lack
        if distribution == "shared":
            copy = lack[:1] and [next(iter(looks))]
        elif distribution == "peers" and lack and all(state["wanted"] for state in states.values()):
            # Whoever has the most of it already carries on; the others take turns.
            most = max(states[host]["part"] for host in lack)
            furthest = [host for host in lack if states[host]["part"] == most]
            copy = [] if have else [furthest[len(lacking) % len(furthest)]]
        if lack:
            lacking.append(file)
            copied = set(copy)
            pull = [host for host in lack if host not in copied] if distribution == "peers" else []
            for host in copy:
                hosts[host]["copies"].append(file)
            for host, givers in _givers(have + copy, pull).items():
                hosts[host]["pulls"][file] = givers
            for host in have + copy + pull if pull else []:
                hosts[host]["gives"] = True
    return {"files": lacking, "hosts": hosts}


def _givers(sources: list[str], pullers: list[str]) -> dict[str, list[str]]:
    """Whom each puller asks for a file: in a large cluster some sources, and pullers in twice as large a distance each.

    So that everyone is a few steps from everyone else, and nobody has to be told of all.
    """
    if len(sources) + len(pullers) <= ALL_TOLD:
        everyone = sources + pullers
        return {host: [other for other in everyone if other != host] for host in pullers}
    told = {}
    for index, host in enumerate(pullers):
        first = index * SOURCES_TOLD
        some = [sources[(first + step) % len(sources)] for step in range(min(SOURCES_TOLD, len(sources)))]
        steps = [1 << power for power in range((len(pullers) - 1).bit_length())]
        near = [pullers[(index + step) % len(pullers)] for step in steps]
        told[host] = some + [other for other in dict.fromkeys(near) if other != host]
    return told


def models_limits(wanted: Iterable[Mapping[str, Any]], overhead: int) -> list[dict[str, str]]:
    """Return a finding for each model whose pods may not have the memory they need."""
    return limit_findings(wanted, overhead)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {
            "models_fetched": models_fetched,
            "models_wanted": models_wanted,
            "models_plan": models_plan,
            "models_limits": models_limits,
        }
