#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set of Kubernetes objects in one call; the work is in module_utils/kube.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_apply
short_description: Apply a set of Kubernetes objects, and remove what no longer belongs to it
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Applies objects by server-side apply, in the order given, over one connection; M(kubernetes.core.k8s) called for each
    object takes a second or more every time.
  - Deletes, where asked, objects that carry certain labels and are not in the set, and no others.
  - Shows all differences in one diff. Values of Secrets are not shown.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - The server is asked what it would do (dry run). An object whose namespace is itself among O(definitions) and not
        there yet is predicted as written.
  diff_mode:
    support: full
options:
  kubeconfig:
    description:
      - The file that says where the cluster is and who asks.
    type: path
    required: true
  context:
    description:
      - The kubeconfig's context. Its current one by default.
    type: str
  definitions:
    description:
      - The objects. A namespace comes before what lies in it.
    type: list
    elements: dict
    required: true
  field_manager:
    description:
      - The name under which the server notes whose fields these are. Fields that others changed are taken back.
    type: str
    default: wasinn.cluster
  keep:
    description:
      - Fields, as lists of keys, that go on with their present value where a definition no longer names them, such as
        C([spec, replicas]) of a Deployment that an autoscaler takes over. Others fall back to their default.
    type: list
    elements: list
    default: []
  prune:
    description:
      - What to delete, unless it is in O(definitions). What other objects own is left to them.
    type: dict
    suboptions:
      namespace:
        description: The namespace to look in.
        type: str
        required: true
      labels:
        description: Labels that an object needs, all of them, to be deleted.
        type: dict
        required: true
      report_only:
        description:
          - Only tell in RV(surplus) what there is to delete, for a later call once what replaces it is ready.
        type: bool
        default: false
      kinds:
        description: Kinds to look at. One that the cluster does not know is passed over.
        type: list
        elements: dict
        required: true
        suboptions:
          api_version:
            description: Group and version, such as V(apps/v1).
            type: str
            required: true
          kind:
            description: The kind, such as V(Deployment).
            type: str
            required: true
requirements:
  - kubernetes >= 31
seealso:
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
- name: Have exactly these two settings
  wasinn.cluster.kube_apply:
    kubeconfig: ~/.kube/config
    definitions:
      - apiVersion: v1
        kind: ConfigMap
        metadata: {name: one, namespace: default, labels: {app.kubernetes.io/part-of: example}}
        data: {colour: red}
      - apiVersion: v1
        kind: ConfigMap
        metadata: {name: two, namespace: default, labels: {app.kubernetes.io/part-of: example}}
        data: {colour: blue}
    prune:
      namespace: default
      labels: {app.kubernetes.io/part-of: example}
      kinds:
        - {api_version: v1, kind: ConfigMap}
"""

RETURN = r"""
applied:
  description: The objects that were made or changed, as C(Kind namespace/name).
  returned: always
  type: list
  elements: str
  sample: ["ConfigMap default/one"]
surplus:
  description: The objects that there are to delete, in the same form, where O(prune.report_only) is set.
  returned: always
  type: list
  elements: str
pruned:
  description: The objects that were deleted, in the same form.
  returned: always
  type: list
  elements: str
"""

import os
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.yaml import yaml_dump
from ansible_collections.wasinn.cluster.plugins.module_utils.kube import KubeError, Objects, title

try:
    from kubernetes import config, dynamic
    from kubernetes.dynamic import exceptions as api_errors
    from urllib3.exceptions import HTTPError
    from yaml import YAMLError

    MISSING = ""
except ImportError:
    MISSING = traceback.format_exc()

KIND = {"api_version": {"type": "str", "required": True}, "kind": {"type": "str", "required": True}}
PRUNE = {
    "namespace": {"type": "str", "required": True},
    "labels": {"type": "dict", "required": True},
    "report_only": {"type": "bool", "default": False},
    "kinds": {"type": "list", "elements": "dict", "required": True, "options": KIND},
}


def run(module: AnsibleModule) -> tuple[list[dict], list[dict], list[str]]:
    """Apply, then prune: what replaces an object is there before the object goes. Gives changes, and what is left."""
    params = module.params
    # A cache of its own for each run: the usual one still knows kinds that have been removed since.
    cache = os.path.join(module.tmpdir, "kinds.json")
    client = dynamic.DynamicClient(config.new_client_from_config(params["kubeconfig"], params["context"]), cache)
    objects = Objects(client, api_errors, params["field_manager"], module.check_mode)
    applied = list(objects.apply(params["definitions"], params["keep"]))
    prune = params["prune"]
    if not prune:
        return applied, [], []
    found = list(objects.surplus(params["definitions"], prune["kinds"], prune["namespace"], prune["labels"]))
    if prune["report_only"]:
        return applied, [], [title(item) for _resource, item in found]
    return applied, [gone for resource, item in found if (gone := objects.delete(resource, item))], []


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "context": {"type": "str"},
            "definitions": {"type": "list", "elements": "dict", "required": True},
            "field_manager": {"type": "str", "default": "wasinn.cluster"},
            "keep": {"type": "list", "elements": "list", "default": []},
            "prune": {"type": "dict", "options": PRUNE},
        },
        supports_check_mode=True,
    )
    if MISSING:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=MISSING)
    try:
        applied, pruned, surplus = run(module)
    except KubeError as error:
        module.fail_json(msg=str(error))
    except (config.ConfigException, OSError, YAMLError) as error:
        module.fail_json(
            msg=f"{module.params['kubeconfig']} cannot be used: {error}. Remedy: run wasinn.cluster.site, which fetches it."
        )
    except HTTPError as error:
        module.fail_json(
            msg=f"The cluster's API does not answer: {error}. Remedy: see that the kubeconfig leads to a running cluster."
        )
    except api_errors.DynamicApiError as error:
        module.fail_json(
            msg=f"The API refused ({error.status} {error.reason}): {error.summary().strip()}. "
            "Remedy: correct the object it names, or the rights of the kubeconfig's user."
        )
    module.exit_json(
        changed=bool(applied or pruned),
        applied=[entry["title"] for entry in applied],
        pruned=[entry["title"] for entry in pruned],
        surplus=surplus,
        diff=[
            {
                "before_header": entry["title"],
                "after_header": entry["title"],
                "before": _text(entry["before"]),
                "after": _text(entry["after"]),
            }
            for entry in applied + pruned
        ],
    )


def _text(value: dict) -> str:
    return yaml_dump(value, default_flow_style=False, sort_keys=False) if value else ""


if __name__ == "__main__":
    main()
