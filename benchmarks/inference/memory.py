# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a second replica of a model costs, pages that it shares with the first counted once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .node import cgroup, charged_mib, kubectl, memory_mib, pods_of, shims_and_pods
from .peers import Pod

TOKENS = 16


def second_replica(namespace: str, model: str, prompt: str) -> Iterator[dict[str, Any]]:
    """Memory with one pod and with two, each after an answer, so that all weights were read."""
    for replicas in (1, 2):
        kubectl("scale", "-n", namespace, f"deployment/{model}", f"--replicas={replicas}", output=False)
        pods = pods_of(namespace, model, replicas)
        for pod in pods:
            Pod(pod).ask(prompt, TOKENS)
        groups = [cgroup("memory", pod["metadata"]["uid"]) for pod in pods]
        yield {
            "replicas": replicas,
            **memory_mib(shims_and_pods()),
            "charged": charged_mib(groups[0].parent),  # of all pods of this class
            "charged_pods": [charged_mib(group) for group in groups],
        }
    # Back to one without waiting for the drain: what follows has its own pods.
    kubectl("scale", "-n", namespace, f"deployment/{model}", "--replicas=1", output=False)
