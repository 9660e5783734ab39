# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on the model catalogue."""

from __future__ import annotations

import posixpath
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


def models_on(catalogue: Iterable[Mapping[str, Any]], host: str | None = None) -> list[dict[str, Any]]:
    """Return the catalogue with its defaults and each model's C(file) name.

    With C(host), only the models which this inventory host keeps.
    """
    models = []
    for entry in catalogue:
        # A nested option that was left out arrives from the argument spec as null.
        model = {**DEFAULTS, **{key: value for key, value in entry.items() if value is not None}}
        for key in ("server", "autoscale"):
            model[key] = {name: value for name, value in model[key].items() if value is not None}
        source = model.get("path") or unquote(urlsplit(model.get("url") or "").path)
        model["file"] = posixpath.basename(source)
        if host is None or not model["hosts"] or host in model["hosts"]:
            models.append(model)
    return models


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"models_on": models_on}
