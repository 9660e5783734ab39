# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shell script is given: the artifacts, and the files and manifests of the cluster that the playbook made."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests.machines import machines
from tests.machines.scenario import Scenario
from tests.machines.shell import run

NAMESPACE = "llamaedge"
KINDS = "serviceaccount,role,rolebinding,configmap,secret,service,deployment,poddisruptionbudget,networkpolicy"
# Without tokens and passwords, which are a cluster's own.
FILES = "etc/rancher/k3s/config.yaml etc/systemd/system/k3s*.service etc/systemd/system/k3s*.service.env etc/wasinn/shim.toml"
ARTIFACTS = {
    "wasmedge": "wasmedge.tar.gz",
    "wasmedge_plugin_ggml": "plugin.tar.gz",
    "shim": "shim.tar.gz",
    "k3s": "k3s",
}


def artifacts(folder: Path, fetched: dict[str, dict[str, Any]], models: dict[str, str], images: list[Path]) -> None:
    """Links to everything that is copied, below *folder*; *models* are file names by the models' names."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("images", "models"):
        (folder / name).mkdir(parents=True)
    for name, short in ARTIFACTS.items():
        (folder / short).symlink_to(fetched[name]["path"])
    (folder / Path(fetched["k3s_images"]["path"]).name).symlink_to(fetched["k3s_images"]["path"])
    for name, file in models.items():
        (folder / "models" / file).symlink_to(fetched[name]["path"])
    for image in images:
        (folder / "images" / image.name).symlink_to(image)


def files(scenario: Scenario, folder: Path) -> None:
    """The configuration files of each machine, below a folder with its name."""
    shutil.rmtree(folder, ignore_errors=True)
    for node in scenario.nodes:
        (folder / node).mkdir(parents=True)
        packed = run(
            [*machines.ssh_command(scenario, node), f"cd / && tar -cf - $(ls -d {FILES} 2>/dev/null) | base64"]
        )
        run(["sh", "-ec", f"base64 -d | tar -xf - -C '{folder / node}'"], stdin=packed.stdout)


def manifests(scenario: Scenario) -> list[dict[str, Any]]:
    """What the playbook applied, as it would be applied again."""
    ours = "-l app.kubernetes.io/managed-by=wasinn.cluster -o json"
    found: list[dict[str, Any]] = []
    for words in (f"get namespace,runtimeclass {ours}", f"-n {NAMESPACE} get {KINDS} {ours}"):
        listed = run([*machines.ssh_command(scenario, scenario.nodes[0]), f"/usr/local/bin/k3s kubectl {words}"])
        found += [bare(item) for item in json.loads(listed.stdout)["items"]]
    return found


def label(objects: list[dict[str, Any]]) -> str:
    """The node label that models' pods want, as ``KEY=VALUE``."""
    (wanted,) = (item["scheduling"]["nodeSelector"] for item in objects if item["kind"] == "RuntimeClass")
    return ",".join(f"{key}={value}" for key, value in wanted.items())


def bare(item: dict[str, Any]) -> dict[str, Any]:
    """An object without what the cluster adds to it."""
    kept = {key: value for key, value in item.items() if key != "status"}
    metadata = item["metadata"]
    kept["metadata"] = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    if item["kind"] == "Service":
        given = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
        # A Service without an address of its own stays one.
        drop = () if item["spec"].get("clusterIP") == "None" else given
        kept["spec"] = {key: value for key, value in item["spec"].items() if key not in drop}
    if item["kind"] == "Namespace":
        kept.pop("spec", None)
    return kept


def ssh_config(scenario: Scenario, path: Path) -> None:
    """One entry for each machine; one connection each serves all commands, as with Ansible."""
    options = machines.ssh_command(scenario, scenario.nodes[0])
    pairs = [option.split("=", 1) for flag, option in itertools.pairwise(options) if flag == "-o"]
    common = [f"  {name} {value}" for name, value in pairs]
    common += [f"  IdentityFile {scenario.state / 'ssh' / 'id_ed25519'}", "  User root", "  ControlMaster auto"]
    common += ["  ControlPersist 60", f"  ControlPath /tmp/wasinn-{os.getpid()}-%C"]
    text = []
    for node in scenario.nodes:
        text += [f"Host {node}", f"  HostName {scenario.address(node)}", *common]
    path.write_text("\n".join(text) + "\n")


def settings(path: Path, **values: str) -> None:
    """Variables for the shell."""
    path.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
