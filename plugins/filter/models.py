# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on the model catalogue."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

#: What an entry has where it says nothing; the argument spec of the role models says the same.
DEFAULTS: dict[str, Any] = {
    "kind": "chat",
    "context": 2048,
    "prompt_template": "",
    "server": {},
    "args": [],
    "env": {},
    "aliases": [],
    "weight": 1,
    "slots": 1,
    "replicas": None,
    "autoscale": {},
    "gpu": 0,
    "resources": {},
    "hosts": [],
    "node_selector": {},
    "labels": {},
    "annotations": {},
    "priority_class": "",
    "topology_spread": [],
    "max_surge": 1,
    "max_unavailable": 0,
    "drain_seconds": None,
}

#: Where a model's file can come from, and the part of it that names the file.
SOURCES = {"path": "", "url": "", "huggingface": "file", "s3": "key", "oci": "file"}


def models_on(
    catalogue: Iterable[Mapping[str, Any]],
    host: str | None = None,
    labels: Mapping[str, Iterable[str]] | None = None,
) -> list[dict[str, Any]]:
    """Return the catalogue with its defaults and each model's C(file) name.

    With C(host), only the models which this inventory host keeps: it is one of the model's C(hosts), if there are any,
    and no label of its C(node_selector) that the inventory gives to hosts (C(labels), C(key=value) by host) is another
    or missing here.
    """
    models = []
    for entry in catalogue:
        # A nested option that was left out arrives from the argument spec as null.
        model = {**DEFAULTS, **{key: value for key, value in entry.items() if value is not None}}
        for key in ("server", "autoscale"):
            model[key] = {name: value for name, value in model[key].items() if value is not None}
        model["file"] = file_name(model)
        models.append(model)
    if host is not None:
        own, known = (labels or {}).get(host, ()), _keys(labels or {})
        models = [model for model in models if _keeps(model, host, own, known)]
    return models


def models_homes(catalogue: Iterable[Mapping[str, Any]], labels: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Return the names of the models that each host keeps (C(on)), and on how many hosts each model is (C(keepers)).

    C(labels) as for models_on(). In one call for all hosts: where each host went through the labels of all of them, the work
    grew with the square of their number.
    """
    models = models_on(catalogue)
    known = _keys(labels)
    on = {
        host: [model.get("name", "") for model in models if _keeps(model, host, labels.get(host, ()), known)]
        for host in labels
    }
    counts = Counter(name for names in on.values() for name in names)
    keepers = {name: counts[name] for name in (model.get("name", "") for model in models)}
    return {"on": on, "keepers": keepers}


def file_name(model: Mapping[str, Any]) -> str:
    """The name of a model's file on the nodes: its C(file), else the last part of its source's name."""
    if model.get("file"):
        return str(model["file"])
    for kind, part in SOURCES.items():
        source = model.get(kind)
        if source and isinstance(source, Mapping):
            source = source.get(part)
        if source:
            return posixpath.basename(unquote(urlsplit(source).path) if kind == "url" else source)
    return f"{model.get('name', '')}.gguf"


def _keys(labels: Mapping[str, Iterable[str]]) -> set[str]:
    """The keys of all labels that the inventory gives to hosts."""
    return {label.partition("=")[0] for given in labels.values() for label in given}


def _keeps(model: Mapping[str, Any], host: str, labels: Iterable[str], known: set[str]) -> bool:
    """Whether a host with these labels may run the model's pods, as far as the inventory's labels tell."""
    wanted = {f"{key}={value}" for key, value in (model["node_selector"] or {}).items() if key in known}
    return (not model["hosts"] or host in model["hosts"]) and wanted <= set(labels)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"models_on": models_on, "models_homes": models_homes}
