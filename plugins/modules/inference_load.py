#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts a bounded load on an OpenAI-compatible endpoint; the work is in module_utils/load.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inference_load
short_description: Put a bounded load on an OpenAI-compatible endpoint and judge its answers
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Sends chat completions one after another and many at a time, and returns success, latencies, time to the first token,
    tokens per second, and which model gave how many of the answers.
  - Stops sending after O(time_limit). Connects directly, without a proxy.
  - In check mode nothing is sent.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: partial
    details:
      - Nothing is sent in check mode; the task is then reported as skipped.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
options:
  url:
    description:
      - Address of the server. C(/v1/chat/completions) is added unless it is there already.
    type: str
    required: true
  models:
    description:
      - Names of the models to ask in turn. Without any the request names none, and the balancer chooses by its weights.
    type: list
    elements: str
    default: []
  prompts:
    description:
      - Questions, asked in turn.
    type: list
    elements: str
    default: ["What is the capital of France?"]
  max_tokens:
    description:
      - Most tokens of an answer.
    type: int
    default: 16
  stream:
    description:
      - Ask for streams, which have a time to the first token.
    type: bool
    default: true
  phases:
    description:
      - What is sent, phase after phase.
    type: list
    elements: dict
    default:
      - {name: sequential, requests: 5, concurrency: 1}
      - {name: concurrent, requests: 20, concurrency: 4}
    suboptions:
      name:
        description:
          - Name of the phase.
        type: str
        required: true
      requests:
        description:
          - How many requests it sends.
        type: int
        required: true
      concurrency:
        description:
          - How many of them at a time.
        type: int
        default: 1
  timeout:
    description:
      - Seconds for one answer.
    type: float
    default: 60
  time_limit:
    description:
      - Seconds for all phases together. What is not sent by then is a finding.
    type: float
    default: 300
  weights:
    description:
      - The weight of each model, by the name it answers with. Its share of the answers to requests without a model's name is
        compared with it, from 20 answers on.
    type: dict
    default: {}
  share_tolerance:
    description:
      - By how much a share may be off. Three standard deviations of a draw by chance are always allowed.
    type: float
    default: 0.1
  success:
    description:
      - The ratio of requests that have to succeed.
    type: float
    default: 1.0
  p95:
    description:
      - Most milliseconds that 95 of 100 answers may take in each phase. V(0) allows any.
    type: float
    default: 0
  fail_on_findings:
    description:
      - Whether to fail if something is not good enough.
    type: bool
    default: true
  headers:
    description:
      - Further headers of the requests.
    type: dict
    default: {}
  api_key:
    description:
      - Sent as a bearer token.
    type: str
  validate_certs:
    description:
      - Whether the server's certificate is verified.
    type: bool
    default: true
  ca_path:
    description:
      - File of CA certificates to verify the server with, instead of the system's.
    type: path
seealso:
  - module: wasinn.cluster.chat_completion
"""

EXAMPLES = r"""
- name: See that the balancer keeps to its weights
  wasinn.cluster.inference_load:
    url: http://10.43.0.20:8080
    phases:
      - {name: concurrent, requests: 60, concurrency: 6}
    weights: {small: 2, large: 1}

- name: Ask one model, and be content with 99 of 100 answers within 2 seconds
  wasinn.cluster.inference_load:
    url: https://models.example.org
    api_key: "{{ vault_models_key }}"
    models: [small]
    success: 0.99
    p95: 2000
  register: load
"""

RETURN = r"""
phases:
  description: The figures of each phase. Latencies are those of requests that succeeded, percentiles by the nearest rank.
  returned: always
  type: list
  elements: dict
  sample:
    - name: concurrent
      requests: 20
      concurrency: 4
      succeeded: 19
      failed: 1
      unsent: 0
      seconds: 6.31
      requests_per_second: 3.01
      latency_ms: {p50: 1204.1, p95: 1690.3, p99: 1701.0, max: 1701.0}
      first_token_ms: {p50: 310.5, p95: 702.4, p99: 711.9, max: 711.9}
      tokens: 304
      tokens_per_second: 48.2
      models: {small: 13, large: 6}
      failures:
        - {status: 503, cause: status 503, count: 1, example: 'http://10.43.0.20:8080/v1/chat/completions answered 503 …'}
shares:
  description: The models' shares of the answers to requests without a model's name; empty without O(weights).
  returned: always
  type: list
  elements: dict
  sample:
    - {model: small, answers: 13, share: 0.684, expected: 0.667, within: true}
findings:
  description: What is not good enough, each with C(check), C(cause) and C(remedy).
  returned: always
  type: list
  elements: dict
passed:
  description: Whether there are no findings.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import sentence
from ansible_collections.wasinn.cluster.plugins.module_utils.load import Limits, Phase, run_all
from ansible_collections.wasinn.cluster.plugins.module_utils.openai_client import ChatError, ChatRequest, tls_context

PHASES = [
    {"name": "sequential", "requests": 5, "concurrency": 1},
    {"name": "concurrent", "requests": 20, "concurrency": 4},
]
ARGUMENT_SPEC = {
    "url": {"type": "str", "required": True},
    "models": {"type": "list", "elements": "str", "default": []},
    "prompts": {"type": "list", "elements": "str", "default": ["What is the capital of France?"]},
    "max_tokens": {"type": "int", "default": 16, "no_log": False},
    "stream": {"type": "bool", "default": True},
    "phases": {
        "type": "list",
        "elements": "dict",
        "default": PHASES,
        "options": {
            "name": {"type": "str", "required": True},
            "requests": {"type": "int", "required": True},
            "concurrency": {"type": "int", "default": 1},
        },
    },
    "timeout": {"type": "float", "default": 60},
    "time_limit": {"type": "float", "default": 300},
    "weights": {"type": "dict", "default": {}},
    "share_tolerance": {"type": "float", "default": 0.1},
    "success": {"type": "float", "default": 1.0},
    "p95": {"type": "float", "default": 0},
    "fail_on_findings": {"type": "bool", "default": True},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "api_key": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
}


def problems(params):
    """What is wrong with the parameters, as one sentence; empty if nothing is."""
    for phase in params["phases"]:
        if phase["requests"] < 1 or phase["concurrency"] < 1:
            return f"phase {phase['name']!r} needs at least one request, and one at a time; correct it."
    for model, weight in params["weights"].items():
        if not isinstance(weight, (int, float)) or weight < 0:
            return f"the weight of {model!r} is {weight!r}; give a number from 0 on."
    return "" if params["prompts"] else "there is nothing to ask; give at least one of prompts."


def requests_of(params):
    """One request for each model and prompt, to be taken in turn."""
    common = {
        "url": params["url"],
        "max_tokens": params["max_tokens"],
        "temperature": 0,
        "stream": params["stream"],
        "timeout": params["timeout"],
        "headers": {str(key): str(value) for key, value in params["headers"].items()},
        "api_key": params["api_key"] or "",
        "tls": tls_context(params["ca_path"] or "", params["validate_certs"]),
    }
    return [
        ChatRequest(model=model, messages=[{"role": "user", "content": prompt}], **common)
        for prompt in params["prompts"]
        for model in params["models"] or [""]
    ]


def main():
    """Runs the module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    wrong = problems(params)
    if wrong:
        module.fail_json(msg=wrong[:1].upper() + wrong[1:])
    if module.check_mode:
        module.exit_json(
            changed=False, skipped=True, msg="Nothing is sent in check mode.", phases=[], shares=[], findings=[]
        )
    phases = [Phase(**phase) for phase in params["phases"]]
    limits = Limits(success=params["success"], p95=params["p95"], share=params["share_tolerance"])
    try:
        result = run_all(phases, requests_of(params), params["time_limit"], params["weights"], limits)
    except ChatError as exc:
        module.fail_json(msg=f"{exc}.")
    if result["findings"] and params["fail_on_findings"]:
        module.fail_json(msg=sentence(result["findings"]), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
