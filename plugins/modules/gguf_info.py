#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gguf_info
short_description: Describe a GGUF model file and find out whether it is whole
version_added: 0.1.0
description:
  - Reads the header of a GGUF file (versions 2 and 3) and returns the model's architecture, quantisation,
    context length, tokenizer, chat template and number of parameters.
  - Computes from the list of tensors how many bytes the file has to have, so that a download that was cut short
    is found without a checksum.
  - Only the header is read, so the time needed does not depend on the size of the model.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes.info
options:
  path:
    description: The model file.
    type: path
    required: true
  context:
    description:
      - Number of tokens of context to estimate the memory for.
      - Without it, 4096 tokens or the model's own context length, whichever is smaller.
    type: int
  wasmedge_version:
    description:
      - The WasmEdge version the model is to run on. If set, architectures that are known to be too new for its WASI-NN
        plugin are reported.
    type: str
    default: ''
  fail_on_findings:
    description: Whether to fail if anything is wrong with the file.
    type: bool
    default: false
seealso:
  - module: wasinn.cluster.wasinn_probe
"""

EXAMPLES = r"""
- name: Look at a model
  wasinn.cluster.gguf_info:
    path: /var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf
  register: gguf

- name: Refuse a truncated or damaged model
  wasinn.cluster.gguf_info:
    path: /var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf
    fail_on_findings: true
"""

RETURN = r"""
model:
  description:
    - What the header says. Sizes are in bytes.
    - Of a file that is no readable GGUF, only RV(model.path) and (if there is one) RV(model.file_size) are returned.
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
    version:
      description: Version of the GGUF format.
      type: int
    file_size:
      description: Size of the file.
      type: int
    expected_size:
      description: Size that the tensors in the header need.
      type: int
    architecture:
      description: Architecture as llama.cpp names it.
      type: str
    name:
      description: The model's name.
      type: str
    quantisation:
      description: Quantisation of the whole file; empty if the header does not tell.
      type: str
    parameters:
      description: Number of parameters.
      type: int
    context_length:
      description: Context the model was trained for, in tokens.
      type: int
    embedding_length:
      description: Width of an embedding.
      type: int
    block_count:
      description: Number of layers.
      type: int
    tokenizer:
      description: Kind of tokenizer.
      type: str
    vocabulary:
      description: Number of tokens the tokenizer knows.
      type: int
    chat_template:
      description: The chat template (Jinja); empty if there is none.
      type: str
    tensors:
      description: Number of tensors.
      type: int
    tensor_types:
      description: Number of tensors of each type.
      type: dict
    memory:
      description:
        - Memory for the weights and for the keys and values of RV(model.memory.context) tokens as 16-bit floats.
        - The compute buffers of llama.cpp come on top.
      type: dict
      contains:
        context:
          description: Tokens of context.
          type: int
        weights:
          description: Bytes of all tensors.
          type: int
        kv_cache:
          description: Bytes of the keys and values; 0 if the header does not tell.
          type: int
        total:
          description: Sum of both.
          type: int
  sample:
    architecture: llama
    context_length: 8192
    expected_size: 98362432
    file_size: 98362432
    quantisation: Q4_1
findings:
  description: What is wrong with the file; empty if nothing is.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Stable word for programs, such as V(gguf_truncated).
      type: str
    cause:
      description: What is wrong, naming the file.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import sentence
from ansible_collections.wasinn.cluster.plugins.module_utils.gguf import describe


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "context": {"type": "int"},
            "wasmedge_version": {"type": "str", "default": ""},
            "fail_on_findings": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    answer = describe(params["path"], params["context"], params["wasmedge_version"])
    if params["fail_on_findings"] and answer["findings"]:
        module.fail_json(msg=sentence(answer["findings"]), **answer)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
