# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Existing clusters without machines: what differs by distribution, the templates of k3s and RKE2, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lint.tree import REPO

GOLDEN = REPO / "tests" / "golden" / "existing"
INVENTORY = {
    "all": {
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
        "children": {
            "k3s_cluster": {"children": {"k3s_server": {"hosts": {"one": {}}}, "k3s_agent": {"hosts": {"two": {}}}}}
        },
    }
}
SETTINGS = {
    "ansible.builtin.include_role": {"name": "wasinn.cluster.{{ item }}", "tasks_from": "settings", "public": True}
}
CONTAINERD = """#!/bin/sh
cat <<END
version = 2
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
          [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
            BinaryName = ""
            SystemdCgroup = true
END
"""


@pytest.fixture
def play(exported, run, tmp_path: Path):
    """Runs tasks on the hosts one (server) and two (agent), with variables; gives the output."""
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(INVENTORY, sort_keys=False), encoding="utf-8")

    def run_tasks(tasks: list[dict[str, Any]], *args: str, env: dict[str, str] | None = None, **variables: Any) -> str:
        book = tmp_path / "play.yml"
        book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
        paths = {"ANSIBLE_COLLECTIONS_PATH": str(exported.path.parents[2]), **(env or {})}
        words = ("--inventory", tmp_path / "hosts.yml", "--extra-vars", json.dumps(variables), *args, book)
        return run("ansible-playbook", *words, **paths)

    return run_tasks


def settings(*roles: str) -> dict[str, Any]:
    return {**SETTINGS, "loop": list(roles)}


@pytest.mark.parametrize("kind", ["", "kubeadm", "rke2", "k3s"])
def test_what_differs_by_distribution(play, tmp_path, kind):
    """The table as it comes out, for a control plane and another node."""
    write = {
        "ansible.builtin.copy": {
            "content": "{{ __k3s_here | to_nice_yaml }}",
            "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}.yml",
            "mode": "0644",
        }
    }
    play([settings("k3s"), write], k3s_existing=kind)
    found = {"server": tmp_path / "one.yml", "agent": tmp_path / "two.yml"}
    table = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in found.items()}
    golden = GOLDEN / f"{kind or 'own'}.yml"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(
            "# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors\n# SPDX-License-Identifier: GPL-3.0-or-later\n---\n"
            + yaml.safe_dump(table, default_flow_style=None),
            encoding="utf-8",
        )
    assert table == yaml.safe_load(golden.read_text(encoding="utf-8"))


def test_the_table_gives_way_to_the_operators_settings(play):
    ask = {
        "ansible.builtin.assert": {
            "that": ["__k3s_here.address == '/run/mine.sock'", "__k3s_here.kubelet == 'kubelet'", "__k3s_ports == []"]
        }
    }
    play([settings("k3s"), ask], k3s_existing="kubeadm", k3s_existing_settings={"address": "/run/mine.sock"})


@pytest.mark.parametrize(
    ("version", "name", "section"),
    [(2, "config.toml.tmpl", "io.containerd.grpc.v1.cri"), (3, "config-v3.toml.tmpl", "io.containerd.cri.v1.runtime")],
)
def test_a_template_extends_what_k3s_has(play, exported, tmp_path, version, name, section):
    source = exported.path / "roles" / "k3s" / "templates" / "containerd.toml.tmpl.j2"
    write = {
        "ansible.builtin.template": {"src": str(source), "dest": f"{tmp_path}/{{{{ __k3s_template }}}}", "mode": "0644"}
    }
    known = {"__k3s_containerd": {"content": b64encode(f"version = {version}\n".encode()).decode()}}
    play([settings("k3s", "shim"), write], "--limit=one", k3s_existing="rke2", **known)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert '{{ template "base" . }}' in text
    rendered = text.replace('{{ template "base" . }}', f"version = {version}").replace("{{ .SystemdCgroup }}", "true")
    runtimes = tomllib.loads(rendered)["plugins"][section]["containerd"]["runtimes"]
    assert runtimes == {
        "wasmedge": {
            "runtime_type": "io.containerd.wasmedge.v1",
            "runtime_path": "/usr/local/bin/containerd-shim-wasmedge-v1",
            "options": {"SystemdCgroup": True},
        }
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="the role's files are root's")
def test_containerd_is_configured_once(play, tmp_path):
    """A dry run changes nothing, the first run adds the runtime, the second nothing more; what was there stays."""
    program = tmp_path / "bin" / "containerd"
    program.parent.mkdir()
    program.write_text(CONTAINERD, encoding="utf-8")
    program.chmod(0o755)
    config = tmp_path / "etc" / "config.toml"
    config.parent.mkdir()
    before = 'version = 2\n\n[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "pause"\n'
    config.write_text(before, encoding="utf-8")
    config.chmod(0o640)
    role = {"ansible.builtin.include_role": {"name": "wasinn.cluster.containerd", "tasks_from": "configure"}}
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    options = {"containerd_config_dir": str(config.parent), "containerd_cdi": False}
    assert "changed=1" in play([role], "--limit=one", "--check", "--diff", env=env, **options)
    assert config.read_text(encoding="utf-8") == before
    assert "changed=1" in play([role], "--limit=one", env=env, **options)
    text = config.read_text(encoding="utf-8")
    assert text.startswith(before)
    runtimes = tomllib.loads(text)["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]
    assert runtimes == {"wasmedge": {"runtime_type": "io.containerd.wasmedge.v1", "options": {"SystemdCgroup": True}}}
    assert config.stat().st_mode & 0o777 == 0o640
    assert "changed=0" in play([role], "--limit=one", env=env, **options)
    assert config.read_text(encoding="utf-8") == text


CTR = """#!/bin/sh
echo "$*" >>{log}
case "$*" in *list*) cat <<END
REF TYPE DIGEST SIZE PLATFORMS LABELS
registry.k8s.io/pause:3.10 application/x sha256:aa 1 B linux/amd64 -
sha256:0123 application/x sha256:bb 1 B wasi/wasm -
wasinn.local/balancer:0.1.0 application/x sha256:bb 1 B wasi/wasm -
wasinn.local/balancer-of-others:1 application/x sha256:cc 1 B wasi/wasm -
END
esac
"""


def test_images_go_with_their_second_names_and_no_others(play, tmp_path):
    log = tmp_path / "log"
    program = tmp_path / "ctr"
    program.write_text(CTR.format(log=log), encoding="utf-8")
    program.chmod(0o755)
    forget = {
        "ansible.builtin.include_role": {"name": "wasinn.cluster.workload", "tasks_from": "forget"},
        "vars": {"workload_images_gone": ["wasinn.local/balancer", "wasinn.local/watcher"]},
    }
    options = {"k3s_existing": "kubeadm", "k3s_existing_settings": {"ctr": [str(program)], "address": "/run/c.sock"}}
    assert "changed=1" in play([settings("k3s"), forget], "--limit=one", **options)
    before = "--address /run/c.sock --namespace k8s.io images"
    removed = f"{before} remove --sync sha256:0123 wasinn.local/balancer:0.1.0"
    assert log.read_text(encoding="utf-8").splitlines() == [f"{before} list", removed]


def test_a_kubelet_that_does_not_run_and_an_api_that_does_not_answer_are_told(play):
    """The unit has a name that no machine has, so that it does not run anywhere."""
    look = {"ansible.builtin.include_role": {"name": "wasinn.cluster.k3s", "tasks_from": "preflight_existing"}}
    tell = {
        "ansible.builtin.debug": {
            "msg": "{{ inventory_hostname }} {{ node_findings | map(attribute='check') | join(',') }}."
        }
    }
    settings_ = {"kubelet": "wasinn-no-such-kubelet", "kubeconfig": "/nonexistent/admin.conf"}
    output = play([settings("k3s"), look, tell], k3s_existing="kubeadm", k3s_existing_settings=settings_)
    assert "one existing_api,existing_kubelet." in output
    assert "two existing_kubelet." in output
    assert "changed=0" in output


@pytest.mark.parametrize(
    ("limit", "there", "fetched"),
    [("all", True, True), ("two", True, False), ("two", False, True)],
    ids=["whole", "a node", "a node, from another controller"],
)
def test_a_reset_has_a_kubeconfig(play, exported, tmp_path, limit, there, fetched):
    """It comes from the first control plane, whichever node is reset."""
    files = exported.path / "roles" / "k3s" / "tasks"
    (condition,) = [
        {key: value for key, value in task.items() if key != "ansible.builtin.include_tasks"}
        for task in yaml.safe_load((files / "reset_existing.yml").read_text())
        if task.get("ansible.builtin.include_tasks") == "kubeconfig.yml"
    ]
    read = yaml.safe_load((files / "kubeconfig.yml").read_text())[0]
    (tmp_path / "admin.conf").touch()
    if there:
        (tmp_path / "kubeconfig").touch()
    output = play(
        [settings("k3s"), {"block": [read], **condition}],
        f"--limit={limit}",
        k3s_existing="kubeadm",
        k3s_existing_settings={"kubeconfig": str(tmp_path / "admin.conf")},
        k3s_kubeconfig=str(tmp_path / "kubeconfig"),
    )
    asked = "one" if limit == "all" else "two -> one"
    assert (f"ok: [{asked}]" in output.partition("TASK [Read the kubeconfig]")[2]) is fetched, output


@pytest.mark.parametrize("playbook", ["backup", "restore", "rotate", "scale"])
def test_what_only_our_own_cluster_knows_is_refused(exported, tmp_path, playbook):
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(INVENTORY, sort_keys=False), encoding="utf-8")
    words = [
        Path(sys.executable).parent / "ansible-playbook",
        f"wasinn.cluster.{playbook}",
        "-i",
        tmp_path / "hosts.yml",
        "-e",
        "k3s_existing=rke2",
    ]
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(exported.path.parents[2]), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "is left to RKE2, since k3s_existing is rke2: this collection did not make the cluster." in done.stdout
    assert "changed=0" in done.stdout
