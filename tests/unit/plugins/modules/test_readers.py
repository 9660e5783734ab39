# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules as Ansible runs them: arguments as JSON on standard input, the answer as JSON on standard output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULES = Path(__file__).parents[4] / "plugins" / "modules"
CACHE = Path(__file__).parents[4] / ".cache"


def run(name: str, check: bool = False, within: tuple[str, ...] = (), **arguments: Any) -> dict[str, Any]:
    """The module's answer.

    :param within: words before the command that runs it.
    """
    pytest.importorskip("ansible.module_utils.basic")
    arguments = {**arguments, "_ansible_check_mode": check, "_ansible_remote_tmp": "/tmp"}
    done = subprocess.run(
        [*within, sys.executable, str(MODULES / f"{name}.py")],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CACHE), *sys.path])},
        check=False,
    )
    assert done.stdout.strip().startswith("{"), done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_gguf_info(gguf, tmp_path: Path) -> None:
    path = gguf.write(tmp_path / "m.gguf")
    answer = run("gguf_info", path=str(path))
    assert answer["model"]["architecture"] == "llama"
    assert not answer["changed"]
    path.write_bytes(path.read_bytes()[:-1])
    assert run("gguf_info", path=str(path))["findings"][0]["check"] == "gguf_truncated"
    answer = run("gguf_info", path=str(path), fail_on_findings=True)
    assert answer["failed"]
    assert "fetch it again" in answer["msg"]
    (item,) = run("gguf_info", path=str(tmp_path / "none"))["findings"]
    assert item["check"] == "gguf_missing"
    assert "No such file" in item["cause"]


def test_wasmedge_plugin_info(make_plugin, make_library, tmp_path: Path) -> None:
    make_library("w/lib64/libwasmedge.so.0")
    plugin = make_plugin("w/plugin/libwasmedgePluginWasiNN.so", 3)
    answer = run("wasmedge_plugin_info", wasmedge_dir=str(tmp_path / "w"), shim="", config="", fail_on_findings=True)
    assert answer["failed"]
    assert answer["msg"].startswith(f"{plugin} has plugin API version 3")
    assert answer["libwasmedge"]["version"] == "0.14.1"


def test_local_fact(tmp_path: Path) -> None:
    path = tmp_path / "facts.d" / "wasinn.fact"
    arguments = {"section": "shim", "data": {"version": "0.1.0"}, "path": str(path)}
    for check, changed in ((True, True), (False, True), (False, False)):
        answer = run("local_fact", check, **arguments)
        assert answer["changed"] is changed
        assert answer["facts"] == {"shim": {"version": "0.1.0"}}
        assert path.exists() is not check
    assert run("local_fact", section="shim", state="absent", path=str(path))["changed"]
    assert not path.exists()
    assert run("local_fact", section="shim", path=str(path))["failed"]


def test_wasinn_probe(gguf, tmp_path: Path) -> None:
    cut = gguf.write(tmp_path / "m.gguf")
    cut.write_bytes(cut.read_bytes()[:-1])
    arguments = {"model": str(cut), "mode": "wasmedge", "wasmedge_dir": str(tmp_path / "none"), "config": ""}
    assert run("wasinn_probe", check=True, **arguments)["skipped"]
    answer = run("wasinn_probe", **arguments)
    assert answer["failed"]
    assert [item["check"] for item in answer["findings"]] == ["libwasmedge", "gguf_truncated"]
    assert "command" not in answer


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""


def test_wasinn_probe_in_a_pod_without_a_cluster(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")
    file = tmp_path / "kubeconfig"
    arguments = {"model": "/models/m.gguf", "mode": "pod", "node": "node1"}
    assert "kubeconfig" in run("wasinn_probe", **arguments)["msg"]
    arguments["kubeconfig"] = str(file)
    assert run("wasinn_probe", check=True, **arguments)["skipped"]
    answer = run("wasinn_probe", **arguments)
    assert answer["failed"]
    assert "cannot be used" in answer["msg"]
    assert "wasinn.cluster.site" in answer["msg"]
    file.write_text(KUBECONFIG)
    answer = run("wasinn_probe", **arguments)
    assert answer["failed"]
    assert "The cluster's API does not answer" in answer["msg"]
    (item,) = run("wasinn_probe", **{**arguments, "model": "/models/a b.gguf"})["findings"]
    assert item["check"] == "preload_form"


def test_node_preflight() -> None:
    answer = run("node_preflight", disk={"/var/lib/wasinn": "1K"}, memory="1M", ports=[{"port": 1}])
    assert answer["machine"]["disk"]["/var/lib/wasinn"] > 1024
    assert not {item["check"] for item in answer["findings"]} & {"disk", "memory", "port"}
    answer = run("node_preflight", memory="a lot")
    assert answer["failed"]
    assert "500M" in answer["msg"]


def test_gpu_info() -> None:
    answer = run("gpu_info")
    assert not answer["changed"]
    has = bool(answer["gpu"]["devices"])
    assert has or (answer["labels"], answer["findings"]) == ({}, [])
    (item,) = run("gpu_info", required=True)["findings"] if not has else [{"check": "gpu_missing"}]
    assert item["check"] == "gpu_missing"
    assert has or run("gpu_info", required=True, fail_on_findings=True)["failed"]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="only root makes network namespaces, with ip")
def test_node_cleanup_takes_both_ends_of_a_pods_interface(tmp_path: Path) -> None:
    """Though something keeps the pod's network namespace alive, as sockets do that wait for an answer."""
    links = tmp_path / "links"
    script = f"""
      mount -t tmpfs none /run && ip netns add cni-pod && ip netns add other
      ip link add veth-pod type veth peer name eth0 netns cni-pod && ip link add veth-other type veth peer name eth0 netns other
      ip link set lo up && ip route add fd52::/64 dev lo && ip route add 10.52.0.0/24 dev lo
      ip netns exec cni-pod sleep 60 &
      "$@"; (ip -brief link; ip route; ip -6 route) >{links}; kill $!
    """
    answer = run(
        "node_cleanup",
        within=("unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", script, "-"),
        network_namespaces="cni-",
        mounts=["/run/netns/cni-"],
        routes=["10.52.0.0/16", "fd52::/56"],
    )
    assert answer["removed"]["network_namespaces"] == ["cni-pod"]
    left = links.read_text()
    assert "veth-other" in left
    assert [word for word in ("veth-pod", "10.52.", "fd52:") if word in left] == []
