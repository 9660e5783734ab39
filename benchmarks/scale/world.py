# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated machines: an inventory, tiny files in place of artifacts, and a Python that only answers."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from . import stub

SERVERS = 3
ARTIFACTS = (
    *("wasmedge", "wasmedge_plugin_ggml", "shim", "probe", "balancer", "watcher"),
    *("llama_api_server", "k3s", "k3s_images"),
)
HOST = "example.invalid"


def build(folder: Path, hosts: int) -> tuple[Path, dict[str, Any]]:
    """Everything below *folder*; gives the inventory and what ansible-playbook gets as extra variables."""
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "python"
    python.write_text(f"#!{sys.executable} -IS\n" + Path(stub.__file__).read_text())
    python.chmod(0o755)
    (folder / "kubeconfig").write_text(stub.TEXT)
    sums = {name: _artifact(folder / "mirror", name) for name in (*ARTIFACTS, *stub.MODELS)}
    inventory = folder / f"hosts-{hosts}.json"
    inventory.write_text(json.dumps(_inventory(hosts, sums)))
    variables = {
        # Of the controller too, to which the roles delegate.
        "ansible_python_interpreter": str(python),
        "ansible_remote_tmp": str(folder / "tmp"),
        "artifacts_mirror": str(folder / "mirror"),
        "artifacts_cache": str(folder / "cache"),
        "artifacts_urls": {name: _url(name) for name in ARTIFACTS},
        "artifacts_checksums": {name: sums[name] for name in ARTIFACTS},
        "k3s_kubeconfig": str(folder / "kubeconfig"),
        "models_check_sources": False,
    }
    return inventory, variables


def _url(name: str) -> str:
    # By this part of its name the role balancer knows a service that was compiled.
    return f"https://{HOST}/{name}-wasmedge"


def _artifact(mirror: Path, name: str) -> str:
    """A few bytes; gives their sha256."""
    path = mirror / HOST / _url(name).rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{name}\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _inventory(count: int, sums: dict[str, str]) -> dict[str, Any]:
    """Three servers, the rest agents; one model on each machine, two on one half of them each, chosen by labels."""
    names = [f"node{number:03}" for number in range(1, count + 1)]
    sides = [side for side in stub.MODELS if side != "everywhere"]
    hosts = {
        name: {
            "ansible_host": f"127.0.{index // 200}.{index % 200 + 1}",
            "k3s_node_labels": [f"side={sides[index % 2]}"],
        }
        for index, name in enumerate(names)
    }
    catalogue: list[dict[str, Any]] = [
        {"name": name, "url": _url(name), "sha256": sums[name], "context": 1024} for name in stub.MODELS
    ]
    for model in catalogue:
        if model["name"] in sides:
            model["node_selector"] = {"side": model["name"]}
    shared = {"ansible_connection": "local", "ansible_become": False, "models_catalogue": catalogue}
    groups = {
        "k3s_server": {"hosts": {name: hosts[name] for name in names[:SERVERS]}},
        "k3s_agent": {"hosts": {name: hosts[name] for name in names[SERVERS:]}},
    }
    return {"all": {"children": {"k3s_cluster": {"vars": shared, "children": groups}}}}
