#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wasmedge_build_info
short_description: Tell which build of WasmEdge and its GGML plugin a node gets
version_added: 0.1.0
description:
  - Chooses from one table of published builds by what the node is, that is its architecture, glibc, CPU and NVIDIA driver.
  - Nothing is downloaded and nothing is changed.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes.info
options:
  version:
    description: Version of WasmEdge.
    type: str
    required: true
  variant:
    description:
      - The plugin's variant. V(auto) is the best that the node can run.
      - V(own) chooses WasmEdge alone, for a plugin from another address.
    type: str
    choices: [auto, cpu, noavx, cuda11, cuda12, own]
    default: auto
"""

EXAMPLES = r"""
- name: Choose the build for this node
  wasinn.cluster.wasmedge_build_info:
    version: 0.14.1
  register: chosen

- name: Show it
  ansible.builtin.debug:
    msg: "{{ chosen.build.plugin }}, because {{ chosen.build.reason }}"
"""

RETURN = r"""
build:
  description: The choice; empty where there is none.
  returned: always
  type: dict
  contains:
    version:
      description: Version of WasmEdge.
      type: str
      sample: 0.14.1
    variant:
      description: The plugin's variant.
      type: str
      sample: cpu
    runtime:
      description: Name of WasmEdge's archive.
      type: str
      sample: WasmEdge-0.14.1-manylinux_2_28_x86_64.tar.gz
    plugin:
      description: Name of the plugin's archive.
      type: str
      sample: WasmEdge-plugin-wasi_nn-ggml-0.14.1-manylinux_2_28_x86_64.tar.gz
    strip:
      description: How many leading folders WasmEdge's archive has around its files.
      type: int
      sample: 1
    reason:
      description: Why it is this one.
      type: str
      sample: there is no NVIDIA driver; the CPU has what it needs
findings:
  description: What is in the way; empty if nothing is.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Stable word for programs, V(wasmedge_build).
      type: str
    cause:
      description: What is wrong.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import finding
from ansible_collections.wasinn.cluster.plugins.module_utils.wasmedge_builds import NoBuild, choose, this_node

ARGUMENT_SPEC: dict[str, Any] = {
    "version": {"type": "str", "required": True},
    "variant": {"type": "str", "choices": ["auto", "cpu", "noavx", "cuda11", "cuda12", "own"], "default": "auto"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        build = asdict(choose(module.params["version"], module.params["variant"], this_node()))
    except NoBuild as error:
        module.exit_json(changed=False, build={}, findings=[finding("wasmedge_build", error.cause, error.remedy)])
    module.exit_json(changed=False, build=build, findings=[])


if __name__ == "__main__":
    main()
