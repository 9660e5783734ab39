# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifests of role llamaedge: rendered by Ansible, compared with tests/golden, valid in Kubernetes."""

from __future__ import annotations

import kubernetes_validate
import pytest

from tests.unit.manifests import GOLDEN, KUBERNETES, committed, objects_in, render

CASES = sorted(path.parent.name for path in GOLDEN.glob("*/vars.yml"))


@pytest.fixture(scope="module", params=CASES)
def rendered(request, exported, run, tmp_path_factory):
    """(case's name, {file name: text}) of one case of tests/golden."""
    variables = GOLDEN / request.param / "vars.yml"
    return request.param, render("llamaedge", variables, exported, run, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def objects(rendered):
    """All Kubernetes objects of the case."""
    return objects_in(rendered[1])


def test_as_committed(rendered):
    case, texts = rendered
    assert texts == committed(GOLDEN / case, texts)


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
