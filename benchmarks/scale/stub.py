# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for Python on a simulated machine: takes the module that Ansible sends, runs nothing of it, answers for it.

Few imports, since it starts some thousand times. The machine it plays is bare: no file is there, each change is made.
"""

from __future__ import annotations

import ast
import binascii
import json
import os
import sys
from typing import Any

# What a file holds, whichever is read: a kubeconfig that the role k3s takes apart, and the runtime it looks for.
TEXT = """# io.containerd.wasmedge.v1
clusters: [{name: simulated, cluster: {server: "https://127.0.0.1:6443"}}]
users: [{name: simulated, user: {token: simulated}}]
"""
# Names of the catalogue's models.
MODELS = ["everywhere", "left", "right"]
SHA256 = "0" * 64
BUILD = {"version": "0.14.1", "variant": "own", "runtime": "wasmedge.tar.gz", "plugin": "plugin.tar.gz", "strip": 1}
ARCHITECTURE = "x86_64"
READY = {
    "conditions": [{"type": "Ready", "status": "True"}],
    "updatedReplicas": 9,
    "availableReplicas": 9,
    "replicas": 9,
}
MEMORY = {"context": 1024, "weights": 1 << 20, "kv_cache": 1 << 20, "total": 1 << 21}

#: Modules whose answer the roles read; the others only say that they changed something.
ANSWERS: dict[str, dict[str, Any]] = {
    "ansible.builtin.setup": {
        "ansible_facts": {
            "ansible_local": {},
            "ansible_architecture": ARCHITECTURE,
            "ansible_distribution": "Debian",
            "ansible_distribution_major_version": "13",
            "ansible_os_family": "Debian",
            "ansible_pkg_mgr": "apt",
        }
    },
    "ansible.builtin.ping": {"ping": "pong"},
    "ansible.builtin.stat": {"stat": {"exists": False}},
    "ansible.builtin.find": {"files": [], "matched": 0, "examined": 0, "skipped_paths": {}},
    "ansible.builtin.slurp": {
        "content": binascii.b2a_base64(TEXT.encode(), newline=False).decode(),
        "encoding": "base64",
    },
    "ansible.builtin.systemd_service": {"changed": True, "status": {"ActiveState": "inactive"}},
    "wasinn.cluster.node_preflight": {"machine": {"architecture": ARCHITECTURE}, "findings": []},
    "wasinn.cluster.wasmedge_build_info": {"build": {**BUILD, "reason": "it is simulated"}, "findings": []},
    "wasinn.cluster.gpu_info": {"gpu": {"devices": [], "gpus": []}, "labels": {}, "findings": []},
    "wasinn.cluster.wasmedge_plugin_info": {
        "libwasmedge": {"version": BUILD["version"]},
        "shim": {"sha256": SHA256},
        "plugins": [{"name": "wasi_nn", "sha256": SHA256}],
        "findings": [],
    },
    "wasinn.cluster.active_version": {"changed": True, "previous": "", "removed": []},
    "wasinn.cluster.local_fact": {"changed": True, "facts": {}},
    "wasinn.cluster.gguf_info": {"model": {"architecture": "llama", "memory": MEMORY}, "findings": []},
    # As if a file came with the first look: what takes long is its way, not the controller's part.
    "wasinn.cluster.model_install": {"node": {"state": "present"}},
    "wasinn.cluster.wasinn_probe": {"text": " Paris.", "tokens_per_second": 50.0, "load_ms": 100, "findings": []},
    "wasinn.cluster.chat_completion": {
        "content": "The capital of France is Paris.",
        "latency_s": 0.2,
        "usage": {"completion_tokens": 7},
    },
    "wasinn.cluster.kube_apply": {"changed": True, "applied": [], "surplus": [], "pruned": []},
}


def answer(module: str, args: dict[str, Any]) -> dict[str, Any]:
    """What a module returns on a bare machine whose cluster is well."""
    if module == "kubernetes.core.k8s_info":
        return {"resources": _objects(args.get("kind"), args.get("name"))}
    if module == "wasinn.cluster.model_preflight":
        return _models(args["models"])
    if module == "ansible.builtin.uri":
        return {"status": 200, "json": {"data": [{"id": name} for name in MODELS]}}
    if module == "wasinn.cluster.wasm_image" and not args["_ansible_check_mode"]:
        os.makedirs(os.path.dirname(args["dest"]), exist_ok=True)  # the one file that is written: others are to copy it
        with open(args["dest"], "w") as image:
            image.write(args["name"])
    if module == "wasinn.cluster.artifact_install" and args.get("_ansible_check_mode"):
        return {"changed": True, "reasons": ["it is not there"]}
    return ANSWERS.get(module, {"changed": True})


def _objects(kind: str | None, name: str | None) -> list[dict[str, Any]]:
    if kind in ("Node", "Namespace"):
        return [{"metadata": {"name": name, "labels": {}}, "spec": {}, "status": READY}]
    if kind == "Deployment":
        return [
            {"metadata": {"name": each}, "spec": {"replicas": 1}, "status": READY} for each in [*MODELS, "balancer"]
        ]
    if kind == "Service":
        return [{"metadata": {"name": name}, "spec": {"clusterIP": "127.0.0.1", "ports": [{"port": 8080}]}}]
    return []


def _models(models: list[dict[str, Any]]) -> dict[str, Any]:
    files = {
        model["file"]: {"state": "missing", "part": 0, "sha256": "", "wanted": model["sha256"]} for model in models
    }
    missing = [model["name"] for model in models]
    return {"files": files, "missing": missing, "needed": 0, "free": 1 << 40, "memory": 1 << 36, "findings": []}


def read(text: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the module in what Ansible sends (ansible/_internal/_ansiballz/_wrapper.py)."""
    _before, _name, rest = text.partition("\nparams=")
    args = json.loads(ast.literal_eval(rest.partition("\n")[0].rstrip(",")))["ANSIBLE_MODULE_ARGS"]
    return args["_ansible_module_name"].replace("ansible.legacy.", "ansible.builtin."), args


def main() -> None:
    result = answer(*read(sys.stdin.read()))
    print(json.dumps({"changed": False, **result}))


if __name__ == "__main__":
    main()
