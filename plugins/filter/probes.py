# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on what probes measured."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.probe import gpu_idle


def probe_baseline(
    probes: Iterable[Mapping[str, Any]], kept: Mapping[str, Mapping[str, Any]], runtime: str
) -> dict[str, dict[str, Any]]:
    """Return C(kept) with the figures of C(probes) where a model's file or the runtime is new."""
    baseline = {}
    for probe in probes:
        if "tokens_per_second" not in probe:
            continue
        name, file = probe["item"]["name"], probe["item"]["file"]
        old = kept.get(name, {})
        figures = {key: probe[key] for key in ("tokens_per_second", "load_ms")}
        same = (old.get("file"), old.get("tuple")) == (file, runtime)
        baseline[name] = dict(old) if same else {"file": file, "tuple": runtime, **figures}
    return baseline


def gpu_findings(
    logs: Iterable[Mapping[str, Any]], model: str, cuda: Mapping[str, bool] | None = None
) -> list[dict[str, str]]:
    """Return what tells that pods of C(model), which asks for GPUs, compute on processors.

    C(logs) are results of C(kubernetes.core.k8s_log) in a loop over pods; C(cuda) says of nodes whether their plugin is a CUDA build.
    """
    findings = []
    for result in logs:
        pod = result[result["ansible_loop_var"]]
        name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        findings += gpu_idle(f"{model} (pod {name} on {node})", result.get("log") or "", (cuda or {}).get(node))
    return findings


LONGEST = 63  # characters of a label's value


def runtime_tuple(info: Mapping[str, Any], shim_version: str) -> str:
    """Return a name for the runtime that C(wasmedge_plugin_info) found, fit for a label: versions, and a digest of the files."""
    plugins = list(info.get("plugins") or [])
    models = sorted({backend for each in plugins for backend in each.get("backends") or []})
    models += ["cuda"] if any(each.get("cuda") for each in plugins) else []
    library, shim = info.get("libwasmedge") or {}, info.get("shim") or {}
    files = [library.get("sha256"), shim.get("sha256"), *sorted(str(each.get("sha256")) for each in plugins)]
    digest = hashlib.sha256("\n".join(map(str, files)).encode()).hexdigest()[:8]
    parts = {
        "wasmedge": library.get("version"),
        "plugin": "-".join(models),
        "shim": shim_version if shim else "",
    }
    words = [re.sub(r"[^\w.-]", "-", f"{name}-{value or 'none'}") for name, value in parts.items()]
    return f"{'_'.join(words)[: LONGEST - 9]}_{digest}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"gpu_findings": gpu_findings, "probe_baseline": probe_baseline, "runtime_tuple": runtime_tuple}
