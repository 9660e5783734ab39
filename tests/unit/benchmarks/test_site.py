# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks/site gives its shell script, and what it makes of the times."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.site import record, report
from benchmarks.tasks.table import Cost
from tests.machines.scenario import Scenario

META = {
    "name": "balancer",
    "namespace": "llamaedge",
    "labels": {"app.kubernetes.io/managed-by": "wasinn.cluster"},
    "uid": "1",
    "resourceVersion": "2",
    "managedFields": [],
    "annotations": {"deployment.kubernetes.io/revision": "1"},
}


def test_objects_can_be_applied_to_another_cluster():
    spec = {"clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"], "type": "NodePort", "ports": [{"nodePort": 30080}]}
    service = record.bare({"apiVersion": "v1", "kind": "Service", "metadata": META, "spec": spec, "status": {}})
    assert service["spec"] == {"type": "NodePort", "ports": [{"nodePort": 30080}]}
    assert set(service) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(service["metadata"]) == {"name", "namespace", "labels"}
    headless = {"kind": "Service", "metadata": META, "spec": {"clusterIP": "None"}}
    assert record.bare(headless)["spec"] == {"clusterIP": "None"}


def test_nodes_get_the_label_that_pods_want():
    objects = [{"kind": "Service"}, {"kind": "RuntimeClass", "scheduling": {"nodeSelector": {"a.b/c": "d"}}}]
    assert record.label(objects) == "a.b/c=d"


def test_artifacts_have_the_names_that_the_script_uses(tmp_path):
    fetched = {}
    for name in ("wasmedge", "wasmedge_plugin_ggml", "shim", "k3s", "k3s_images", "chat"):
        (tmp_path / f"{name}.file").write_text(name)
        fetched[name] = {"path": str(tmp_path / f"{name}.file")}
    image = tmp_path / "image.tar"
    image.write_text("image")
    folder = tmp_path / "artifacts"
    record.artifacts(folder, fetched, {"chat": "chat.gguf"}, [image])
    assert (folder / "plugin.tar.gz").read_text() == "wasmedge_plugin_ggml"
    assert (folder / "models" / "chat.gguf").read_text() == "chat"
    assert (folder / "images" / "image.tar").read_text() == "image"
    script = Path(report.__file__).with_name("install.sh").read_text()
    assert all(short in script for short in record.ARTIFACTS.values())


def test_the_script_reads_its_settings(tmp_path):
    record.settings(tmp_path / "settings", SERVER="node1", AGENTS="node2 node3")
    words = ["sh", "-ec", '. ./settings; printf "%s|" $SERVER $AGENTS']
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "node1|node2|node3|"


def test_the_script_does_each_step_on_its_machines(tmp_path):
    """With programs that only note how they are called: order and machines, no more."""
    fake = '#!/bin/sh\necho "${0##*/} $*" >>LOG\ncase $* in *server/token*) echo TOKEN;; *curl*|*http*) echo Paris;; esac\ncat >/dev/null\n'
    (tmp_path / "bin").mkdir()
    for name in ("ssh", "scp", "curl"):
        program = tmp_path / "bin" / name
        program.write_text(fake.replace("LOG", str(tmp_path / "log")))
        program.chmod(0o755)
    names = ("ADDRESS", "WASMEDGE", "STRIP", "WASINN")
    lists = {"SERVER": "n1", "AGENTS": "n2 n3", "LABEL": "a/b=c", "DEPLOYMENTS": "x", "MODELS": "m"}
    record.settings(tmp_path / "settings", **dict.fromkeys(names, "1"), **lists)
    (tmp_path / "manifests.json").write_text("{}")
    words = ["sh", str(Path(report.__file__).with_name("install.sh")), str(tmp_path)]
    env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    subprocess.run(words, env=env, stdin=subprocess.DEVNULL, check=True, timeout=60)
    log = (tmp_path / "log").read_text().splitlines()

    def at(text: str) -> int:
        return next(index for index, line in enumerate(log) if text in line)

    assert [log[at(f"label --overwrite node n{number} a/b=c")].split()[3] for number in (1, 2, 3)] == ["n1"] * 3
    steps = (
        "n3:/var/tmp/stage/",
        "--quiet k3s",
        "server/token",
        "k3s-agent",
        "apply -f -",
        "rollout status",
        "http://",
    )
    assert [at(step) for step in steps] == sorted(at(step) for step in steps)
    assert sum("k3s-agent" in line for line in log) == 2
    assert (tmp_path / "token").read_text() == "TOKEN\n"


def test_ssh_reaches_each_machine_by_its_name(tmp_path):
    scenario = Scenario("bench-site", "10.213.28", ("node1", "node2"))
    record.ssh_config(scenario, tmp_path / "config")
    words = ["ssh", "-F", str(tmp_path / "config"), "-G", "node2"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "hostname 10.213.28.12\n" in said
    assert "user root\n" in said
    assert "stricthostkeychecking true\n" in said or "stricthostkeychecking yes\n" in said


def test_times_are_told_by_task_and_by_role(tmp_path):
    costs = [
        Cost("", "", "", seconds=2),
        Cost("wait", "roles/k3s/tasks/verify.yml:8", "x", seconds=30, cpu=1, ran=3),
        Cost("ask", "roles/k3s/tasks/run.yml:8", "x", seconds=8, cpu=1, ran=3),
    ]
    assert report.by_role(costs) == {"k3s": 38, "playbook": 2}
    assert report.tasks_table(costs, 1).splitlines()[2:] == [
        "| wait | roles/k3s/tasks/verify.yml:8 | 30.0 | 75 % | 1.0 | 3 |"
    ]
    results = report.Results([200.0, 180.0], [90.0, 100.0], costs)
    assert report.verdict(results) == "site_seconds=190 shell_seconds=95"
    assert all(path.stat().st_size > 1000 for path in report.draw(results, tmp_path))
