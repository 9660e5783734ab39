# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters that say what Deployments wait for, and how their pods are."""

from __future__ import annotations

import pytest
from ansible_collections.wasinn.cluster.plugins.filter.rollouts import rollouts_pending, unready_pods


def deployment(wanted=2, generation=3, **status):
    return {
        "metadata": {"name": "m", "generation": generation},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": 3, **status},
    }


def test_a_complete_rollout_waits_for_nothing():
    assert rollouts_pending([deployment(updatedReplicas=2, availableReplicas=2, replicas=2)], ["m"]) == []


def test_scaled_to_zero_is_complete():
    assert rollouts_pending([deployment(wanted=0)], ["m"]) == []


@pytest.mark.parametrize(
    ("item", "phrase"),
    [
        (deployment(generation=4, updatedReplicas=2, availableReplicas=2, replicas=2), "newer specification"),
        (deployment(updatedReplicas=1, availableReplicas=2, replicas=3), "1 of 2 pods of the newest kind"),
        (deployment(updatedReplicas=2, availableReplicas=3, replicas=3), "still has 1 old pods"),
        (deployment(updatedReplicas=2, availableReplicas=1, replicas=2), "1 of 2 pods ready"),
        ({"metadata": {"name": "m", "generation": 1}, "spec": {}}, "newer specification"),
    ],
)
def test_what_is_missing_is_said(item, phrase):
    (said,) = rollouts_pending([item], ["m"])
    assert phrase in said


def test_a_missing_deployment_is_said_and_others_do_not_matter():
    assert rollouts_pending([deployment(wanted=5)], ["other"]) == ["other has no Deployment"]


def pod(name="m-1-x", ready="False", node="n1", **status):
    conditions = [{"type": "Ready", "status": ready}, *status.pop("conditions", [])]
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": conditions, **status},
    }


def test_ready_pods_and_those_of_others_are_not_told():
    assert unready_pods([pod(ready="True"), pod("other-1-x")], ["m"]) == []


CRASHED = {
    "restartCount": 3,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}},
}
REFUSED = {
    "restartCount": 2,
    "state": {"terminated": {"exitCode": 128, "reason": "StartError", "message": "exec: no such file\n"}},
}
PULLING = {"restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
NOWHERE = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (pod(containerStatuses=[CRASHED]), "m-1-x on n1 ended with 2 (Error) and was restarted 3 times"),
        (
            pod(containerStatuses=[REFUSED]),
            "m-1-x on n1 ended with 128 (StartError: exec: no such file) and was restarted 2 times",
        ),
        (pod(containerStatuses=[PULLING]), "m-1-x on n1 waits (ErrImagePull: not found)"),
        (pod(node=None, conditions=[NOWHERE]), "m-1-x is not scheduled (0/3 nodes are available)"),
        (pod(), "m-1-x on n1 is Running, but not ready"),
    ],
)
def test_how_a_pod_is(item, why):
    assert [told["why"] for told in unready_pods([item], ["m"])] == [why]
