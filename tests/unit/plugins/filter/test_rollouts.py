# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter that says what Deployments wait for."""

from __future__ import annotations

import pytest
from ansible_collections.wasinn.cluster.plugins.filter.rollouts import rollouts_pending


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
