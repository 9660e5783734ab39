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
  - Runs the probe module with a model on the node itself, or in a pod on it, and returns the answer, times and speed.
  - On the node it looks at the runtime (as M(wasinn.cluster.wasmedge_plugin_info) does) and at the model's header (as
    M(wasinn.cluster.gguf_info) does) first. What is wrong there is reported and nothing is run.
  - Known failures are reported as cause and remedy.
  - Containers and pods of the probe have names of their own and are removed in any case.
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
      - V(pod) runs the probe's image as a pod on O(node), through scheduler, kubelet and RuntimeClass. The task is delegated
        to the controller, which has the kubeconfig; in a play over all nodes each gets its pod at once.
    type: str
    choices: [ctr, wasmedge, pod]
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
    description:
      - Where the model is to run.
      - With V(GPU) all of its layers go onto the GPU, and it is a finding if none did; else the processor computes.
      - A container of O(mode=ctr) is given no GPU, a pod one only by O(resources).
    type: str
    choices: [AUTO, CPU, GPU]
    default: AUTO
  timeout:
    description: Seconds the probe may take, loading of the model included.
    type: int
    default: 120
  image:
    description: The probe's image, for O(mode=ctr) and O(mode=pod). The kubelet's images are in containerd's namespace C(k8s.io).
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
    description: The probe module, for O(mode=wasmedge). The role P(wasinn.cluster.verify#role) brings it to each node.
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
  by_path:
    description:
      - Whether containerd is told the path of O(shim), for O(mode=ctr), in place of looking for it on its own C(PATH).
      - For a containerd whose configuration names the shim (C(runtime_path)), as C(ctr) does not read it.
    type: bool
    default: false
  config:
    description: The shim's configuration file.
    type: path
    default: /etc/wasinn/shim.toml
  kubeconfig:
    description: The file that says where the cluster is and who asks, for O(mode=pod).
    type: path
  context:
    description: The kubeconfig's context, for O(mode=pod). Its current one by default.
    type: str
  node:
    description: The node that the pod is for, by its name in the cluster. Needed for O(mode=pod).
    type: str
  pod_namespace:
    description: The pod's namespace, for O(mode=pod). In that of the models it is bound by the same quotas and policies.
    type: str
    default: llamaedge
  runtime_class:
    description: The pod's RuntimeClass, for O(mode=pod).
    type: str
    default: wasinn
  image_pull_policy:
    description: The pod's imagePullPolicy, for O(mode=pod). V(Never) where images are imported.
    type: str
    choices: [Always, IfNotPresent, Never]
    default: IfNotPresent
  user:
    description: The user that the pod runs as, for O(mode=pod); the model's file has to be readable for it.
    type: int
    default: 65532
  resources:
    description:
      - The pod's requests and limits, as a container has them, for O(mode=pod). Without any it fits onto a full node.
      - A pod has a GPU only if it asks for one here (C(nvidia.com/gpu)).
    type: dict
    default: {}
  baseline:
    description: How many tokens a second are usual here, for RV(verdict). V(0) if that is unknown.
    type: float
    default: 0
  fail_on_findings:
    description: Whether to fail if the model gave no fitting answer.
    type: bool
    default: true
requirements:
  - kubernetes >= 31, for O(mode=pod)
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

- name: Ask it in a pod on each node of the play at once
  wasinn.cluster.wasinn_probe:
    mode: pod
    kubeconfig: ~/.kube/config
    node: "{{ inventory_hostname }}"
    model: /var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf
    expect: Paris
    baseline: 70
  delegate_to: localhost
  register: in_a_pod
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
prompt_tokens_per_second:
  description: Speed of the prompt's tokens.
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
device:
  description:
    - V(GPU) or V(CPU), as far as it is known, else V(unknown). That layers are on a GPU is taken from llama.cpp's own words, and V(CPU)
      from a plugin without CUDA or O(device=CPU). A pod's plugins are not looked at.
  returned: when it said something
  type: str
  sample: CPU
verdict:
  description: V(failed) where there are findings, V(slow) at less than half of O(baseline), else V(passed).
  returned: unless it was skipped
  type: str
  sample: passed
share_of_baseline:
  description: Speed as a share of O(baseline); null where one of them is unknown.
  returned: when it was run
  type: float
  sample: 0.97
node:
  description: The node.
  returned: with O(mode=pod)
  type: str
seconds:
  description: Wall time of the whole command.
  returned: when it was run
  type: float
peak_memory_bytes:
  description:
    - The most memory that the container (its cgroup) or the program used, looked at ten times a second.
    - A container's counts the page cache it filled. A model that was in memory already counts for nothing.
    - A pod's is what the node's kubelet told while it ran, some times a second at best.
    - V(0) where nothing told it.
  returned: when it was run
  type: int
  sample: 136314880
command:
  description: The command that was run; of a pod, image and arguments.
  returned: when it was run
  type: list
  elements: str
return_code:
  description: Its exit status; null if it took too long or a pod did not start.
  returned: when it was run
  type: int
stderr_tail:
  description: End of what was written to standard error; of a pod that failed, what its status and events say.
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

import traceback
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.wasinn.cluster.plugins.module_utils.containerd import Ctr
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import sentence
from ansible_collections.wasinn.cluster.plugins.module_utils.gguf import describe
from ansible_collections.wasinn.cluster.plugins.module_utils.probe import (
    RUNTIME,
    Container,
    Program,
    Question,
    check_names,
    report,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.probe_pod import Api, Place, Pod
from ansible_collections.wasinn.cluster.plugins.module_utils.wasmedge import inspect

MISSING = ""
try:
    from kubernetes import config, dynamic
    from kubernetes.dynamic import exceptions as api_errors
    from urllib3.exceptions import HTTPError
    from yaml import YAMLError
except ImportError:
    MISSING = traceback.format_exc()

ARGUMENT_SPEC: dict[str, Any] = {
    "model": {"type": "path", "required": True},
    "mode": {"type": "str", "choices": ["ctr", "wasmedge", "pod"], "default": "ctr"},
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
    "by_path": {"type": "bool", "default": False},
    "config": {"type": "path", "default": "/etc/wasinn/shim.toml"},
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "node": {"type": "str"},
    "pod_namespace": {"type": "str", "default": "llamaedge"},
    "runtime_class": {"type": "str", "default": "wasinn"},
    "image_pull_policy": {"type": "str", "choices": ["Always", "IfNotPresent", "Never"], "default": "IfNotPresent"},
    "user": {"type": "int", "default": 65532},
    "resources": {"type": "dict", "default": {}},
    "baseline": {"type": "float", "default": 0},
    "fail_on_findings": {"type": "bool", "default": True},
}


def asked(params: dict[str, Any]) -> Question:
    """The question, however it is asked."""
    names = ("model", "prompt", "max_tokens", "device", "timeout")
    return Question(**{name: params[name] for name in names})


def probe_pod(params: dict[str, Any]) -> dict[str, Any]:
    """Asks in a pod; model and runtime are out of reach from here, so that the pod alone tells."""
    question = asked(params)
    findings = check_names(question)
    if findings:
        return {"findings": findings, "verdict": "failed"}
    place = Place(
        node=params["node"],
        namespace=params["pod_namespace"],
        runtime_class=params["runtime_class"],
        image=params["image"],
        pull=params["image_pull_policy"],
        user=params["user"],
        resources=params["resources"],
    )
    connection = config.new_client_from_config(params["kubeconfig"], params["context"])
    # Without its look at all kinds that there are: pods are asked for by path.
    client = dynamic.DynamicClient(connection, discoverer=lambda _client, _cache: None)
    outcome = Pod(Api(client, api_errors.DynamicApiError), place).ask(question)
    return {**report(outcome, question, params["expect"], None, params["baseline"]), "node": place.node}


def probe(params: dict[str, Any]) -> dict[str, Any]:
    """Looks first, then asks."""
    question = asked(params)
    shim = params["shim"] if params["mode"] == "ctr" else ""
    runtime = inspect(wasmedge_dir=params["wasmedge_dir"], shim=shim, config=params["config"])
    findings = runtime["findings"] + check_names(question)
    version = runtime["libwasmedge"].get("version", "")
    findings += describe(question.model, wasmedge_version=version)["findings"]
    if findings:
        return {"findings": findings, "verdict": "failed"}
    way: Container | Program
    if params["mode"] == "ctr":
        ctr = Ctr(params["address"], params["namespace"], tuple(params["ctr"]))
        way = Container(ctr, params["image"], params["snapshotter"], shim if params["by_path"] else RUNTIME)
    else:
        way = Program(f"{params['wasmedge_dir']}/bin/wasmedge", params["module"], runtime["plugin_dir"])
    cuda = any(each["cuda"] for each in runtime["plugins"])
    return report(way.ask(question), question, params["expect"], cuda, params["baseline"])


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("mode", "pod", ("kubeconfig", "node"))],
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="The probe is not run in check mode.", findings=[])
    answer = run_pod(module) if module.params["mode"] == "pod" else probe(module.params)
    if answer.get("verdict") == "slow":
        share = f"{answer['share_of_baseline']:.0%} of what is usual here ({module.params['baseline']:g})"
        module.warn(f"The probe generated {answer['tokens_per_second']:g} tokens/s, {share}.")
    if module.params["fail_on_findings"] and answer["findings"]:
        module.fail_json(msg=sentence(answer["findings"]), **answer)
    module.exit_json(changed=False, **answer)


def run_pod(module: AnsibleModule) -> dict[str, Any]:
    """The pod's answer; fails where nothing in the cluster could be asked."""
    if MISSING:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=MISSING)
    path = module.params["kubeconfig"]
    try:
        return probe_pod(module.params)
    except (config.ConfigException, OSError, YAMLError) as error:
        why = f"{path} cannot be used: {error}. Remedy: run wasinn.cluster.site, which fetches it."
    except HTTPError as error:
        why = f"The cluster's API does not answer: {error}. Remedy: see that {path} leads to a running cluster."
    module.fail_json(msg=why, findings=[])
    return {}  # fail_json has ended the module


if __name__ == "__main__":
    main()
