# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on the versions that nodes have and are to have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import finding

# v1.34.4+k3s1 (https://docs.k3s.io/upgrades)
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)(?:-rc\d+)?\+k3s(\d+)$")
# apiserver_requested_deprecated_apis{group="batch",removed_release="1.25",resource="cronjobs",version="v1beta1",…} 1
_DEPRECATED = re.compile(r"^apiserver_requested_deprecated_apis\{(.*)\} 1$", re.M)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

# What role upgrade changes, by its name in artifacts_versions: its name in sentences and its section of the local facts.
_PARTS = {"k3s": ("k3s", "k3s"), "wasmedge": ("WasmEdge", "wasmedge"), "wasinn": ("the shim", "shim")}


def installed_versions(local: dict[str, Any]) -> dict[str, str]:
    """Return the versions that the roles noted in a node's local facts, by their names in C(artifacts_versions)."""
    return {name: local[section]["version"] for name, (_title, section) in _PARTS.items() if section in local}


def version_changes(before: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Return in words what differs, such as C(k3s v1.34.2+k3s1 to v1.34.4+k3s1); what C(before) lacks is new."""
    return [
        f"{title} {before[name]} to {wanted[name]}"
        for name, (title, _section) in _PARTS.items()
        if name in before and before[name] != wanted[name]
    ]


def unchanged_artifacts(settings: dict[str, str], before: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """Return the entries of C(artifacts_urls) or C(artifacts_checksums) that are about versions which do not change."""

    def part(name: str) -> str:
        first = name.split("_")[0]
        return first if first in _PARTS else "wasinn"

    return {name: value for name, value in settings.items() if before.get(part(name)) == wanted.get(part(name))}


def upgrade_findings(
    before: str, wanted: str, host: str, known: bool, metrics: str = "", servers: Sequence[dict[str, Any]] = ()
) -> list[dict[str, str]]:
    """Return why a node cannot go from one version of k3s to another, as findings.

    C(known) tells whether the API knows the node, C(metrics) is what the node's API server says of itself, C(servers) are
    the Nodes of servers that keep their version and whose API server the node's kubelet may ask.
    """
    if not known:
        return [
            finding(
                "upgrade_unknown",
                f"The cluster has no node for {host}, or its API does not answer the controller.",
                "Run wasinn.cluster.site, which lets new machines join and fetches the kubeconfig, then upgrade.",
            )
        ]
    old, new = _parse(before), _parse(wanted)
    if new < old:
        return [
            finding(
                "upgrade_older",
                f"The node runs k3s {before}, and {wanted} is older.",
                "Set artifacts_versions.k3s to a later version; to go back, restore a backup of the datastore.",
            )
        ]
    if new[0] != old[0] or new[1] > old[1] + 1:
        return [
            finding(
                "upgrade_skips",
                f"From k3s {before} to {wanted} a minor version would be skipped, which Kubernetes does not support.",
                f"Set artifacts_versions.k3s to a v{old[0]}.{old[1] + 1} release first.",
            )
        ]
    return [_deprecated(api, wanted) for api in _gone(metrics, new)] + _skew(wanted, new, servers)


def _parse(version: str) -> tuple[int, ...]:
    match = _VERSION.match(version)
    if not match:
        raise AnsibleFilterError(
            f"'{version}' is no version of k3s: write it like v1.34.4+k3s1 in artifacts_versions.k3s."
        )
    return tuple(int(part) for part in match.groups())


def _gone(metrics: str, new: tuple[int, ...]) -> list[dict[str, str]]:
    """The APIs in use that the new version no longer has."""
    found = []
    for match in _DEPRECATED.finditer(metrics):
        labels = dict(_LABEL.findall(match[1]))
        release = labels.get("removed_release", "")
        if re.fullmatch(r"\d+\.\d+", release) and tuple(map(int, release.split("."))) <= new[:2]:
            found.append(labels)
    return found


def _skew(wanted: str, new: tuple[int, ...], servers: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """No kubelet may be of a later minor version than an API server (https://kubernetes.io/releases/version-skew-policy)."""
    versions = {item["metadata"]["name"]: item["status"]["nodeInfo"]["kubeletVersion"] for item in servers}
    behind = [f"{name} ({version})" for name, version in versions.items() if _parse(version)[:2] < new[:2]]
    if not behind:
        return []
    return [
        finding(
            "upgrade_skew",
            f"The node would run k3s {wanted}, later than the API server of {', '.join(behind)}, which this run leaves as it is;"
            " Kubernetes allows no kubelet later than an API server.",
            "Run wasinn.cluster.upgrade without --limit, or for the servers first (--limit k3s_server).",
        )
    ]


def _deprecated(api: dict[str, str], wanted: str) -> dict[str, str]:
    name = f"{api.get('resource')} in {api.get('group')}/{api.get('version')}".replace(" /", " ")
    return finding(
        "upgrade_api",
        f"Somebody uses {name}, which {wanted} no longer has.",
        "Move those clients and manifests to the API's successor (https://kubernetes.io/docs/reference/using-api/deprecation-guide).",
    )


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {
            "installed_versions": installed_versions,
            "unchanged_artifacts": unchanged_artifacts,
            "upgrade_findings": upgrade_findings,
            "version_changes": version_changes,
        }
