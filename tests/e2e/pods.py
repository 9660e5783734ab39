# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module wasinn_probe as a pod of a real cluster, in this process."""

from __future__ import annotations

from typing import Any

from tests import working_tree

from .cluster import Cluster

working_tree.use()

from ansible_collections.wasinn.cluster.plugins.modules import wasinn_probe  # noqa: E402

#: (what is changed of a probe that answers, check, words of the cause, words of the remedy)
FAILURES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "no such node": ({"node": "node9"}, "node_missing", "no node node9", "role k3s"),
    "no such class": (
        {"runtime_class": "none"},
        "runtime_class_missing",
        "no RuntimeClass none",
        "wasinn.cluster.site",
    ),
    "no such namespace": ({"pod_namespace": "none"}, "namespace_missing", "no namespace none", "wasinn.cluster.site"),
    "no such image": ({"image": "wasinn.local/none:1"}, "image_missing", "wasinn.local/none:1", "Import it"),
    "an image to be pulled": (
        {"image": "registry.invalid/none:1", "image_pull_policy": "Always"},
        "image_pull",
        "could not pull the image",
        "k3s_registries",
    ),
    "no such model": ({"model": "/var/lib/wasinn/models/none.gguf"}, "model_missing", "no model file", "volume"),
    "more than a node has": (
        {"resources": {"requests": {"memory": "1000Gi"}}},
        "node_full",
        "not enough memory left",
        "request less",
    ),
}


def probe(cluster: Cluster, image: str, model: str, /, **changed: Any) -> dict[str, Any]:
    """What the module returns."""
    defaults = {name: spec.get("default") for name, spec in wasinn_probe.ARGUMENT_SPEC.items()}
    usual = {"mode": "pod", "kubeconfig": str(cluster.kubeconfig), "node": "node2", "image": image, "model": model}
    return wasinn_probe.probe_pod({**defaults, **usual, "image_pull_policy": "Never", "max_tokens": 8, **changed})
