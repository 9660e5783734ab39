# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifests of role balancer: as committed, valid in Kubernetes, and with no more rights than they need."""

from __future__ import annotations

import tomllib

import kubernetes_validate
import pytest
import yaml

from tests.lint.tree import REPO
from tests.unit.manifests import GOLDEN, KUBERNETES, committed, objects_in, render

CASES = sorted(path.parent.name for path in GOLDEN.glob("balancer/*/vars.yml"))
# Kinds of operators, which Kubernetes' own schemas do not have.
FOREIGN = {"HTTPRoute", "ServiceMonitor", "PrometheusRule"}


@pytest.fixture(scope="module", params=CASES)
def rendered(request, exported, run, tmp_path_factory):
    """(case's name, {file name: text})."""
    variables = GOLDEN / "balancer" / request.param / "vars.yml"
    return request.param, render("balancer", variables, exported, run, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def objects(rendered):
    return objects_in(rendered[1])


def test_as_committed(rendered):
    case, texts = rendered
    own = {name: text for name, text in texts.items() if name != "monitoring.yaml"}  # that has whole files, see below
    assert own == committed(GOLDEN / "balancer" / case, own)


def test_dashboard_and_alerts_arrive_whole(rendered, objects):
    if rendered[0] != "everything":
        assert "monitoring.yaml" not in rendered[1]
        return
    files = REPO / "roles" / "balancer" / "files"
    (dashboard,) = (item for item in of(objects, "ConfigMap") if item["metadata"]["name"] == "balancer-dashboard")
    assert list(dashboard["data"].values()) == [(files / "dashboard.json").read_text().rstrip()]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    (rules,) = of(objects, "PrometheusRule")
    assert rules["spec"] == yaml.safe_load((files / "alerts.yml").read_text())
    (monitor,) = of(objects, "ServiceMonitor")
    for item in (rules, monitor):
        assert item["metadata"]["labels"]["release"] == "prometheus"
    (ops,) = (item for item in of(objects, "Service") if item["metadata"]["name"] == "balancer-ops")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= ops["metadata"]["labels"].items()


def test_valid_in_kubernetes(objects):
    for item in objects:
        if item["kind"] not in FOREIGN:
            kubernetes_validate.validate(item, KUBERNETES, strict=True)


def test_no_key_and_no_token_in_a_manifest(rendered):
    assert "never-in-a-manifest" not in "".join(rendered[1].values())
    assert "kind: Secret\n" not in "".join(rendered[1].values())


def test_everything_is_found_again_by_its_labels(objects):
    for item in objects:
        assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "balancer"
        assert item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "wasinn.cluster"


def test_only_looking_is_allowed(objects):
    (role,) = of(objects, "Role")
    rules = [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in role["rules"]]
    assert rules == [
        ([""], ["services"], ["list", "watch"]),
        (["discovery.k8s.io"], ["endpointslices"], ["list", "watch"]),
    ]
    (binding,) = of(objects, "RoleBinding")
    (account,) = of(objects, "ServiceAccount")
    assert [subject["name"] for subject in binding["subjects"]] == [account["metadata"]["name"]]


def test_only_the_pod_that_watches_has_a_token(objects):
    (account,) = of(objects, "ServiceAccount")
    for deployment in of(objects, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        sources = [source for volume in pod["volumes"] for source in volume.get("projected", {}).get("sources", [])]
        tokens = [source for source in sources if "serviceAccountToken" in source]
        watches = deployment["metadata"]["name"] == account["metadata"]["name"]
        assert len(tokens) == watches
        assert pod["automountServiceAccountToken"] is False
        assert (pod["serviceAccountName"] == account["metadata"]["name"]) == watches


def test_a_pod_is_confined(objects):
    for deployment in of(objects, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all(mount["readOnly"] for mount in container["volumeMounts"])
        assert {"exec"}.isdisjoint(container.get("readinessProbe", {})), "the shim has no exec"


def test_a_rollout_never_lacks_a_balancer_and_the_hook_ends_before_the_grace_period(objects):
    (balancer,) = (item for item in of(objects, "Deployment") if item["metadata"]["name"] == "balancer")
    assert balancer["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    pod = balancer["spec"]["template"]["spec"]
    path = pod["containers"][0]["lifecycle"]["preStop"]["httpGet"]["path"]
    assert path.startswith("/drained?timeout=")
    assert int(path.partition("=")[2]) < pod["terminationGracePeriodSeconds"]


def test_named_ports_are_the_pods_own(objects):
    (balancer,) = (item for item in of(objects, "Deployment") if item["metadata"]["name"] == "balancer")
    pod = balancer["spec"]["template"]
    names = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    for service in of(objects, "Service"):
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    clients = next(item for item in of(objects, "Service") if item["metadata"]["name"] == "balancer")
    assert [port["targetPort"] for port in clients["spec"]["ports"]] == ["http"], "clients reach nothing else"


def test_the_admin_port_is_open_to_nobody_by_default(rendered, objects):
    (policy,) = (item for item in of(objects, "NetworkPolicy") if item["metadata"]["name"] == "balancer")
    rules = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}
    assert ("admin" in rules) == (rendered[0] != "defaults")
    assert rules.get("admin") != [], "an empty list of peers would be everyone"


def test_the_configuration_is_toml_and_its_checksum_rolls_the_pods(objects):
    (config,) = (item for item in of(objects, "ConfigMap") if item["metadata"]["name"] == "balancer")
    settings = tomllib.loads(config["data"]["config.toml"])
    (balancer,) = (item for item in of(objects, "Deployment") if item["metadata"]["name"] == "balancer")
    assert settings["watch"] == (len(of(objects, "Deployment")) == 1)
    assert len(balancer["spec"]["template"]["metadata"]["annotations"]["wasinn.cluster/config-sha256"]) == 64


def of(objects, kind):
    """The objects of a kind."""
    return [item for item in objects if item["kind"] == kind]
