# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the callback writes during a real run, and what is made of it."""

from __future__ import annotations

import json
import os

from benchmarks.scale import stub, world
from benchmarks.tasks import table

PLAY = """
- hosts: k3s_cluster
  gather_facts: false
  tasks:
    - name: Look
      ansible.builtin.slurp: {src: /nowhere}
      register: it
    - name: Leave out
      ansible.builtin.command: "false"
      when: false
    - name: Ask the cluster
      kubernetes.core.k8s_info: {kind: Node, name: "{{ inventory_hostname }}", kubeconfig: "{{ k3s_kubeconfig }}"}
      delegate_to: localhost
      register: asked
    - name: See what was said
      ansible.builtin.assert:
        that:
          - "'io.containerd.wasmedge.v1' in it.content | b64decode"
          - asked.resources[0].metadata.name == inventory_hostname
"""


def line(task: str, path: str, **values: float) -> str:
    counts = {"seconds": 0.0, "cpu": 0.0, "ran": 0, "skipped": 0, "api": 0, **values}
    return json.dumps({"play": "p", "task": task, "path": path, "action": "x", **counts})


def test_simulated_machines_answer_and_the_callback_notes_it(run, tmp_path):
    inventory, variables = world.build(tmp_path / "world", 5)
    (tmp_path / "play.yml").write_text(PLAY)
    times = tmp_path / "times.jsonl"
    run(
        "ansible-playbook",
        f"--inventory={inventory}",
        f"--extra-vars={json.dumps(variables)}",
        tmp_path / "play.yml",
        ANSIBLE_PIPELINING="1",
        ANSIBLE_HOME=str(tmp_path / "home"),
        **table.environment(times),
    )
    costs = {cost.task: cost for cost in table.read(times)}
    assert [(costs[name].ran, costs[name].skipped) for name in ("Look", "Leave out")] == [(5, 0), (0, 5)]
    assert (costs["Ask the cluster"].api, costs["Look"].api) == (5, 0)
    assert costs["Look"].cpu > 0 < costs["Look"].seconds
    assert not os.path.exists("/nowhere")


def test_runs_of_one_task_are_added_up():
    path = "/x/collections/ansible_collections/wasinn/cluster/roles/node/tasks/refuse.yml:8"
    costs = table.collect([line("a", path, cpu=1, ran=2), line("", ""), line("a", path, cpu=2, ran=1, api=1)])
    assert [(cost.task, cost.place) for cost in costs] == [("", ""), ("a", "roles/node/tasks/refuse.yml:8")]
    assert (costs[1].cpu, costs[1].ran, costs[1].api) == (3, 3, 1)
    assert table.place("/x/playbooks/site.yml:3") == "playbooks/site.yml:3"
    assert table.place("/home/u/play.yml:3") == "/home/u/play.yml:3"


def test_a_module_and_its_arguments_are_found_in_what_ansible_sends():
    args = {"path": "/a\"b'c\n", "_ansible_module_name": "ansible.legacy.stat"}
    sent = "x = 1\nparams=" + repr(json.dumps({"ANSIBLE_MODULE_ARGS": args})) + ",\nzip_data='UEs'\n"
    assert stub.read(sent) == ("ansible.builtin.stat", args)


def test_the_stub_plays_a_bare_machine_of_a_cluster_that_is_well():
    models = [{"name": "m", "file": "m.gguf", "sha256": "f"}]
    assert stub.answer("wasinn.cluster.model_preflight", {"models": models})["missing"] == ["m"]
    (node,) = stub.answer("kubernetes.core.k8s_info", {"kind": "Node", "name": "n"})["resources"]
    assert node["status"]["conditions"][0]["status"] == "True"
    assert stub.answer("ansible.builtin.stat", {}) == {"stat": {"exists": False}}
    assert stub.answer("ansible.builtin.file", {}) == {"changed": True}
