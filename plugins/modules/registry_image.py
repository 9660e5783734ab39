#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pushes an image archive to a registry; the protocol is in module_utils/registry.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_image
short_description: Push an image archive to a registry
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Pushes an OCI image archive under its name, unless the registry has it under that name already.
  - Talks to the registry itself, so that neither Docker nor any other program is needed. Proxy variables of the
    environment are heeded.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - Where the archive is not there yet, the push is predicted and marked C(pending).
  diff_mode:
    support: full
options:
  archive:
    description:
      - The archive, as M(wasinn.cluster.wasm_image) makes it.
    type: path
    required: true
  name:
    description:
      - The image's full name, with registry and tag, which the archive has to hold.
    type: str
    required: true
  username:
    description:
      - User of the registry.
    type: str
    default: ""
  password:
    description:
      - Password or token of the user.
    type: str
    default: ""
  ca_path:
    description:
      - File of CA certificates to verify the registry with, instead of the system's.
    type: path
  plain_http:
    description:
      - Speak HTTP without TLS.
    type: bool
    default: false
  timeout:
    description:
      - Seconds for one request.
    type: float
    default: 60
seealso:
  - module: wasinn.cluster.wasm_image
  - module: wasinn.cluster.containerd_image
"""

EXAMPLES = r"""
- name: Push the API server's image
  wasinn.cluster.registry_image:
    archive: /tmp/images/llama-api-server.tar
    name: registry.example.net/ai/llama-api-server:0.28.1
    username: ansible
    password: "{{ registry_password }}"
  delegate_to: localhost
"""

RETURN = r"""
digest:
  description: Digest of the image.
  returned: success, unless RV(pending)
  type: str
  sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
name:
  description: The image's name.
  returned: success
  type: str
  sample: registry.example.net/ai/llama-api-server:0.28.1
pending:
  description: There is no archive yet, so nothing could be compared.
  returned: in check mode, without O(archive)
  type: bool
  sample: true
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.oci_image import ImageError, images_in
from ansible_collections.wasinn.cluster.plugins.module_utils.registry import Registry, RegistryError


def push(params, check_mode):
    """Pushes if need be; returns what to report."""
    held = images_in(params["archive"])
    name = params["name"]
    if name not in held:
        raise RegistryError(f"{params['archive']} does not hold {name} but {', '.join(held)}; correct name or archive")
    keys = ("name", "username", "password", "plain_http", "timeout")
    registry = Registry(ca_path=params["ca_path"] or "", **{key: params[key] for key in keys})
    before = registry.digest()
    changed = before != held[name]
    if changed and not check_mode:
        registry.push(params["archive"], held[name])
        after = registry.digest()
        if after != held[name]:
            raise RegistryError(
                f"{name} was pushed, but the registry shows {after or 'nothing'} instead of {held[name]}; "
                "see the registry's log"
            )
    return {
        "changed": changed,
        "name": name,
        "digest": held[name],
        "diff": {"before": f"{name} {before}\n" if before else "", "after": f"{name} {held[name]}\n"},
    }


def main():
    """Runs the module."""
    module = AnsibleModule(
        {
            "archive": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "username": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "ca_path": {"type": "path"},
            "plain_http": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode and not os.path.exists(params["archive"]):
        module.exit_json(changed=True, name=params["name"], pending=True)
    try:
        result = push(params, module.check_mode)
    except (RegistryError, ImageError) as exc:
        module.fail_json(msg=f"{exc}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
