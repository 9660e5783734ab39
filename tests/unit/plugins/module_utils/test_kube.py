# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as a change of a Kubernetes object, and how it is shown; the cluster's part is in tests/e2e."""

from __future__ import annotations

from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils import kube

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "chat", "namespace": "llamaedge", "annotations": {"llamaedge/weight": "1"}},
    "spec": {"ports": [{"port": 8080}], "selector": {"app": "chat"}},
}


def changed(**metadata):
    return {**SERVICE, "metadata": {**SERVICE["metadata"], **metadata}}


def test_what_the_server_writes_is_no_change():
    live = {**changed(resourceVersion="5", uid="u", generation=2, managedFields=[{}]), "status": {"loadBalancer": {}}}
    assert kube.change(kube.intended(live), kube.intended(SERVICE)) is None


def test_a_deployments_revision_is_no_change():
    live = changed(annotations={"llamaedge/weight": "1", "deployment.kubernetes.io/revision": "7"})
    assert kube.change(kube.intended(live), kube.intended(SERVICE)) is None


def test_a_diff_has_only_what_differs():
    after = changed(annotations={"llamaedge/weight": "0", "llamaedge/kind": "chat"})
    assert kube.change(SERVICE, after) == {
        "title": "Service llamaedge/chat",
        "before": {"metadata": {"annotations": {"llamaedge/weight": "1"}}},
        "after": {"metadata": {"annotations": {"llamaedge/weight": "0", "llamaedge/kind": "chat"}}},
    }


def test_new_and_gone_objects_are_shown_whole():
    assert kube.change(None, SERVICE) == {"title": "Service llamaedge/chat", "before": {}, "after": SERVICE}
    assert kube.change(SERVICE, None) == {"title": "Service llamaedge/chat", "before": SERVICE, "after": {}}


def test_secrets_are_not_shown():
    def secret(value):
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"token": value}}

    for before, after in ((None, secret("c2VjcmV0")), (secret("b2xk"), secret("c2VjcmV0")), (secret("c2VjcmV0"), None)):
        diff = kube.change(before, after)
        assert diff is not None, "a new value is a change"
        assert "c2VjcmV0" not in str(diff)
        assert "b2xk" not in str(diff)
    assert kube.change(secret("c2VjcmV0"), secret("c2VjcmV0")) is None


def test_what_kubectl_keeps_of_a_secret_is_not_shown_either():
    kept = {kube.LAST_APPLIED: '{"data": {"token": "c2VjcmV0"}}', "mine": "1"}
    item = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "annotations": kept}}
    diff = kube.change(item, None)
    assert diff is not None
    assert "c2VjcmV0" not in str(diff)
    assert diff["before"]["metadata"]["annotations"] == {kube.LAST_APPLIED: kube.HIDDEN, "mine": "1"}
    assert kept[kube.LAST_APPLIED].startswith("{")


def test_the_same_object_in_two_versions_of_its_group_is_one():
    old = {**SERVICE, "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"}
    assert kube.identity(old) == kube.identity({**old, "apiVersion": "autoscaling/v2"})
    assert kube.identity(old) != kube.identity(SERVICE)


def test_who_applied_a_field():
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {}}}}
    live = changed(managedFields=[{"manager": "us", "operation": "Apply", "fieldsV1": fields}])
    assert kube.owned(live, ["spec", "replicas"], "us")
    assert not kube.owned(live, ["spec", "paused"], "us")
    assert not kube.owned(live, ["spec", "replicas"], "kubectl")
    updated = changed(managedFields=[{"manager": "us", "operation": "Update", "fieldsV1": fields}])
    assert not kube.owned(updated, ["spec", "replicas"], "us"), "only what was applied falls back to its default"


def test_a_handed_over_field_travels_alone():
    assert kube.only(SERVICE, ["spec", "replicas"], 3) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "chat", "namespace": "llamaedge"},
        "spec": {"replicas": 3},
    }
