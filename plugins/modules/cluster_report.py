#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of an action plugin; plugins/action/cluster_report.py has the code."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_report
short_description: Judge a cluster's health and write it down for people and machines
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Makes one document with one verdict from what Kubernetes, the probes, the balancer and a load said.
  - Writes it as Markdown (C(report.md)), as JSON (C(report.json), by the schema C(docs/report.schema.json)) and as a page that
    needs nothing else (C(report.html)), and keeps a line of each run in C(history.jsonl) beside them.
  - It passes where there is no error. Warnings are shown and let it pass.
  - Reads nothing from the cluster itself; role P(wasinn.cluster.report#role) does and calls this.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  dest:
    description:
      - Folder on the controller for the files.
    type: path
    required: true
  name:
    description:
      - What the cluster is called.
    type: str
    required: true
  formats:
    description:
      - Which files to write. V(prometheus) is C(report.prom), for the textfile collector of Prometheus' node exporter.
    type: list
    elements: str
    choices: [markdown, json, html, prometheus]
    default: [markdown, json, html]
  nodes:
    description:
      - Node objects, as M(kubernetes.core.k8s_info) returns them in RV(kubernetes.core.k8s_info#module:resources).
    type: list
    elements: dict
    default: []
  pods:
    description:
      - Pod objects.
    type: list
    elements: dict
    default: []
  services:
    description:
      - Service objects.
    type: list
    elements: dict
    default: []
  endpoint_slices:
    description:
      - EndpointSlice objects of the services.
    type: list
    elements: dict
    default: []
  events:
    description:
      - Event objects. Only warnings are shown.
    type: list
    elements: dict
    default: []
  node_metrics:
    description:
      - NodeMetrics objects, where the cluster has a metrics server.
    type: list
    elements: dict
    default: []
  pod_metrics:
    description:
      - PodMetrics objects, where the cluster has a metrics server.
    type: list
    elements: dict
    default: []
  probes:
    description:
      - For each node's name the results of M(wasinn.cluster.wasinn_probe), each with C(model) and, where there is one, C(baseline).
      - A probe at less than half of its baseline or of the median of its peers is a warning.
    type: dict
    default: {}
  runtimes:
    description:
      - For each node's name the versions that it runs.
    type: dict
    default: {}
  balancer:
    description:
      - The balancer's C(url) and its C(models), for the record, and its C(replicas), each with C(pod), C(node) and C(status),
        which is what its admin API's C(/api/status) answers.
      - A replica without C(status), and an endpoint that is left out for failing, are warnings.
    type: dict
    default: {}
  answers:
    description:
      - Answers of the models, each with C(model), C(nodes), C(asker), C(content), C(latency_s) and C(tokens).
    type: list
    elements: dict
    default: []
  load:
    description:
      - The result of M(wasinn.cluster.inference_load).
    type: dict
    default: {}
  findings:
    description:
      - Further findings, each with C(check), C(cause) and C(remedy), and with C(severity) V(error) unless it says V(warning).
    type: list
    elements: dict
    default: []
  restarts:
    description:
      - A pod restarted more often is a warning.
    type: int
    default: 5
  history:
    description:
      - How many runs are kept.
    type: int
    default: 50
  fail_on_findings:
    description:
      - Whether to fail, after the files are written, where the verdict is not V(passed).
    type: bool
    default: false
seealso:
  - module: wasinn.cluster.inference_load
  - module: wasinn.cluster.wasinn_probe
"""

EXAMPLES = r"""
- name: Read the nodes
  kubernetes.core.k8s_info:
    kind: Node
  register: nodes

- name: Read the pods
  kubernetes.core.k8s_info:
    kind: Pod
    namespace: llamaedge
  register: pods

- name: Write them down, and fail if something is wrong
  wasinn.cluster.cluster_report:
    dest: /var/www/cluster
    name: production
    nodes: "{{ nodes.resources }}"
    pods: "{{ pods.resources }}"
    fail_on_findings: true
"""

RETURN = r"""
passed:
  description: Whether there is no error.
  returned: success
  type: bool
sentence:
  description: The verdict for people.
  returned: success
  type: str
  sample: 'Everything passed: 3 nodes, 4 pods, 2 models, 25 of 25 requests answered.'
findings:
  description: Errors and warnings, each with C(severity), C(check), C(subject), C(cause) and C(remedy).
  returned: success
  type: list
  elements: dict
files:
  description: The files by format.
  returned: success
  type: dict
  sample:
    html: /var/www/cluster/report.html
    json: /var/www/cluster/report.json
    markdown: /var/www/cluster/report.md
"""
