# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether models fit into memory: weights and KV cache from the GGUF header, times the pods that may be there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding, human_bytes

# Kubernetes' quantities (k8s.io/apimachinery, resource.Quantity).
_UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity such as ``512Mi``; 0 for text that is none."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kMGT]i?|Ki)?\s*", str(text))
    return (
        int(float(found.group(1)) * _UNITS[found.group(2) or ""]) if found and (found.group(2) or "") in _UNITS else 0
    )


def pod_bytes(model: Mapping[str, Any], overhead: int) -> int:
    """Memory of one pod: weights, KV cache and what the runtime takes besides; 0 where the header is not known."""
    return model["weights"] + model["kv_cache"] + overhead if model.get("weights") else 0


def node_findings(models: Iterable[Mapping[str, Any]], memory: int, overhead: int) -> list[Finding]:
    """A finding if the models' pods that at least one node has to take do not fit into this node.

    :param models: each with ``name``, ``weights``, ``kv_cache`` (bytes), ``context`` (tokens) and ``pods``.
    :param memory: the node's, in bytes.
    """
    sizes = [(model, model["pods"] * pod_bytes(model, overhead)) for model in models]
    needed = sum(size for _model, size in sizes)
    if not memory or needed <= memory:
        return []
    parts = [_part(model, size, overhead) for model, size in sizes if size]
    cause = (
        f"The models that may run here need {human_bytes(needed)} of memory, and this machine has {human_bytes(memory)}: "
        f"{'; '.join(parts)}."
    )
    remedy = (
        "Give a model a smaller context, fewer replicas or more hosts, take a smaller quantisation, "
        "or give the machine more memory."
    )
    return [finding("model_memory", cause, remedy)]


def limit_findings(models: Iterable[Mapping[str, Any]], overhead: int) -> list[Finding]:
    """A finding for each model whose pods may not have as much memory (``limit``, a quantity) as they need."""
    found = []
    for model in models:
        limit, needed = quantity(model.get("limit") or ""), pod_bytes(model, overhead)
        if limit and limit < needed:
            cause = (
                f"A pod of the model {model['name']} needs {human_bytes(needed)} of memory ({_shares(model, overhead)}), "
                f"and its limit is {human_bytes(limit)}."
            )
            remedy = f"Set resources.limits.memory of the model to {-(-needed // 2**20)}Mi or more, or give it a smaller context."
            found.append(finding("model_limit", cause, remedy))
    return found


def _part(model: Mapping[str, Any], size: int, overhead: int) -> str:
    return f"{model['name']} {human_bytes(size)} ({model['pods']} x ({_shares(model, overhead)}))"


def _shares(model: Mapping[str, Any], overhead: int) -> str:
    return (
        f"{human_bytes(model['weights'])} of weights + {human_bytes(model['kv_cache'])} of KV cache for "
        f"{model['context']} tokens + {human_bytes(overhead)} of runtime"
    )
