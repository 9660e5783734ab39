# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters for clusters that this collection did not install: their containerd's configuration, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import finding

# What is ours says so, and what it is in place of, so that the file itself knows the way back.
_BEGIN = "# BEGIN wasinn.cluster"
_END = "# END wasinn.cluster"
_MADE = f"{_BEGIN}, which made this file"
_ADDED = "# wasinn.cluster added this line"
_INSTEAD = "# wasinn.cluster wrote this in place of "
_BLOCK = re.compile(rf"^\n?{_BEGIN}.*?^{_END}\n", re.M | re.S)
_LINES = re.compile(rf'^.* (?:{_ADDED}|{_INSTEAD}(?P<former>".*"))\n', re.M)
_VERSION = re.compile(r"^version\s*=\s*(\d+)", re.M)


def containerd_config(
    text: str | None,
    runtime: str,
    runtime_type: str,
    version: int = 2,
    systemd_cgroup: bool = False,
    cdi: bool = False,
) -> str:
    """Return containerd's configuration with a runtime in it; None stands for no file.

    It goes into the file itself. A drop-in would be cleaner, but containerd 1 lets an imported file's section of CRI replace the
    whole of the file's own, with the pause image, the registries and runc's cgroups (measured with 1.6.20 and 1.7.24; 2.1.5 merges).
    """
    made = text is None or _MADE in text
    text = containerd_config_restored(text or "")
    if text and not text.endswith("\n"):
        text += "\n"
    named = _VERSION.search(text)
    if text.strip() and not named and re.search(r"^\s*\[", text, re.M):
        raise AnsibleFilterError(
            "containerd's configuration names no version, so it is of the first one, which has no such runtimes. "
            "Remedy: bring it to a later one, which containerd config migrate prints."
        )
    number = int(named[1]) if named else version
    section = "io.containerd.grpc.v1.cri" if number < 3 else "io.containerd.cri.v1.runtime"
    if there := _table(text, section, "containerd", "runtimes", runtime):
        if re.match(rf"[^\[]*^\s*runtime_type\s*=\s*[\"']{re.escape(runtime_type)}[\"']", text[there.end() :], re.M):
            return text
        raise AnsibleFilterError(
            f"containerd's configuration has a runtime {runtime} of another type than {runtime_type}. "
            "Remedy: give that runtime another name, or take it out."
        )
    lines = [_MADE if made else _BEGIN] + ([] if named else [f"version = {number}"])
    if cdi and number < 3:
        text, lines = _with_cdi(text, section, lines)
    name = f"[plugins.'{section}'.containerd.runtimes.'{runtime}'"
    lines += [f"{name}]", f"  runtime_type = {json.dumps(runtime_type)}"]
    if systemd_cgroup:
        # As for runc: otherwise the kubelet does not find what such pods use.
        lines += [f"{name}.options]", "  SystemdCgroup = true"]
    block = "\n".join([*lines, _END]) + "\n"
    return f"{text}\n{block}" if named else f"{block}{text}"


def containerd_config_restored(text: str) -> str:
    """Return containerd's configuration as it was before C(containerd_config); nothing, where there was none."""
    return _BLOCK.sub("", _LINES.sub(lambda match: json.loads(match["former"]) if match["former"] else "", text))


def containerd_config_ours(text: str) -> str:
    """Return what C(containerd_config) wrote into containerd's configuration."""
    return "".join(match[0] for pattern in (_LINES, _BLOCK) for match in pattern.finditer(text))


def _table(text: str, *path: str) -> re.Match[str] | None:
    """The header of a table below plugins, however its keys are quoted."""
    keys = "".join(rf"\s*\.\s*[\"']?{re.escape(key)}[\"']?" for key in path)
    return re.search(rf"^[ \t]*\[\s*plugins{keys}\s*\][^\n]*(?:\n|\Z)", text, re.M)


def _with_cdi(text: str, section: str, lines: list[str]) -> tuple[str, list[str]]:
    """CDI switched on, in the section's own table where the file has it: a table cannot be written twice."""
    header = _table(text, section)
    if not header:
        return text, [*lines, f"[plugins.'{section}']", "  enable_cdi = true"]
    own = re.compile(r"[^\[]*?^(?P<line>[ \t]*enable_cdi\s*=\s*(?P<value>\w+)[^\n]*\n)", re.M).match(text, header.end())
    if own and own["value"] == "true":
        return text, lines
    line = f"  enable_cdi = true {_INSTEAD + json.dumps(own['line']) if own else _ADDED}\n"
    start, end = own.span("line") if own else (header.end(), header.end())
    return text[:start] + line + text[end:], lines


def existing_findings(
    names: Mapping[str, str], nodes: Iterable[Mapping[str, Any]] | None, kind: str, why: str = ""
) -> dict[str, list[dict[str, str]]]:
    """Return, by host, what keeps an existing cluster's nodes from being used, as findings.

    C(names) are the nodes' names by host, C(nodes) what the API has, none where it does not answer (C(why)).
    """
    if nodes is None:
        remedy = (
            "See that the cluster runs, and that its kubeconfig is where k3s_existing_settings.kubeconfig says, or put one "
            "on the controller as k3s_kubeconfig and set k3s_existing_fetch to false."
        )
        cause = (
            f"The API of the {kind} cluster does not answer the controller: {why.strip().rstrip('.') or 'no message'}."
        )
        return {host: [finding("existing_api", cause, remedy)] for host in list(names)[:1]}
    known = {node["metadata"]["name"]: node for node in nodes}
    found: dict[str, list[dict[str, str]]] = {}
    for host, name in names.items():
        if name not in known:
            cause = f"The {kind} cluster has no node {name}; its nodes are {', '.join(sorted(known)) or 'none'}."
            remedy = "Set this host's k3s_node_name to its node's name, or let the machine join the cluster first."
            found[host] = [finding("existing_node", cause, remedy)]
            continue
        runtime = known[name].get("status", {}).get("nodeInfo", {}).get("containerRuntimeVersion", "")
        if not runtime.startswith("containerd://"):
            cause = f"The node {name} runs its containers with {runtime or 'an unknown runtime'}, not with containerd."
            found[host] = [finding("existing_runtime", cause, "Take this machine out of the inventory.")]
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {
            "containerd_config": containerd_config,
            "containerd_config_ours": containerd_config_ours,
            "containerd_config_restored": containerd_config_restored,
            "existing_findings": existing_findings,
        }
