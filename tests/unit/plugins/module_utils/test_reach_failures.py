# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh, sudo, Python and the API's client say is taken for."""

from __future__ import annotations

import re

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import api_failures, reach_failures

URL = "https://192.0.2.11:6443"


def test_a_machine_that_answers_has_no_finding():
    assert reach_failures.classify({"ping": "pong", "msg": "Connection refused"}) == []


@pytest.mark.parametrize("signature", reach_failures.SIGNATURES, ids=lambda signature: signature.check)
@pytest.mark.parametrize("key", ["msg", "module_stderr", "module_stdout"])
def test_each_example_is_recognised_wherever_it_is_said(signature, key):
    (found,) = reach_failures.classify({"failed": True, "msg": "Task failed: MODULE FAILURE", key: signature.example})
    assert found["check"] == signature.check
    assert not re.search(r"[{}]", found["cause"] + found["remedy"])
    matching = [one.check for one in reach_failures.SIGNATURES if re.search(one.pattern, signature.example)]
    assert matching[0] == signature.check


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (
            "Failed to connect to the host via ssh: ssh: connect to host 10.0.0.9 port 22: Connection timed out",
            "The machine cannot be reached (Connection timed out).",
        ),
        (
            "Failed to connect to the host via ssh: Timeout, server 10.0.0.9 not responding.",
            "The machine cannot be reached (Timeout, server 10.0.0.9 not responding).",
        ),
        ("/bin/sh: 1: /usr/bin/python3: not found\n", "The machine has no Python at /usr/bin/python3."),
        ("/bin/sh: line 1: /opt/python3.12: Permission denied", "The machine has no Python at /opt/python3.12."),
    ],
)
def test_what_was_said_is_in_the_sentence(said, cause):
    (found,) = reach_failures.classify({"msg": said})
    assert found["cause"] == cause


def test_what_is_unknown_is_quoted():
    (found,) = reach_failures.classify({"msg": "the moon\nis  full."})
    assert found == {
        "check": "reach",
        "cause": "Ansible cannot work on the machine: the moon is full.",
        "remedy": found["remedy"],
    }
    assert reach_failures.classify({})[0]["cause"].endswith("it gave no reason.")


@pytest.mark.parametrize("signature", api_failures.SIGNATURES, ids=lambda signature: signature.check)
def test_each_example_of_the_api_is_recognised(signature):
    (found,) = api_failures.classify(f"Failed to get client due to {signature.example}", URL)
    assert found["check"] == signature.check
    assert not re.search(r"[{}]", found["cause"] + found["remedy"])


def test_an_unknown_answer_of_the_api_is_quoted():
    (found,) = api_failures.classify("the server is on\nholiday.", URL)
    assert found["cause"] == f"The API at {URL} does not do what was asked: the server is on holiday."
