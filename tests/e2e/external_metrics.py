# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An adapter for external.metrics.k8s.io, for tests: what a HorizontalPodAutoscaler asks, answered from /queue.json.

Runs on a machine of the cluster (``python3 external_metrics.py PORT CERTIFICATE URL…``), standard library only. It
adds up ``pools.<pool>.wanted`` of every URL, as KEDA does for our ScaledObject. A file path in place of a URL works too.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

BASE = "/apis/external.metrics.k8s.io/v1beta1"
METRIC = "llamaedge_lb_wanted"


def wanted(sources: list[str], pool: str) -> int:
    """Requests that wait or are being answered in a pool, over all sources."""
    total = 0
    for source in sources:
        if source.startswith("http"):
            with urllib.request.urlopen(source, timeout=2) as reply:
                figures = json.load(reply)
        else:
            with open(source) as stream:
                figures = json.load(stream)
        total += figures["pools"].get(pool, {}).get("wanted", 0)
    return total


class Handler(BaseHTTPRequestHandler):
    """Answers discovery, and values by the label ``pool``."""

    sources: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        if address.path == BASE:
            resource = {"name": METRIC, "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
            self._json(
                200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": BASE[6:], "resources": [resource]}
            )
        elif address.path.startswith(f"{BASE}/namespaces/") and address.path.endswith(f"/{METRIC}"):
            selector = urllib.parse.parse_qs(address.query).get("labelSelector", [""])[0]
            pool = dict(pair.split("=", 1) for pair in selector.split(",") if "=" in pair).get("pool", "")
            item = {
                "metricName": METRIC,
                "metricLabels": {"pool": pool},
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "value": str(wanted(self.sources, pool)),
            }
            self._json(
                200, {"kind": "ExternalMetricValueList", "apiVersion": BASE[6:], "metadata": {}, "items": [item]}
            )
        else:
            self._json(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})

    def _json(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    port, certificate, *Handler.sources = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ThreadingHTTPServer(("0.0.0.0", int(port)), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
