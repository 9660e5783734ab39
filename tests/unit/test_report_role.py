# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role report: each replica of the balancer is asked for its state, on its own node and with the admin token."""

from __future__ import annotations

import base64
import http.server
import json
import sys
from typing import Any

import yaml

from tests.unit.kubernetes_api import Handler, discovery, resource, serving, write_kubeconfig

INVENTORY = {"all": {"hosts": {"h1": None, "h2": None}, "vars": {"ansible_connection": "local"}}}
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact: {__report_here: true, k3s_registered_name: "node-{{ inventory_hostname }}"}
    - ansible.builtin.import_role: {name: wasinn.cluster.report, tasks_from: balancer}
    - ansible.builtin.debug: {msg: "<{{ __report_balancer | to_json }}>"}
      run_once: true
"""
TOKEN = "admin-token"
STATUS = {"draining": False, "pools": [{"name": "smollm2"}]}
ANSWERS: dict[str, Any] = {
    **discovery(resource("secrets", "Secret", "get")),
    "/api/v1/namespaces/llamaedge/secrets/balancer-admin": {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "balancer-admin", "namespace": "llamaedge"},
        "data": {"token": base64.b64encode(TOKEN.encode()).decode()},
    },
}


class _Both(Handler):
    """The API server, and a replica of the balancer."""

    def do_GET(self) -> None:
        if self.path == "/api/status":
            known = self.headers["Authorization"] == f"Bearer {TOKEN}"
            return self.send(STATUS) if known else self.status(401, "no token")
        path = self.path.split("?")[0]
        return self.send(ANSWERS[path]) if path in ANSWERS else self.status(404, "not found")


def pod(name: str, node: str, address: str, namespace: str = "llamaedge", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "balancer", **labels}},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "podIP": address},
    }


def test_each_replica_is_asked(play_in, tmp_path):
    pods = [
        pod("balancer-1", "node-h1", "127.0.0.1"),
        pod("balancer-2", "node-h2", "127.0.0.9"),  # where nobody listens
        pod("balancer-3", "elsewhere", "127.0.0.1"),
        pod("balancer-4", "node-h1", "127.0.0.1", "other"),
    ]
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Both)) as server:
        write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{server.server_port}")
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(INVENTORY))
        (tmp_path / "play.yml").write_text(PLAY)
        extra = {
            "ansible_python_interpreter": sys.executable,
            "k3s_kubeconfig": str(tmp_path / "kubeconfig"),
            "llamaedge_namespace": "llamaedge",
            "balancer_unsafe_show_logs": False,
            "__balancer_ports": {"admin": server.server_port},
            "__report_objects": {"Pod": pods},
        }
        status, output = play_in(tmp_path, "-i", "hosts.yml", "play.yml", "-e", json.dumps(extra), timeout=120)
    assert status == 0, output
    assert TOKEN not in output
    said = json.loads(output.partition('"<')[2].partition('>"')[0].replace('\\"', '"'))
    assert said == {
        "replicas": [
            {"pod": "balancer-1", "node": "node-h1", "status": STATUS},
            {"pod": "balancer-2", "node": "node-h2", "status": {}},
        ]
    }
