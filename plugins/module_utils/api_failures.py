# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why the controller does not get on with the Kubernetes API: what its client says, the cause and the remedy."""

from __future__ import annotations

import re

from ansible_collections.wasinn.cluster.plugins.module_utils.failures import Signature
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding

_FETCHES = "Run wasinn.cluster.site, which fetches the kubeconfig anew"

SIGNATURES = (
    Signature(
        "api_clock",
        r"certificate (?:is not yet valid|has expired)",
        "By the controller's clock the certificate of {url} is not valid.",
        "Set the controller's clock; where it is right, restart k3s on the servers, which renews certificates near their end.",
        "certificate verify failed: certificate is not yet valid (_ssl.c:1006)",
        source="OpenSSL, X509_verify_cert_error_string",
    ),
    Signature(
        "api_name",
        r"Hostname mismatch|IP address mismatch|certificate is not valid for|doesn't match",
        "The certificate of {url} is for other names and addresses.",
        "Add that name or address to k3s_tls_san, or set k3s_api_endpoint to one that it has.",
        "certificate verify failed: IP address mismatch, certificate is not valid for '192.0.2.9'. (_ssl.c:1006)",
        source="OpenSSL, Python's ssl",
    ),
    Signature(
        "api_other_cluster",
        r"certificate verify failed|CERTIFICATE_VERIFY_FAILED|\b401\b|Unauthorized",
        "What answers at {url} is not the cluster that the kubeconfig is of.",
        f"{_FETCHES}, and see that k3s_api_endpoint leads to this cluster.",
        "certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)",
        source="OpenSSL; Kubernetes",
    ),
    Signature(
        "api_datastore",
        r"etcdserver: (?:no leader|leader changed|request timed out)|apiserver not ready|context deadline exceeded",
        "The API at {url} gets no answer from its datastore.",
        "See that k3s runs on more than half of the servers (journalctl -u k3s says what it waits for), and start it where it does not; "
        "where so many are lost for good, bring the cluster back from a backup (wasinn.cluster.restore).",
        "etcdserver: request timed out, possibly due to previous leader failure",
        source="etcd, server/etcdserver/errors",
    ),
    Signature(
        "api_lookup",
        r"NameResolutionError|Name or service not known|Temporary failure in name resolution|nodename nor servname",
        "The controller finds no address for the name in {url}.",
        "Correct k3s_api_endpoint, or the controller's resolver.",
        "Failed to resolve 'k3s.example' ([Errno -2] Name or service not known)",
        source="urllib3, glibc",
    ),
    Signature(
        "api_unreachable",
        r"Connection refused|Connection reset|timed out|No route to host|Network is unreachable|Max retries exceeded|RemoteDisconnected"
        r"|Timeout when waiting for",
        "The controller does not reach the API at {url}.",
        "See that k3s_api_endpoint is an address of the API for the controller too, that no firewall keeps it from that port, and that k3s "
        "runs on more than half of the servers (journalctl -u k3s says what it waits for).",
        "Failed to establish a new connection: [Errno 111] Connection refused",
        source="urllib3",
    ),
    Signature(
        "api_kubeconfig",
        r"Invalid kube-config|kubeconfig|[Cc]ould not (?:find|create) (?:.{0,40})config",
        "The kubeconfig on the controller cannot be used.",
        f"{_FETCHES} (k3s_kubeconfig).",
        "Failed to load kubeconfig due to Invalid kube-config file. No configuration found.",
        source="kubernetes.core, kubernetes client",
    ),
)


def classify(message: str, url: str) -> list[Finding]:
    """The finding in what the client said; its own words where they are not known."""
    for signature in SIGNATURES:
        if re.search(signature.pattern, message):
            return [finding(signature.check, signature.cause.format(url=url), signature.remedy)]
    said = " ".join(message.split())[:500].rstrip(".") or "it gave no reason"
    return [finding("api", f"The API at {url} does not do what was asked: {said}.", f"Mend this, or: {_FETCHES}.")]
