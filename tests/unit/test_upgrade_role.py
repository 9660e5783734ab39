# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role upgrade: what is due on a node, whose cordon it has, what refuses it, and how many agents are upgraded at a time."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import pytest
import yaml

from tests.lint.tree import REPO

PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    artifacts_versions: {wasmedge: 0.14.1, wasinn: 0.1.0, llama_api_server: 0.28.1, k3s: v1.34.4+k3s1}
    k3s_server_group: k3s_server
    k3s_agent_group: k3s_agent
    __k3s_is_existing: %s
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
MARK, EARLIER = {"upgrade": {"cordoned": True}}, {"shim": {"version": "0.0.9"}}
LEFT = ["pods may come back, which an earlier upgrade kept away"]


@pytest.mark.parametrize(
    ("version", "facts", "cordoned", "due", "keeps"),
    [
        ("v1.34.4+k3s1", {}, False, [], False),
        ("v1.34.4+k3s1", {}, True, [], True),
        ("v1.34.4+k3s1", MARK, True, LEFT, False),
        ("v1.34.2+k3s1", MARK, True, ["k3s v1.34.2+k3s1 to v1.34.4+k3s1"], False),
        ("v1.31.0", EARLIER, False, ["the shim 0.0.9 to 0.1.0"], False),
    ],
    ids=[
        "nothing",
        "the operator's cordon",
        "an earlier upgrade's cordon",
        "an upgrade that began",
        "an existing cluster",
    ],
)
def test_what_is_due(exported, run, tmp_path, version, facts, cordoned, due, keeps):
    said = tmp_path / "said.json"
    variables = exported.path / "roles" / "upgrade" / "vars" / "main.yml"
    words = (json.dumps(facts == EARLIER), variables, said, json.dumps(facts), json.dumps(cordoned), version)
    (tmp_path / "play.yml").write_text(PLAY % words)
    python = f"--extra-vars=ansible_python_interpreter={sys.executable}"
    run(
        *("ansible-playbook", "--inventory=localhost,", "--connection=local", python, tmp_path / "play.yml"),
        ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2]),
    )
    assert json.loads(said.read_text()) == {"due": due, "keeps": keeps}


INVENTORY = """
k3s_cluster:
  children:
    k3s_server: {hosts: {s1: , s2: }}
    k3s_agent: {hosts: {a1: , a2: , a3: }}
  vars: {ansible_connection: local}
"""


@pytest.fixture
def play(play_in, tmp_path):
    """``play(text, *args, **variables) -> (exit status, output)``; the variables are the group's."""

    def run(text: str, *args: str, **variables: Any) -> tuple[int, str]:
        (tmp_path / "hosts.yml").write_text(INVENTORY)
        (tmp_path / "play.yml").write_text(text)
        (tmp_path / "group_vars").mkdir()
        found = {"ansible_python_interpreter": sys.executable, **variables}
        (tmp_path / "group_vars" / "k3s_cluster.yml").write_text(yaml.safe_dump(found))
        return play_in(tmp_path, "-i", "hosts.yml", "play.yml", *args)

    return run


@pytest.mark.parametrize(
    ("given", "batches"),
    [({}, ["a1", "a2", "a3"]), ({"upgrade_batch": 2}, ["a1,a2", "a3"]), ({"upgrade_batch": "100%"}, ["a1,a2,a3"])],
    ids=["by default", "a number", "a share"],
)
def test_agents_are_upgraded_a_batch_at_a_time(play, given, batches):
    plays = yaml.safe_load((REPO / "playbooks" / "upgrade.yml").read_text())
    (agents,) = [item for item in plays if item.get("hosts") == "k3s_agent"]
    message = {"ansible.builtin.debug": {"msg": "batch={{ ansible_play_batch | join(',') }}."}, "run_once": True}
    before = {"hosts": "k3s_server", "gather_facts": False}  # a first play's keywords have no hostvars
    agents = {"hosts": "k3s_agent", "gather_facts": False, "serial": agents["serial"], "tasks": [message]}
    text = yaml.safe_dump([before, agents])
    status, output = play(text, **given)
    assert status == 0, output
    assert [part.split(".")[0] for part in output.split("batch=")[1:]] == batches


SKEW = """
- hosts: k3s_cluster
  gather_facts: false
  vars:
    artifacts_versions: {wasmedge: 0.14.1, wasinn: 0.1.0, llama_api_server: 0.28.1, k3s: v1.35.0+k3s1}
    k3s_server_group: k3s_server
    k3s_agent_group: k3s_agent
    ansible_facts: {}
    __k3s_is_existing: false
    __upgrade_node: {resources: [{status: {nodeInfo: {kubeletVersion: v1.34.4+k3s1}}}]}
    __upgrade_servers:
      resources:
        - {metadata: {name: s1}, status: {nodeInfo: {kubeletVersion: v1.35.0+k3s1}}}
        - {metadata: {name: s2}, status: {nodeInfo: {kubeletVersion: v1.34.4+k3s1}}}
    __upgrade_metrics: {}
  tasks:
    - ansible.builtin.include_vars: {file: "%s"}
    - ansible.builtin.set_fact: {k3s_registered_name: "{{ inventory_hostname }}"}
    - %s
    - ansible.builtin.debug: {msg: "{{ inventory_hostname }}={{ __upgrade_findings | map(attribute='check') | join(',') }}."}
"""


@pytest.mark.parametrize(
    ("limit", "refused"),
    [("all", []), ("k3s_agent", ["a1", "a2", "a3"]), ("s1", []), ("s2,a1", [])],
    ids=["all machines", "agents alone", "one server", "the server that is behind, and an agent"],
)
def test_agents_do_not_overtake_a_server(play, exported, limit, refused):
    role = exported.path / "roles" / "upgrade"
    plan = yaml.safe_load((role / "tasks" / "plan.yml").read_text())
    (share,) = [task for task in plan if "__upgrade_servers_kept" in task.get("ansible.builtin.set_fact", {})]
    status, output = play(SKEW % (role / "vars" / "main.yml", json.dumps(share)), "--limit", limit)
    assert status == 0, output
    assert [host for host in ("s1", "s2", "a1", "a2", "a3") if f"{host}=upgrade_skew." in output] == refused


DISK = """
- hosts: a1
  gather_facts: false
  vars:
    node_disk: {/: 2048000G}
    node_disk_upgrade: {/: 1024000G}
    artifacts_versions: {wasmedge: 0.14.1, wasinn: 0.1.0, llama_api_server: 0.28.1, k3s: v1.34.4+k3s1}
    ansible_facts: {ansible_local: %s}
  tasks:
    - ansible.builtin.include_role: {name: wasinn.cluster.node, tasks_from: preflight}
    - ansible.builtin.debug: {msg: "disk={{ node_findings | selectattr('check', 'equalto', 'disk') | map(attribute='cause') | join }}."}
"""


@pytest.mark.parametrize(
    ("local", "needed"),
    [
        ({}, "2000.0 TiB"),
        ({"wasinn": {"k3s": {"version": "v1.34.2+k3s1"}}}, "1000.0 TiB"),
        ({"wasinn": {"k3s": {"version": "v1.34.4+k3s1"}}}, ""),
    ],
    ids=["a new machine", "a node that is due", "a node that is not"],
)
def test_a_node_that_is_due_needs_space_but_less_than_a_new_one(play, local, needed):
    status, output = play(DISK % json.dumps(local))
    assert status == 0, output
    assert f"{needed} are needed" in output if needed else "disk=." in output


ASKED = """
- hosts: a1
  gather_facts: false
  vars:
    artifacts_versions: {wasmedge: 0.14.1, wasinn: 0.1.0, llama_api_server: 0.28.1, k3s: v1.34.4+k3s1}
    __k3s_is_existing: "{{ k3s_existing | length > 0 }}"
    ansible_facts: {ansible_local: {wasinn: %s}}
  tasks: [%s]
"""


@pytest.mark.parametrize(
    ("existing", "noted", "refused"),
    [("", "k3s", True), ("", "baseline", False), ("kubeadm", "baseline", True), ("kubeadm", "models", False)],
    ids=["ours", "ours, not finished", "existing", "existing, not finished"],
)
def test_site_does_not_change_versions_unasked(play, exported, existing, noted, refused):
    tasks = yaml.safe_load((exported.path / "roles" / "k3s" / "tasks" / "preflight.yml").read_text())
    (asked,) = [task for task in tasks if task["name"] == "Ask that no version changes unasked"]
    facts = {"shim": {"version": "0.0.9"}, noted: {"version": "v1.34.4+k3s1"}}
    status, output = play(ASKED % (json.dumps(facts), json.dumps(asked)), k3s_existing=existing, k3s_upgrade=False)
    said = "a1 would change from the shim 0.0.9 to 0.1.0, on all nodes at once. Remedy: run wasinn.cluster.upgrade"
    assert (status != 0, said in output) == (refused, refused), output


WAY_BACK = """
- hosts: a1
  gather_facts: false
  vars:
    artifacts_offline: true
    artifacts_versions: {wasmedge: 0.14.1, wasinn: 0.2.0, llama_api_server: 0.28.1, k3s: v1.34.4+k3s1}
    artifacts_urls: {shim: https://new.invalid/shim}
  tasks:
    - ansible.builtin.include_role: {name: "wasinn.cluster.{{ item }}", tasks_from: settings, public: true}
      loop: [artifacts, k3s]
    - ansible.builtin.set_fact:
        upgrade_before: "{{ artifacts_versions | combine({'wasinn': '0.1.0', 'k3s': 'v1.34.2+k3s1'}) }}"
        upgrade_before_urls: "{{ urls }}"
        upgrade_before_checksums: "{{ checksums }}"
    - ansible.builtin.include_role: {name: wasinn.cluster.upgrade, tasks_from: way_back}
    - ansible.builtin.include_role: {name: wasinn.cluster.node, tasks_from: refuse}
"""


@pytest.mark.parametrize("args", [[], ["--check"]], ids=["real", "dry"])
@pytest.mark.parametrize("lacks", ["", "k3s", "probe"])
def test_an_upgrade_without_a_way_back_is_refused_beforehand(play, tmp_path, lacks, args):
    names = ["wasmedge", "wasmedge_plugin_ggml", "shim", "k3s", "k3s_images", "probe"]
    cache = tmp_path / "cache" / "old.invalid"
    cache.mkdir(parents=True)
    for name in names:
        if name != lacks:
            (cache / name).write_text(name)
    status, output = play(
        WAY_BACK,
        *args,
        artifacts_cache=str(tmp_path / "cache"),
        k3s_airgap_images=True,
        urls={name: f"https://old.invalid/{name}" for name in names},
        checksums={name: hashlib.sha256(name.encode()).hexdigest() for name in names},
    )
    if not lacks:
        assert status == 0, output
        return
    assert status != 0
    assert "1 finding stands in the way: a1: [upgrade_way_back] Files by which the node could go back" in output
    assert f"{lacks}: {cache / lacks} is not in the cache" in output
    assert "or set upgrade_roll_back to false" in output
