# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifests of role llamaedge: rendered by Ansible, compared with tests/golden, valid in Kubernetes 1.34.

After a wanted change, `GOLDEN=write python -m pytest tests/unit/test_manifests.py` writes what is
rendered now; the commit's diff then shows what clusters will see.
"""

from __future__ import annotations

import os
import sys

import kubernetes_validate
import pytest
import yaml

from tests.lint.tree import REPO

KUBERNETES = "1.34"
GOLDEN = REPO / "tests" / "golden"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/vars.yml"))
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: wasinn.cluster.llamaedge
        tasks_from: render
"""


@pytest.fixture(scope="module", params=CASES)
def rendered(request, exported, run, tmp_path_factory):
    """(case's name, {file name: text}) of one case of tests/golden."""
    work = tmp_path_factory.mktemp(request.param)
    (work / "play.yml").write_text(PLAY)
    run(
        "ansible-playbook",
        "--inventory=localhost,",
        "--connection=local",
        f"--extra-vars=ansible_python_interpreter={sys.executable}",
        f"--extra-vars=@{GOLDEN / request.param / 'vars.yml'}",
        f"--extra-vars=llamaedge_render_dir={work / 'out'}",
        f"--extra-vars=artifacts_cache={work / 'cache'}",
        work / "play.yml",
        ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2]),
    )
    return request.param, {path.name: path.read_text() for path in sorted((work / "out").glob("*.yaml"))}


@pytest.fixture(scope="module")
def objects(rendered):
    """All Kubernetes objects of the case."""
    return [item for text in rendered[1].values() for item in yaml.safe_load_all(text) if item]


def test_as_committed(rendered):
    case, texts = rendered
    if os.environ.get("GOLDEN") == "write":
        for old in (GOLDEN / case).glob("*.golden"):
            old.unlink()
        for name, text in texts.items():
            (GOLDEN / case / f"{name}.golden").write_text(text)
    assert texts == {path.stem: path.read_text() for path in (GOLDEN / case).glob("*.golden")}


def test_valid_in_kubernetes(objects):
    assert {"Namespace", "RuntimeClass", "Deployment", "Service", "NetworkPolicy"} <= {item["kind"] for item in objects}
    for item in objects:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)


def test_a_pod_has_one_volume_its_model_read_only(objects):
    for pod in pods(objects):
        [volume] = pod["volumes"]
        assert volume["hostPath"]["type"] == "File"
        assert volume["hostPath"]["path"].endswith(".gguf")
        [container] = pod["containers"]
        [mount] = container["volumeMounts"]
        assert mount["name"] == volume["name"]
        assert mount["readOnly"] is True
        assert f":{mount['mountPath']}" in container["env"][0]["value"]


def test_a_pod_is_confined(objects):
    classes = {item["metadata"]["name"] for item in objects if item["kind"] == "RuntimeClass"}
    for pod in pods(objects):
        assert pod["runtimeClassName"] in classes
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        [container] = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"httpGet"} <= container["readinessProbe"].keys(), "the shim has no exec"


def test_a_runtime_class_schedules_on_verified_nodes_alone(objects):
    for item in objects:
        if item["kind"] == "RuntimeClass":
            assert item["scheduling"]["nodeSelector"] == {"wasinn.cluster/verified": "wasmedge-0.14.1"}


def test_a_service_finds_its_pods(objects):
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in objects if item["kind"] == "Deployment"]
    for item in objects:
        if item["kind"] == "Service":
            selector = item["spec"]["selector"].items()
            assert sum(selector <= pod.items() for pod in labels) == 1


def pods(objects):
    """Pod specs of the deployments."""
    return [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
