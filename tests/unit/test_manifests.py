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
    assert {"Namespace", "RuntimeClass", "Deployment", "Service"} <= {item["kind"] for item in objects}
    for item in objects:
        if item["apiVersion"] != "keda.sh/v1alpha1":  # KEDA's own, which Kubernetes' schemas do not have
            kubernetes_validate.validate(item, KUBERNETES, strict=True)


def test_a_pod_has_its_models_read_only_and_nothing_else(objects):
    for pod in pods(objects):
        [container] = pod["containers"]
        assert [volume["name"] for volume in pod["volumes"]] == [mount["name"] for mount in container["volumeMounts"]]
        for volume, mount in zip(pod["volumes"], container["volumeMounts"], strict=True):
            assert volume["hostPath"]["type"] == "File"
            assert volume["hostPath"]["path"].endswith(".gguf")
            assert mount["readOnly"] is True
        words = container["env"][0]["value"] + " ".join(container["args"])
        assert all(mount["mountPath"] in words for mount in container["volumeMounts"])


def test_everything_of_a_model_can_be_found_again(objects):
    ours = {"app.kubernetes.io/name": "llama-api-server", "app.kubernetes.io/managed-by": "wasinn.cluster"}.items()
    for item in objects:
        if item["kind"] not in ("Namespace", "RuntimeClass"):
            assert ours <= item["metadata"]["labels"].items(), item["kind"]


def test_an_autoscaler_alone_chooses_the_number_of_pods(objects):
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in objects if "scaleTargetRef" in item.get("spec", {})}
    for item in objects:
        if item["kind"] == "Deployment":
            assert ("replicas" in item["spec"]) is (item["metadata"]["name"] not in scaled)


def test_a_pod_lives_until_its_drain_has_ended(objects):
    for pod in pods(objects):
        sleep = pod["containers"][0].get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})["preStop"]["sleep"]
        assert pod["terminationGracePeriodSeconds"] > sleep["seconds"]


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
            assert item["scheduling"]["nodeSelector"] == {"wasinn.cluster/runs-models": "true"}


def test_a_service_finds_its_pods(objects):
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in objects if item["kind"] == "Deployment"]
    for item in objects:
        if item["kind"] == "Service":
            selector = item["spec"]["selector"].items()
            assert sum(selector <= pod.items() for pod in labels) == 1


def pods(objects):
    """Pod specs of the deployments."""
    return [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
