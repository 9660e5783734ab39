# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters from the model catalogue to what runs in the cluster; the work is in module_utils/serving*.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible_collections.wasinn.cluster.plugins.filter.models import models_on
from ansible_collections.wasinn.cluster.plugins.module_utils import serving, serving_checks


def serving_units(
    catalogue: Iterable[Mapping[str, Any]],
    families: list[dict[str, str]],
    headers: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "AUTO",
    resources: Mapping[str, Any] | None = None,
    overhead: str = "128Mi",
) -> list[dict[str, Any]]:
    """Return one completed entry for each pod template that the catalogue asks for."""
    return serving.units(models_on(catalogue), families, headers or {}, device, resources or {}, _bytes(overhead))


def serving_findings(
    catalogue: Iterable[Mapping[str, Any]], headers: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, str]]:
    """Return what in the catalogue contradicts itself or, with C(headers), its files."""
    entries = models_on(catalogue)
    return serving_checks.judge(entries) + serving_checks.judge_headers(entries, headers or {})


def serving_headers(hostvars: Mapping[str, Any], hosts: Iterable[str], name: str) -> dict[str, Any]:
    """Return the headers that C(gguf_info), looped over entries and registered as C(name), found on any of C(hosts)."""
    found = {}
    for host in hosts:
        for result in (hostvars[host].get(name) or {}).get("results") or []:
            if "memory" in (result.get("model") or {}):
                found[result["item"]["name"]] = result["model"]
    return found


def _bytes(quantity: str) -> int:
    """A Kubernetes quantity in bytes; ``Mi`` and ``MB`` are both 2^20 to Ansible, which is near enough here."""
    try:
        return int(human_to_bytes(str(quantity).removesuffix("i")))
    except ValueError as error:
        raise AnsibleFilterError(f"'{quantity}' is not a size: {error}. Remedy: give one such as 128Mi.") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {
            "serving_units": serving_units,
            "serving_findings": serving_findings,
            "serving_headers": serving_headers,
        }
