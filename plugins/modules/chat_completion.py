#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks an OpenAI-compatible endpoint a question; the client is in module_utils/openai_client.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chat_completion
short_description: Ask an OpenAI-compatible endpoint and check its answer
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Sends a chat completion request and fails unless a complete, well-formed answer comes that matches O(expect).
  - Connects directly, without a proxy.
extends_documentation_fragment:
  - wasinn.cluster.attributes
  - wasinn.cluster.attributes.info
options:
  url:
    description:
      - Address of the server. C(/v1/chat/completions) is added unless it is there already.
    type: str
    required: true
  model:
    description:
      - Name of the model.
    type: str
    required: true
  prompt:
    description:
      - The question, as a single message of the user.
    type: str
  messages:
    description:
      - The whole conversation, each message with C(role) and C(content).
    type: list
    elements: dict
  max_tokens:
    description:
      - Most tokens of the answer.
    type: int
    default: 64
  temperature:
    description:
      - Randomness of the answer. With V(0) the same question gets the same answer.
    type: float
    default: 0
  stream:
    description:
      - Ask for a stream, check each of its events and the end mark, and measure the time to the first token.
    type: bool
    default: false
  expect:
    description:
      - A regular expression that must match somewhere in the answer, without regard to case.
    type: str
  timeout:
    description:
      - Seconds for the whole answer.
    type: float
    default: 60
  retries:
    description:
      - How often a failed request is sent again. An unexpected answer is not asked for again.
    type: int
    default: 0
  delay:
    description:
      - Seconds between two tries.
    type: float
    default: 2
  headers:
    description:
      - Further headers of the request.
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
"""

EXAMPLES = r"""
- name: Ask for a capital
  wasinn.cluster.chat_completion:
    url: http://10.43.0.20:8080
    model: default
    prompt: What is the capital of France?
    expect: Paris
    retries: 10

- name: Measure the time to the first token
  wasinn.cluster.chat_completion:
    url: http://10.43.0.20:8080
    model: default
    stream: true
    messages:
      - {role: system, content: You are a helpful assistant.}
      - {role: user, content: Count to five.}
  register: answer
"""

RETURN = r"""
attempts:
  description: How many requests were sent.
  returned: always
  type: int
  sample: 1
chunks:
  description: How many events a stream had.
  returned: success
  type: int
  sample: 9
content:
  description: The model's answer, on failure what came instead of it.
  returned: when something came
  type: str
  sample: The capital of France is Paris.
finish_reason:
  description: Why the answer ended.
  returned: success
  type: str
  sample: stop
latency_s:
  description: Seconds to the end of the answer.
  returned: success
  type: float
  sample: 0.61
model:
  description: The model that answered, by its own account.
  returned: success
  type: str
  sample: default
status:
  description: The HTTP status, 0 if there was none.
  returned: always
  type: int
  sample: 200
ttft_s:
  description: Seconds to the first token.
  returned: success, with O(stream=true)
  type: float
  sample: 0.12
usage:
  description: Token counts by the server.
  returned: success
  type: dict
  sample: {completion_tokens: 8, prompt_tokens: 36, total_tokens: 44}
"""

import re
import time
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.openai_client import (
    ChatError,
    ChatRequest,
    chat,
    check_expectation,
)

ARGUMENT_SPEC = {
    "url": {"type": "str", "required": True},
    "model": {"type": "str", "required": True},
    "prompt": {"type": "str"},
    "messages": {"type": "list", "elements": "dict"},
    "max_tokens": {"type": "int", "default": 64, "no_log": False},
    "temperature": {"type": "float", "default": 0},
    "stream": {"type": "bool", "default": False},
    "expect": {"type": "str"},
    "timeout": {"type": "float", "default": 60},
    "retries": {"type": "int", "default": 0},
    "delay": {"type": "float", "default": 2},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "api_key": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
}


def ask(request, params):
    """Asks until an answer comes or the retries are used up; returns it with the number of attempts."""
    attempt = 1
    while True:
        try:
            result = chat(request)
            if params["expect"]:
                check_expectation(result, params["expect"])
            return result, attempt
        except ChatError as exc:
            exc.attempts = attempt
            if not exc.retryable or attempt > params["retries"]:
                raise
        attempt += 1
        time.sleep(params["delay"])


def main():
    """Runs the module."""
    module = AnsibleModule(
        ARGUMENT_SPEC,
        supports_check_mode=True,
        required_one_of=[("prompt", "messages")],
        mutually_exclusive=[("prompt", "messages")],
    )
    params = module.params
    try:
        re.compile(params["expect"] or "")
    except re.error as exc:
        module.fail_json(msg=f"expect {params['expect']!r} is not a regular expression ({exc}); correct it.")
    request = ChatRequest(
        url=params["url"],
        model=params["model"],
        messages=params["messages"] or [{"role": "user", "content": params["prompt"]}],
        max_tokens=params["max_tokens"],
        temperature=params["temperature"],
        stream=params["stream"],
        timeout=params["timeout"],
        headers={str(key): str(value) for key, value in params["headers"].items()},
        api_key=params["api_key"] or "",
        validate_certs=params["validate_certs"],
        ca_path=params["ca_path"] or "",
    )
    try:
        result, attempts = ask(request, params)
    except ChatError as exc:
        tries = f" (after {exc.attempts} attempts)" if exc.attempts > 1 else ""
        module.fail_json(msg=f"{exc}{tries}.", status=exc.status, content=exc.content, attempts=exc.attempts)
    module.exit_json(changed=False, attempts=attempts, **asdict(result))


if __name__ == "__main__":
    main()
