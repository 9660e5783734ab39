# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on Deployments and pods as the cluster shows them."""

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


def unready_pods(pods: Iterable[Mapping[str, Any]], names: Iterable[str]) -> list[dict[str, str]]:
    """Return C(name) and a phrase (C(why)) for each pod of the Deployments C(names) that is not ready."""
    prefixes = tuple(f"{name}-" for name in names)
    found = []
    for pod in pods:
        name = pod["metadata"]["name"]
        conditions = {item["type"]: item for item in (pod.get("status") or {}).get("conditions") or []}
        ready = (conditions.get("Ready") or {}).get("status") == "True"
        if name.startswith(prefixes) and not ready and not pod["metadata"].get("deletionTimestamp"):
            where = pod["spec"].get("nodeName")
            found.append({"name": name, "why": f"{name}{f' on {where}' if where else ''} {_state(pod, conditions)}"})
    return found


def _state(pod: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> str:
    """How a pod that is not ready is, from the most to the least telling."""
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return f"is not scheduled ({scheduled.get('message') or scheduled.get('reason')})"
    for container in pod["status"].get("containerStatuses") or []:
        last = (container.get("lastState") or {}).get("terminated") or {}
        state = container.get("state") or {}
        ended = state.get("terminated") or last
        if ended:
            return f"ended with {ended.get('exitCode')} ({_why(ended)}) and was restarted {container['restartCount']} times"
        if waiting := state.get("waiting"):
            return f"waits ({_why(waiting)})"
    return f"is {pod['status'].get('phase')}, but not ready"


def _why(state: Mapping[str, Any]) -> str:
    """Reason and message of a container's state, as far as there are any."""
    return ": ".join(filter(None, (state.get("reason"), (state.get("message") or "").strip())))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"rollouts_pending": rollouts_pending, "unready_pods": unready_pods}
