# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What in a report's document is wrong (error) or wants a look (warning), each with cause and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

Data = Mapping[str, Any]
#: What to do about a pod that is not ready, by the reason Kubernetes gives.
REMEDIES = {
    "CrashLoopBackOff": "See why it ends: kubectl logs --previous.",
    "ImagePullBackOff": "Import or push the image (role workload), and see that its name is right.",
    "ErrImagePull": "Import or push the image (role workload), and see that its name is right.",
    "ErrImageNeverPull": "Import the image on this node (role workload).",
    "OOMKilled": "Raise the model's memory limit, or lower its context.",
    "Unschedulable": "See which node may take it: label wasinn.cluster/runs-models, free memory, taints.",
    "CreateContainerError": "See the pod's events: the shim says there what it missed.",
    "StartError": "See the pod's events: the shim says there what it missed.",
}


def judge(document: Data, data: Data) -> list[dict[str, str]]:
    """The findings about nodes, probes, pods, the balancer and services."""
    peers = _speeds(document)
    found = [each for node in document["nodes"] for each in _of_node(node, peers)]
    found += [each for pod in document["pods"] for each in _of_pod(pod, int(data["restarts"]))]
    found += [each for replica in document["balancer"].get("replicas", []) for each in _of_replica(replica)]
    return found + [each for service in document["services"] for each in _of_service(service)]


def _of_node(node: Data, peers: Mapping[str, list[float]]) -> Iterator[dict[str, str]]:
    name = node["name"]
    if not node["ready"]:
        yield _error("node_not_ready", name, f"Node {name} is not Ready.", "See the journal of k3s on it.")
    for pressure in node["pressure"]:
        yield _error(
            "node_pressure", name, f"Node {name} is under {pressure}.", "Free what it is short of, or add nodes."
        )
    if node["cordoned"]:
        yield _warning(
            "node_cordoned", name, f"Node {name} takes no new pods.", f"kubectl uncordon {name}, if it is to."
        )
    if node["runtime"] and not node["verified"]:
        cause = f"Node {name} has a runtime, but its last probe did not pass."
        yield _error("node_unverified", name, cause, "Run wasinn.cluster.verify, which says why.")
    for probe in node["probes"]:
        for each in probe["findings"]:
            yield _error(each["check"], name, each["cause"], each["remedy"])
        yield from _slow(name, probe, peers)


def _slow(name: str, probe: Data, peers: Mapping[str, list[float]]) -> Iterator[dict[str, str]]:
    speed, model = probe["tokens_per_second"], probe["model"]
    others = {"its own baseline": probe["baseline_tokens_per_second"]}
    if len(peers.get(model, [])) > 1:
        others["the median of all nodes"] = median(peers[model])
    for whose, usual in others.items():
        if 0 < speed < usual / 2:
            cause = f"Node {name} generates {speed:g} tokens/s with {model}, less than half of {whose} ({usual:g})."
            yield _warning("probe_slow", name, cause, "See what else runs on it, and its CPU's frequency.")


def _speeds(document: Data) -> dict[str, list[float]]:
    speeds: dict[str, list[float]] = {}
    for node in document["nodes"]:
        for probe in node["probes"]:
            if probe["tokens_per_second"]:
                speeds.setdefault(probe["model"], []).append(probe["tokens_per_second"])
    return speeds


def _of_pod(pod: Data, restarts: int) -> Iterator[dict[str, str]]:
    subject = f"{pod['namespace']}/{pod['name']}"
    if not pod["whole"]:
        cause = f"Pod {subject} is not ready: {pod['ready']} containers, {pod['reason'] or pod['phase']}."
        remedy = REMEDIES.get(pod["reason"], f"See kubectl describe pod -n {pod['namespace']} {pod['name']}.")
        yield _error("pod_not_ready", subject, cause, remedy)
    if pod["last"] == "OOMKilled":
        cause = f"A container of pod {subject} was ended for want of memory."
        yield _warning("pod_oom", subject, cause, REMEDIES["OOMKilled"])
    if pod["restarts"] > restarts:
        cause = f"Pod {subject} was restarted {pod['restarts']} times ({pod['last'] or 'no reason is kept'})."
        yield _warning("pod_restarts", subject, cause, REMEDIES["CrashLoopBackOff"])


def _of_service(service: Data) -> Iterator[dict[str, str]]:
    subject = f"{service['namespace']}/{service['name']}"
    if not service["selects"] or service["ready_endpoints"]:
        return
    if service["endpoints"]:
        cause = f"None of the {service['endpoints']} endpoints of Service {subject} is ready."
        yield _error("service_not_ready", subject, cause, "See the pods behind it.")
    else:
        cause = f"No pod stands behind Service {subject}."
        yield _warning(
            "service_empty", subject, cause, "Raise its Deployment's replicas, unless none is what you want."
        )


def _of_replica(replica: Data) -> Iterator[dict[str, str]]:
    if not replica["answered"]:
        cause = f"The balancer's pod {replica['pod']} on node {replica['node']} did not tell its state."
        yield _warning("balancer_silent", replica["pod"], cause, f"See kubectl logs of {replica['pod']}.")
    for pool in replica["pools"]:
        for each in pool["endpoints"]:
            if each["state"] == "ejected":
                whose = f"endpoint {each['address']} ({each['pod'] or 'no pod'}) of {pool['name']}"
                cause = f"The balancer leaves out {whose} for failing ({each['reason'] or 'no reason is kept'})."
                yield _warning("balancer_ejected", pool["name"], cause, "See its pod's log; it fails what it is asked.")


def _error(check: str, subject: str, cause: str, remedy: str) -> dict[str, str]:
    return {"severity": "error", "check": check, "subject": subject, "cause": cause, "remedy": remedy}


def _warning(check: str, subject: str, cause: str, remedy: str) -> dict[str, str]:
    return {**_error(check, subject, cause, remedy), "severity": "warning"}
