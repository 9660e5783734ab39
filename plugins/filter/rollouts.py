# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on Deployments as the cluster shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def rollouts_pending(deployments: Iterable[Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    """Return one phrase for each of C(names) whose Deployment is missing or not rolled out.

    A rollout is complete as C(kubectl rollout status) sees it: the newest revision was observed, all of its
    replicas are available, and no pod of an older one is left. The wanted replicas are the cluster's, since an
    autoscaler may have changed them.
    """
    found = {item["metadata"]["name"]: item for item in deployments}
    return [phrase for name in names if (phrase := _pending(name, found.get(name)))]


def _pending(name: str, item: Mapping[str, Any] | None) -> str:
    """What is still missing, or nothing."""
    if item is None:
        return f"{name} has no Deployment"
    wanted = item["spec"].get("replicas", 1)
    status = item.get("status") or {}
    updated, available, total = (status.get(key) or 0 for key in ("updatedReplicas", "availableReplicas", "replicas"))
    if (status.get("observedGeneration") or 0) < item["metadata"].get("generation", 0):
        return f"{name} has a newer specification than was seen"
    if updated < wanted:
        return f"{name} has {updated} of {wanted} pods of the newest kind"
    if total > updated:
        return f"{name} still has {total - updated} old pods"
    if available < wanted:
        return f"{name} has {available} of {wanted} pods ready"
    return ""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"rollouts_pending": rollouts_pending}
