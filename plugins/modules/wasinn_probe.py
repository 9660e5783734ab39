#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wasinn_probe
short_description: Prove that a node can run a model in WebAssembly
version_added: 0.1.0
description:
  - Runs the probe module with a model on the node itself and returns the answer, times and speed.
  - Looks at the node's runtime (as M(wasinn.cluster.wasmedge_plugin_info) does) and at the model's header (as
    M(wasinn.cluster.gguf_info) does) first. What is wrong there is reported and nothing is run.
  - Known failures are reported as cause and remedy.
  - Containers of the probe have names of their own and are removed in any case.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: partial
    details:
      - The probe is not run in check mode; the task is then reported as skipped.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
options:
  model:
    description: The GGUF file.
    type: path
    required: true
  mode:
    description:
      - V(ctr) runs the probe's image as a container, through containerd and the shim, as pods are.
      - V(wasmedge) runs the probe module with the wasmedge program, without containerd and shim.
    type: str
    choices: [ctr, wasmedge]
    default: ctr
  prompt:
    description: Text for the model to continue.
    type: str
    default: The capital of France is
  max_tokens:
    description: Largest number of tokens to generate.
    type: int
    default: 16
  expect:
    description: Regular expression that has to match somewhere in the answer.
    type: str
    default: ''
  device:
    description: Where the model is to run.
    type: str
    choices: [AUTO, CPU, GPU]
    default: AUTO
  timeout:
    description: Seconds the probe may take, loading of the model included.
    type: int
    default: 120
  image:
    description: The probe's image, for O(mode=ctr).
    type: str
    default: wasinn.local/probe:0.1.0
  ctr:
    description: The ctr program and its first arguments. On k3s C([/usr/local/bin/k3s, ctr]).
    type: list
    elements: str
    default: [ctr]
  address:
    description: containerd's socket. On k3s C(/run/k3s/containerd/containerd.sock).
    type: path
    default: /run/containerd/containerd.sock
  namespace:
    description: containerd's namespace; the image has to be in it.
    type: str
    default: wasinn
  snapshotter:
    description: containerd's snapshotter, where it is not the default one.
    type: str
    default: ''
  module:
    description: The probe module, for O(mode=wasmedge).
    type: path
    default: /opt/wasinn/probe/wasinn-probe.wasm
  wasmedge_dir:
    description: Folder of the WasmEdge installation.
    type: path
    default: /opt/wasinn/wasmedge/current
  shim:
    description: The containerd shim, for O(mode=ctr).
    type: path
    default: /usr/local/bin/containerd-shim-wasmedge-v1
  config:
    description: The shim's configuration file.
    type: path
    default: /etc/wasinn/shim.toml
  fail_on_findings:
    description: Whether to fail if the model gave no fitting answer.
    type: bool
    default: true
seealso:
  - module: wasinn.cluster.wasmedge_plugin_info
  - module: wasinn.cluster.gguf_info
"""

EXAMPLES = r"""
- name: Ask a model through the shim, on k3s
  wasinn.cluster.wasinn_probe:
    model: /var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf
    prompt: The capital of France is
    expect: Paris
    ctr: [/usr/local/bin/k3s, ctr]
    address: /run/k3s/containerd/containerd.sock
  register: probe

- name: Ask the same model without containerd
  wasinn.cluster.wasinn_probe:
    model: /var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf
    mode: wasmedge
"""

RETURN = r"""
text:
  description: What the model said.
  returned: when it said something
  type: str
  sample: ' Paris.'
prompt_tokens:
  description: Tokens of the prompt.
  returned: when it said something
  type: int
completion_tokens:
  description: Tokens generated.
  returned: when it said something
  type: int
load_ms:
  description: Milliseconds until the model was usable.
  returned: when it said something
  type: float
prompt_ms:
  description: Milliseconds from the prompt to the first token.
  returned: when it said something
  type: float
generate_ms:
  description: Milliseconds for the tokens after the first.
  returned: when it said something
  type: float
tokens_per_second:
  description: Speed of the tokens after the first.
  returned: when it said something
  type: float
backend:
  description: The WASI-NN backend.
  returned: when it said something
  type: str
  sample: ggml
seconds:
  description: Wall time of the whole command.
  returned: when it was run
  type: float
peak_memory_bytes:
  description:
    - The most memory that the container (its cgroup) or the program used, looked at ten times a second.
    - A container's counts the page cache it filled. A model that was in memory already counts for nothing.
    - V(0) where nothing told it.
  returned: when it was run
  type: int
  sample: 136314880
command:
  description: The command that was run.
  returned: when it was run
  type: list
  elements: str
return_code:
  description: Its exit status; null if it took too long.
  returned: when it was run
  type: int
stderr_tail:
  description: End of what was written to standard error.
  returned: when it was run
  type: str
findings:
  description: What is wrong; empty if the model answered as expected.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Stable word for programs, such as V(plugin_not_loaded).
      type: str
    cause:
      description: What is wrong.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.containerd import Ctr
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import sentence
from ansible_collections.wasinn.cluster.plugins.module_utils.gguf import describe
from ansible_collections.wasinn.cluster.plugins.module_utils.probe import (
    Container,
    Program,
    Question,
    check_names,
    report,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.wasmedge import inspect

ARGUMENT_SPEC: dict[str, Any] = {
    "model": {"type": "path", "required": True},
    "mode": {"type": "str", "choices": ["ctr", "wasmedge"], "default": "ctr"},
    "prompt": {"type": "str", "default": "The capital of France is"},
    "max_tokens": {"type": "int", "default": 16, "no_log": False},
    "expect": {"type": "str", "default": ""},
    "device": {"type": "str", "choices": ["AUTO", "CPU", "GPU"], "default": "AUTO"},
    "timeout": {"type": "int", "default": 120},
    "image": {"type": "str", "default": "wasinn.local/probe:0.1.0"},
    "ctr": {"type": "list", "elements": "str", "default": ["ctr"]},
    "address": {"type": "path", "default": "/run/containerd/containerd.sock"},
    "namespace": {"type": "str", "default": "wasinn"},
    "snapshotter": {"type": "str", "default": ""},
    "module": {"type": "path", "default": "/opt/wasinn/probe/wasinn-probe.wasm"},
    "wasmedge_dir": {"type": "path", "default": "/opt/wasinn/wasmedge/current"},
    "shim": {"type": "path", "default": "/usr/local/bin/containerd-shim-wasmedge-v1"},
    "config": {"type": "path", "default": "/etc/wasinn/shim.toml"},
    "fail_on_findings": {"type": "bool", "default": True},
}


def probe(params: dict[str, Any]) -> dict[str, Any]:
    """Looks first, then asks."""
    names = ("model", "prompt", "max_tokens", "device", "timeout")
    question = Question(**{name: params[name] for name in names})
    shim = params["shim"] if params["mode"] == "ctr" else ""
    runtime = inspect(wasmedge_dir=params["wasmedge_dir"], shim=shim, config=params["config"])
    findings = runtime["findings"] + check_names(question)
    version = runtime["libwasmedge"].get("version", "")
    findings += describe(question.model, wasmedge_version=version)["findings"]
    if findings:
        return {"findings": findings}
    way: Container | Program
    if params["mode"] == "ctr":
        ctr = Ctr(params["address"], params["namespace"], tuple(params["ctr"]))
        way = Container(ctr, params["image"], params["snapshotter"])
    else:
        way = Program(f"{params['wasmedge_dir']}/bin/wasmedge", params["module"], runtime["plugin_dir"])
    return report(way.ask(question), question, params["expect"])


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="The probe is not run in check mode.", findings=[])
    answer = probe(module.params)
    if module.params["fail_on_findings"] and answer["findings"]:
        module.fail_json(msg=sentence(answer["findings"]), **answer)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
