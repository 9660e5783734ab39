#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: Tell which NVIDIA GPUs a machine has and whether they can be used
version_added: 0.1.0
description:
  - Reads the PCI bus, the kernel module and the driver's libraries from C(/sys), C(/proc) and C(/usr/lib), and asks
    C(nvidia-smi) for model, memory and MIG devices of each GPU.
  - Says in one sentence each what keeps them from being used, such as nouveau, secure boot with an unsigned module, or a
    driver that was updated while its old module is loaded.
  - On a machine without an NVIDIA device nothing is asked, and nothing is found unless O(required) is set.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes.info
options:
  required:
    description: Whether a machine without an NVIDIA GPU is a finding.
    type: bool
    default: false
  installing:
    description:
      - Whether the driver is about to be installed, so that a missing one is no finding. What packages do not mend stays one,
        such as nouveau, and secure boot is warned of.
    type: bool
    default: false
  fail_on_findings:
    description: Whether to fail if anything keeps the GPUs from being used.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Look at the GPUs
  wasinn.cluster.gpu_info:
  register: gpu

- name: Refuse a machine whose GPU cannot be used
  wasinn.cluster.gpu_info:
    required: true
    fail_on_findings: true
"""

RETURN = r"""
gpu:
  description: What there is.
  returned: success
  type: dict
  contains:
    devices:
      description: NVIDIA's display controllers on the PCI bus, each with its address, device id and the kernel's driver.
      type: list
      elements: dict
    driver:
      description:
        - Versions of the loaded kernel module and of the libraries, whether nouveau is loaded, whether the module is
          there and who signed it, whether secure boot is on, and the device nodes.
      returned: with a device
      type: dict
    cuda:
      description: The newest CUDA version the driver can serve.
      type: str
      sample: "12.2"
    gpus:
      description: The GPUs as the driver sees them; memory in MiB.
      type: list
      elements: dict
    smi_error:
      description: What nvidia-smi said where it failed.
      type: str
  sample:
    cuda: "11.7"
    gpus:
      - {address: "0000:00:1e.0", architecture: Turing, memory_mib: 15360, mig: false, model: Tesla T4}
labels:
  description: Labels of the Kubernetes node; empty without a usable GPU.
  returned: success
  type: dict
  sample: {"wasinn.cluster/gpu.model": "Tesla-T4", "wasinn.cluster/gpu.count": "1"}
findings:
  description: What keeps the GPUs from being used; empty if nothing does.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Stable word for programs, such as V(gpu_nouveau).
      type: str
    cause:
      description: What is wrong.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils import gpu
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import sentence


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "required": {"type": "bool", "default": False},
            "installing": {"type": "bool", "default": False},
            "fail_on_findings": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params

    def run(words: list[str]) -> tuple[int, str, str]:
        program = module.get_bin_path(words[0])
        return module.run_command([program, *words[1:]]) if program else (127, "", f"there is no {words[0]}")

    told = gpu.look("/", run)
    findings = gpu.judge(told, params["required"], params["installing"])
    for text in gpu.warnings(told, params["installing"]):
        module.warn(text)
    if params["fail_on_findings"] and findings:
        module.fail_json(msg=sentence(findings), findings=findings)
    module.exit_json(changed=False, gpu=told, labels=gpu.labels(told), findings=findings)


if __name__ == "__main__":
    main()
