#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_preflight
short_description: Tell whether a machine can become a node
version_added: 0.1.0
description:
  - Looks, in one call, at everything on a machine that would make an installation fail late.
  - Returns all findings instead of failing at the first, so that a playbook can report them for all hosts as one list
    before it changes anything.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes.info
options:
  architectures:
    description: Architectures there are artifacts for; empty for any.
    type: list
    elements: str
    default: [x86_64, aarch64]
  glibc:
    description: Oldest glibc version; empty for any C library.
    type: str
    default: '2.28'
  python:
    description: Oldest Python version.
    type: str
    default: '3.9'
  cgroup_controllers:
    description: cgroup controllers that have to be available.
    type: list
    elements: str
    default: [cpu, memory, pids]
  memory:
    description: Memory the machine needs, such as V(2G).
    type: str
    default: '0'
  disk:
    description:
      - Free space that is needed, as a dictionary of paths and sizes such as V(5G).
      - Paths need not exist yet. Sizes of paths on one filesystem are added up.
    type: dict
    default: {}
  writable:
    description: Folders that files are installed into. They need not exist yet.
    type: list
    elements: str
    default: []
  resolves:
    description: Names that the machine has to find an address for.
    type: list
    elements: str
    default: []
  ports:
    description: Ports that nobody may use but O(own_units).
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: Number of the port.
        type: int
        required: true
      protocol:
        description: Protocol of the port.
        type: str
        choices: [tcp, udp]
        default: tcp
  free_addresses:
    description: Addresses that nobody may have.
    type: list
    elements: str
    default: []
  free_port:
    description: Port at which a machine that has one of O(free_addresses) would answer or refuse.
    type: int
    default: 6443
  own_units:
    description: systemd units that may use O(ports).
    type: list
    elements: str
    default: [k3s.service, k3s-agent.service, containerd.service]
  own_mark:
    description:
      - Text in a unit file by which this collection knows its own units.
      - Another k3s unit, and each unit of another Kubernetes, is reported.
    type: str
    default: wasinn.cluster
  existing:
    description:
      - A Kubernetes that is to be there and stays. It is reported where it is missing, and others where they are there.
    type: str
    choices: ['', kubeadm, rke2, k3s]
    default: ''
  node_name:
    description: Name the node is to have; without it the host name.
    type: str
    default: ''
  commands:
    description: Programs that have to be installed.
    type: list
    elements: str
    default: []
  epoch:
    description: The controller's time in seconds since 1970, to compare the clock with. Without it, the clock is not checked.
    type: float
  max_skew:
    description: Seconds by which the clock may differ; the time Ansible takes to reach the machine is part of it.
    type: float
    default: 60
  fail_on_findings:
    description: Whether to fail if the machine cannot become a node.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Look at a machine before anything is changed
  wasinn.cluster.node_preflight:
    memory: 2G
    disk:
      /opt/wasinn: 1G
      /var/lib/wasinn/models: 2G
    ports:
      - port: 6443
      - port: 8472
        protocol: udp
    epoch: "{{ now().timestamp() }}"
  register: preflight
"""

RETURN = r"""
machine:
  description: What was looked at.
  returned: success
  type: dict
  contains:
    architecture:
      description: Architecture of the machine.
      type: str
      sample: x86_64
    kernel:
      description: Release of the kernel.
      type: str
    glibc:
      description: glibc version; empty for another C library.
      type: str
    python:
      description: Version of the Python that Ansible uses there.
      type: str
    cgroups:
      description: Version (1 or 2) and available controllers.
      type: dict
    memory:
      description: Bytes of memory.
      type: int
    disk:
      description: Free bytes for each path of O(disk).
      type: dict
    node_name:
      description: Name the node would have.
      type: str
    clock_ahead:
      description: Seconds by which the clock is ahead of O(epoch); null without it.
      type: float
findings:
  description: What is in the way; empty if nothing is.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Stable word for programs, such as V(port) or V(memory).
      type: str
    cause:
      description: What is wrong.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

import platform
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import sentence
from ansible_collections.wasinn.cluster.plugins.module_utils.loader import node_glibc
from ansible_collections.wasinn.cluster.plugins.module_utils.node_checks import EXISTING, Machine

ARGUMENT_SPEC: dict[str, Any] = {
    "architectures": {"type": "list", "elements": "str", "default": ["x86_64", "aarch64"]},
    "glibc": {"type": "str", "default": "2.28"},
    "python": {"type": "str", "default": "3.9"},
    "cgroup_controllers": {"type": "list", "elements": "str", "default": ["cpu", "memory", "pids"]},
    "memory": {"type": "str", "default": "0"},
    "disk": {"type": "dict", "default": {}},
    "writable": {"type": "list", "elements": "str", "default": []},
    "resolves": {"type": "list", "elements": "str", "default": []},
    "ports": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "port": {"type": "int", "required": True},
            "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
        },
    },
    "free_addresses": {"type": "list", "elements": "str", "default": []},
    "free_port": {"type": "int", "default": 6443},
    "own_units": {
        "type": "list",
        "elements": "str",
        "default": ["k3s.service", "k3s-agent.service", "containerd.service"],
    },
    "own_mark": {"type": "str", "default": "wasinn.cluster"},
    "existing": {"type": "str", "choices": ["", *EXISTING], "default": ""},
    "node_name": {"type": "str", "default": ""},
    "commands": {"type": "list", "elements": "str", "default": []},
    "epoch": {"type": "float"},
    "max_skew": {"type": "float", "default": 60},
    "fail_on_findings": {"type": "bool", "default": False},
}


def look(params: dict[str, Any]) -> dict[str, Any]:
    """All checks. Raises ``ValueError`` for a size or an address that is none."""
    wanted_memory = human_to_bytes(params["memory"])
    wanted_disk = {path: human_to_bytes(size) for path, size in params["disk"].items()}
    machine = Machine()
    machine.system(params["architectures"], params["glibc"], params["python"])
    machine.rights()
    machine.systemd()
    machine.cgroups(params["cgroup_controllers"])
    memory = machine.memory(wanted_memory)
    disk = machine.disk(wanted_disk)
    machine.writable(params["writable"])
    machine.resolves(params["resolves"])
    machine.ports(params["ports"], params["own_units"])
    machine.kernel()
    machine.inotify()
    name = machine.name(params["node_name"])
    machine.commands(params["commands"])
    machine.selinux(params["existing"])
    machine.free(params["free_addresses"], params["free_port"])
    machine.kubernetes(params["own_mark"], params["existing"])
    ahead = machine.clock(params["epoch"], params["max_skew"]) if params["epoch"] else None
    seen = {
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "glibc": node_glibc(),
        "python": platform.python_version(),
        "cgroups": machine.controllers(),
        "memory": memory,
        "disk": disk,
        "node_name": name,
        "clock_ahead": ahead,
    }
    return {"machine": seen, "findings": machine.findings}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        answer = look(module.params)
    except ValueError as error:
        module.fail_json(msg=f"{error}. Write sizes like 500M or 2G, addresses like 192.0.2.10.", findings=[])
    if module.params["fail_on_findings"] and answer["findings"]:
        module.fail_json(msg=sentence(answer["findings"]), **answer)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
