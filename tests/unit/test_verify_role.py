# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role verify: the logs of a model's pods tell whether it uses the GPUs that it asked for."""

from __future__ import annotations

import http.server
import json
import sys
from typing import Any

import pytest

from tests.unit.kubernetes_api import Handler, discovery, resource, serving, write_kubeconfig

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact: {__verify_runtime: "{{ runtime }}", k3s_registered_name: node1}
    - ansible.builtin.include_role: {name: wasinn.cluster.verify, tasks_from: gpu}
"""
ANSWERS = discovery(resource("pods", "Pod", "get", "list"), resource("pods/log", "Pod", "get"))
LINE = "[info] [WASI-NN] llama.cpp: llm_load_tensors: offloaded {}/31 layers to GPU\n"


class _Api(Handler):
    """The API server; each pod's log is in its name."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path in ANSWERS:
            return self.send(ANSWERS[path])
        name, part = path.split("/")[-2:]
        if part != "log" or not name.startswith("layers-"):
            return self.status(404, f"no {path}")
        return self.send_bytes(LINE.format(name.removeprefix("layers-")).encode(), "text/plain")


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "spec": {"nodeName": "node1"}}


@pytest.mark.parametrize(
    ("pods", "cuda", "idle"),
    [
        ([pod("layers-31"), pod("layers-0", deletionTimestamp="2026-11-28T12:00:00Z")], True, None),
        ([pod("layers-31"), pod("layers-0")], True, "layers-0"),
        ([pod("gone")], True, None),
        ([pod("gone")], False, "gone"),
    ],
    ids=["all", "none of one's layers", "no log", "no CUDA build"],
)
def test_a_model_that_leaves_its_gpu_alone_is_refused(play_in, tmp_path, pods, cuda, idle):
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Api)) as server:
        write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{server.server_port}")
        (tmp_path / "play.yml").write_text(PLAY)
        extra = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "k3s_kubeconfig": str(tmp_path / "kubeconfig"),
            "llamaedge_namespace": "llamaedge",
            "item": {"name": "large"},
            "__verify_pods": {"resources": pods},
            "runtime": {"plugins": [{"cuda": cuda}]},
        }
        status, output = play_in(tmp_path, "-i", "localhost,", "play.yml", "-e", json.dumps(extra), timeout=120)
    assert (status != 0) is bool(idle), output
    if idle:
        assert (
            f"The model large (pod {idle} on node1) was to be computed on a GPU, but llama.cpp put no layer" in output
        )
        assert "Remedy: Take a CUDA build of the plugin" in output
