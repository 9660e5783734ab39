# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role upgrade: what is due on a node, and whose cordon it has."""

from __future__ import annotations

import json
import sys

import pytest

PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    artifacts_versions: {wasmedge: 0.14.1, wasinn: 0.1.0, llama_api_server: 0.28.1, k3s: v1.34.4+k3s1}
    k3s_server_group: k3s_server
    k3s_agent_group: k3s_agent
  tasks:
    - ansible.builtin.include_vars: {file: "%s"}
    - ansible.builtin.copy:
        content: "{{ {'due': __upgrade_due, 'keeps': __upgrade_unschedulable and not __upgrade_cordoned} | to_json }}"
        dest: "%s"
        mode: "0600"
      vars:
        ansible_facts: {ansible_local: {wasinn: %s}}
        __upgrade_node: {resources: [{spec: {unschedulable: %s}, status: {nodeInfo: {kubeletVersion: %s}}}]}
"""
LEFT = ["pods may come back, which an earlier upgrade kept away"]


@pytest.mark.parametrize(
    ("version", "cordoned", "mark", "due", "keeps"),
    [
        ("v1.34.4+k3s1", False, False, [], False),
        ("v1.34.4+k3s1", True, False, [], True),
        ("v1.34.4+k3s1", True, True, LEFT, False),
        ("v1.34.2+k3s1", True, True, ["k3s v1.34.2+k3s1 to v1.34.4+k3s1"], False),
    ],
    ids=["nothing", "the operator's cordon", "an earlier upgrade's cordon", "an upgrade that began"],
)
def test_what_is_due(exported, run, tmp_path, version, cordoned, mark, due, keeps):
    facts = {"upgrade": {"cordoned": True}} if mark else {}
    said = tmp_path / "said.json"
    variables = exported.path / "roles" / "upgrade" / "vars" / "main.yml"
    words = (variables, said, json.dumps(facts), json.dumps(cordoned), version)
    (tmp_path / "play.yml").write_text(PLAY % words)
    python = f"--extra-vars=ansible_python_interpreter={sys.executable}"
    run(
        *("ansible-playbook", "--inventory=localhost,", "--connection=local", python, tmp_path / "play.yml"),
        ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2]),
    )
    assert json.loads(said.read_text()) == {"due": due, "keeps": keeps}
