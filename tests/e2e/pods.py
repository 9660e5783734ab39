# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods of a real cluster: the module wasinn_probe's, in this process, and such as run a module of a few instructions."""

from __future__ import annotations

import base64
from typing import Any

from extensions.molecule.node.tests import wasm_modules
from tests import working_tree

from .cluster import Cluster

working_tree.use()

from ansible_collections.wasinn.cluster.plugins.module_utils.oci_image import Image, build  # noqa: E402
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


def greedy(cluster: Cluster, node: str) -> dict[str, Any]:
    """A pod that fills more memory than its limit, which is wide enough for the shim."""
    image = _bring(cluster, node, "fills", wasm_modules.fills(512))
    spec = _spec(node, image, resources={"limits": {"memory": "256Mi"}})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "greedy"},
        "spec": {**spec, "restartPolicy": "Never"},
    }


def many(cluster: Cluster, node: str, replicas: int) -> dict[str, Any]:
    """A Deployment of so many pods that wait, all on one node."""
    labels = {"app": "many"}
    spec = _spec(node, _bring(cluster, node, "sleeps", wasm_modules.sleeps(900)))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _bring(cluster: Cluster, node: str, name: str, module: bytes) -> str:
    """Import a module as an image that the node's kubelet finds; gives the image's name."""
    reference, place = f"wasinn.test/{name}:1", f"/run/wasinn-{name}.tar"
    archive = base64.b64encode(build(Image(reference), f"{name}.wasm", module).archive).decode()
    load = f"k3s ctr -n k8s.io images import --all-platforms {place} && rm {place}"
    cluster.run(node, f"base64 -d >{place} && {load}", stdin=archive)
    return reference


def _spec(node: str, image: str, **container: Any) -> dict[str, Any]:
    return {
        "runtimeClassName": "wasinn",
        "nodeSelector": {"kubernetes.io/hostname": node},
        "automountServiceAccountToken": False,
        "containers": [{"name": "wasm", "image": image, "imagePullPolicy": "Never", **container}],
    }


#: What containers have on a machine, a line each; of cgroups those of pods alone, since the kubelet keeps that of each class of them.
TRACES = {
    "processes": "ps -eo stat=,pid=,comm= | awk '!/^Z/ && /containerd-shim/ { print $2 }'",
    "mounts": "awk '{ print $2 }' /proc/mounts",
    "cgroups": "find /sys/fs/cgroup -type d -path '*kubepods*pod????????[-_]*'",
    "sockets": "find /run/containerd/s -type s",
    "folders": "find /run/containerd /run/k3s/containerd -path '*/k8s.io/*' -prune",
}


def traces(cluster: Cluster, node: str) -> dict[str, set[str]]:
    """What is there now; a container may go while it is looked for, which ``find`` calls an error."""
    return {kind: set(cluster.run(node, line, check=False).stdout.split()) for kind, line in TRACES.items()}


def added(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is new, by kind."""
    return {kind: after[kind] - before[kind] for kind in TRACES}
