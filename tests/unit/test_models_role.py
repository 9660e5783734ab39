# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles models and verify on simulated machines (benchmarks/scale): who keeps, copies, pulls and proves which model."""

from __future__ import annotations

import json

from benchmarks.scale import world

PLAY = """
- hosts: k3s_cluster
  gather_facts: false
  roles: [wasinn.cluster.models, wasinn.cluster.verify]
  tasks:
    - name: See that each host has its models
      ansible.builtin.assert:
        that:
          - "models_homes.keepers == {'everywhere': 5, 'left': 3, 'right': 2}"
          - here == ['everywhere', k3s_node_labels[0].split('=')[1]]
          - __models_info.results | map(attribute='item.name') == here
          - __verify_probes.results | map(attribute='item.name') == here
      vars:
        here: "{{ models_homes.on[inventory_hostname] }}"
    - name: See that each file left the controller once, and went to all others from nodes
      ansible.builtin.assert:
        that:
          - parts | map(attribute='copies') | flatten | sort == ['everywhere-wasmedge', 'left-wasmedge', 'right-wasmedge']
          - parts | map(attribute='pulls') | map('length') | sum == (5 - 1) + (3 - 1) + (2 - 1)
          - hostvars.values() | map(attribute='__models_pulled', default=dict()) | map(attribute='results', default=[]) | map('length') | sum == 7
      vars:
        parts: "{{ __models_plan.hosts.values() }}"
      run_once: true
    - name: See that one host made the probe's image
      ansible.builtin.assert:
        that: __workload_makers.values() | list == [ansible_play_hosts[0]]
"""


def test_each_host_has_its_part(run, exported, tmp_path):
    inventory, variables = world.build(tmp_path / "world", 5)
    (tmp_path / "play.yml").write_text(PLAY)
    run(
        "ansible-playbook",
        f"--inventory={inventory}",
        f"--extra-vars={json.dumps(variables)}",
        tmp_path / "play.yml",
        ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2]),
        ANSIBLE_PIPELINING="1",
        ANSIBLE_HOME=str(tmp_path / "home"),
    )
