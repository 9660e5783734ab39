# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Settings of k3s that it refuses late, or takes and does something else with. No finding holds a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding
from ansible_collections.wasinn.cluster.plugins.plugin_utils.k3s.networks import DEFAULTS, words

BACKENDS = ("vxlan", "host-gw", "wireguard-native", "none")
# https://docs.k3s.io/datastore; without a scheme k3s would make an SQLite file of that name.
DATASTORES = ("postgres", "postgresql", "mysql", "http", "https", "nats")
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"({_NAME})?")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
# A kubelet may give itself these of Kubernetes' own labels, and does not start with others (--node-labels).
_KUBELET_PREFIXES = ("node.kubernetes.io", "kubelet.kubernetes.io")
_KUBELET_LABELS = (
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)
#: What a cluster has from its first day. k3s takes another value and lives with both, or does not start.
LASTING = {**DEFAULTS, "cluster-domain": "cluster.local", "secrets-encryption": False}


def datastore_findings(cluster: Mapping[str, Any]) -> Iterator[Finding]:
    """An external datastore: its URL without its password, and settings that belong to etcd."""
    endpoint = str(cluster.get("datastore-endpoint") or "")
    if not endpoint:
        return
    if any(part.partition("://")[0] not in DATASTORES or "://" not in part for part in endpoint.split(",")):
        yield finding(
            "k3s_datastore",
            "datastore-endpoint names no datastore that k3s knows.",
            "Begin it with postgres://, mysql://, nats://, or for etcd with https://.",
        )
    own = sorted(key for key in cluster if key.startswith("etcd-"))
    if own:
        cause = f"{', '.join(own)} is for k3s' own etcd, which there is not beside datastore-endpoint."
        yield finding("k3s_datastore", cause, "Take one of both out of k3s_server_config.")


def backend_findings(cluster: Mapping[str, Any]) -> Iterator[Finding]:
    """flannel's backend."""
    backend = str(cluster.get("flannel-backend") or BACKENDS[0])
    if backend not in BACKENDS:
        cause = f"flannel-backend {backend} is none that k3s has."
        yield finding("k3s_backend", cause, f"Use one of {', '.join(BACKENDS)}.")


def node_findings(own: Mapping[str, Any]) -> Iterator[Finding]:
    """Labels and taints of one node."""
    for label in words(own.get("node-label")):
        key, equals, value = label.partition("=")
        prefix = key.rpartition("/")[0]
        theirs = re.search(r"(^|\.)(kubernetes|k8s)\.io$", prefix)
        if not equals or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            yield finding("k3s_label", f"'{label}' is no label.", "Write labels as key=value, such as disk=nvme.")
        elif theirs and key not in _KUBELET_LABELS and not prefix.endswith(_KUBELET_PREFIXES):
            yield finding(
                "k3s_label",
                f"A node may not give itself the label {key}, and its kubelet would not start.",
                "Use a prefix of your own, or node.kubernetes.io/.",
            )
    for taint in words(own.get("node-taint")):
        rest, _colon, effect = taint.rpartition(":")
        key, _equals, value = rest.partition("=")
        if effect not in _EFFECTS or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            remedy = f"Write taints as key=value:EFFECT, where EFFECT is one of {', '.join(_EFFECTS)}."
            yield finding("k3s_taint", f"'{taint}' is no taint.", remedy)


def registry_findings(registries: Mapping[str, Any]) -> Iterator[Finding]:
    """The content of registries.yaml, of which k3s says nothing where it does not understand it."""
    remedy = "Write k3s_registries as https://docs.k3s.io/installation/private-registry has it."

    def say(what: str) -> Finding:
        return finding("k3s_registries", f"k3s_registries: {what}.", remedy)

    for key in sorted(registries.keys() - {"mirrors", "configs"}):
        yield say(f"{key} is neither mirrors nor configs")
    for part in ("mirrors", "configs"):
        if not isinstance(registries.get(part) or {}, Mapping):
            yield say(f"{part} is no dictionary of registries")
            return
    for name, mirror in (registries.get("mirrors") or {}).items():
        extra = set(mirror or {}) - {"endpoint", "rewrite"} if isinstance(mirror or {}, Mapping) else {"its content"}
        if extra:
            yield say(f"the mirrors of {name} know endpoint and rewrite, not {', '.join(sorted(extra))}")
            continue
        endpoints = (mirror or {}).get("endpoint") or []
        if not isinstance(endpoints, list) or any(
            urlsplit(str(url)).scheme not in ("http", "https") for url in endpoints
        ):
            yield say(f"endpoint of {name} is no list of http or https addresses")
    for name, config in (registries.get("configs") or {}).items():
        extra = set(config or {}) - {"auth", "tls"} if isinstance(config or {}, Mapping) else {"its content"}
        if extra:
            yield say(f"the settings of {name} are auth and tls, not {', '.join(sorted(map(str, extra)))}")


def token_findings(token: str, agent_token: str, has: str = "") -> Iterator[Finding]:
    """The servers' token beside the one that a server *has*, and the agents' beside the servers'."""
    if token and has and _secret(token) != _secret(has):
        yield finding(
            "k3s_token",
            "k3s_token is not the token that this server has, and k3s would not start with it.",
            "Take k3s_token out of the inventory, since the servers keep their token themselves, or set it to the cluster's own, "
            "which is in /var/lib/rancher/k3s/server/token there; wasinn.cluster.rotate gives the cluster another one.",
        )
    if not agent_token:
        return
    if token and _secret(agent_token) == _secret(token):
        yield finding(
            "k3s_agent_token",
            "k3s_agent_token is the same as k3s_token, so that an agent could join as a server.",
            "Give agents a secret of their own, or leave k3s_agent_token out.",
        )
    if not re.fullmatch(r"[!-9;-~]{8,}", agent_token):
        yield finding(
            "k3s_agent_token",
            "k3s_agent_token is too short, or has blanks or colons in it.",
            "Give the secret alone, of at least 8 characters, such as the output of openssl rand -hex 16.",
        )


def _secret(token: str) -> str:
    """What is left of ``K10<hash of the authorities>::<user>:<secret>``, which is also given alone."""
    return token.strip().rpartition(":")[2]


def lasting_findings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    """Settings that a living server cannot get another value of."""
    for key, default in LASTING.items():
        old, new = (words(settings.get(key, default)) for settings in (before, after))
        if old != new:
            was, wanted = (", ".join(value).lower() for value in (old, new))
            yield finding(
                "k3s_lasting",
                f"{key} was {was} when the cluster was formed, and cannot become {wanted}.",
                f"Put {key} back in k3s_server_config, or form a new cluster (wasinn.cluster.reset, then site).",
            )
