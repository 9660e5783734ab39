# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the balancer's replicas say (admin API, ``/api/status``) as the report's rows; each replica counts for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Data = Mapping[str, Any]


def balancer_row(balancer: Data) -> dict[str, Any]:
    """The balancer as it was given, with a row for each replica's status."""
    if "replicas" not in balancer:
        return dict(balancer)
    return {**balancer, "replicas": [_replica(each) for each in balancer["replicas"]]}


def _replica(replica: Data) -> dict[str, Any]:
    status = replica["status"]
    return {
        "pod": replica["pod"],
        "node": replica["node"],
        "answered": bool(status),
        "draining": bool(status.get("draining")),
        "pools": [_pool(each) for each in status.get("pools", [])],
    }


def _pool(pool: Data) -> dict[str, Any]:
    figures = ("name", "model", "weight", "in_flight", "waiting", "queue_limit")
    return {
        **{key: pool[key] for key in figures},
        "requests": pool["totals"]["requests"],
        "errors": pool["totals"]["errors"],
        "endpoints": [
            {
                **{key: each[key] for key in ("address", "pod", "node", "state", "in_flight", "slots")},
                "reason": each["reason"] or "",
            }
            for each in pool["endpoints"]
        ],
    }
