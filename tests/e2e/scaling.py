# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An adapter for external metrics in the test's cluster, so that a HorizontalPodAutoscaler has something to ask."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .cluster import Cluster

PORT = 6453
GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
NAME: dict[str, str] = {"name": "external-metrics", "namespace": "kube-system"}
FOLDER = "/root/external-metrics"
PROGRAM = Path(__file__).with_name("external_metrics.py")
CERTIFICATE = "openssl req -x509 -newkey rsa:2048 -nodes -keyout both.pem -out crt.pem -days 2 -subj /CN=adapter 2>&1"


@contextmanager
def external_metrics(cluster: Cluster, address: str, balancers: Iterable[str]) -> Iterator[None]:
    """Serve the balancers' queues as external metrics, from node1, while the context lasts.

    :param address: node1's, where the API server finds the adapter.
    :param balancers: addresses of the balancer's pods, which have to let node1 in.
    """
    sources = " ".join(f"http://{balancer}:9090/queue.json" for balancer in balancers)
    assert sources, "there is no balancer to ask"
    program = base64.b64encode(PROGRAM.read_bytes()).decode()
    lines = [
        f"mkdir -p {FOLDER}",
        f"cd {FOLDER}",
        f"echo {program} | base64 -d >adapter.py",
        CERTIFICATE,
        "cat crt.pem >>both.pem",
        f"systemd-run --quiet --unit external-metrics python3 {FOLDER}/adapter.py {PORT} {FOLDER}/both.pem {sources}",
    ]
    cluster.run("node1", " && ".join(lines))
    cluster.apply(*_objects(address))
    try:
        yield
    finally:
        names = f"apiservice/{VERSION}.{GROUP} -n kube-system service/external-metrics endpointslice/external-metrics"
        cluster.run(
            "node1", f"systemctl stop external-metrics; k3s kubectl delete {names}; rm -r {FOLDER}", check=False
        )


def _objects(address: str) -> list[dict[str, object]]:
    """What leads the API server to the adapter: the group's registration, a Service, its only endpoint."""
    labelled = {**NAME, "labels": {"kubernetes.io/service-name": "external-metrics"}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": NAME,
            "spec": {"ports": [{"port": 443, "targetPort": PORT}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": labelled,
            "addressType": "IPv4",
            "ports": [{"name": "", "port": PORT, "protocol": "TCP"}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{VERSION}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {**NAME, "port": 443},
            },
        },
    ]
