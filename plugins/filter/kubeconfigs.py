# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on kubeconfig files (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError

_NAMED = ("clusters", "users", "contexts")


def kubeconfig_merged(ours: Mapping[str, Any], text: str, path: str) -> dict[str, Any]:
    """Return the kubeconfig C(text) of the file C(path) with the entries of C(ours), which replace those of the same name.

    The current context stays, unless there is none.
    """
    try:
        there = yaml.safe_load(text)
    except yaml.YAMLError:
        there = text
    if there is None:
        there = {}
    if not isinstance(there, dict) or not all(isinstance(there.get(kind) or [], list) for kind in _NAMED):
        raise AnsibleFilterError(
            f"{path} is no kubeconfig, so nothing was merged into it: mend it, or name another file."
        )
    merged = {"apiVersion": "v1", "kind": "Config", **there}
    for kind in _NAMED:
        new = {entry["name"]: entry for entry in ours[kind]}
        kept = [new.pop(entry["name"], entry) for entry in there.get(kind) or []]
        merged[kind] = [*kept, *new.values()]
    merged["current-context"] = there.get("current-context") or ours["current-context"]
    merged.setdefault("preferences", {})
    return merged


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"kubeconfig_merged": kubeconfig_merged}
