#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images of a node's containerd; the work with ctr is in module_utils/containerd.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image
short_description: Import, tag and remove images of a node's containerd
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Imports an image archive into containerd unless the image is there already with the archive's digest.
  - Works with the containerd of k3s as well.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - Where containerd or the archive is not there yet, the import is predicted and marked C(pending).
  diff_mode:
    support: full
options:
  name:
    description:
      - The image's full name with its tag.
      - With O(archive) it may be left out if the archive holds a single named image.
    type: str
  archive:
    description:
      - The OCI image archive on the node to import, as M(wasinn.cluster.wasm_image) makes it.
    type: path
  source:
    description:
      - Name of an image that is there already, which gets the name O(name) in addition.
    type: str
  pinned:
    description:
      - Keep the image from the kubelet's garbage collection. An image that came from a file could not be pulled again.
    type: bool
    default: true
  state:
    description:
      - With V(absent) the name O(name) is removed.
    type: str
    choices: [present, absent]
    default: present
  address:
    description:
      - Containerd's socket. On k3s V(/run/k3s/containerd/containerd.sock).
    type: path
    default: /run/containerd/containerd.sock
  namespace:
    description:
      - Containerd's namespace. That of the kubelet is V(k8s.io).
    type: str
    default: k8s.io
  ctr:
    description:
      - The ctr program with its leading arguments. On k3s C(["/usr/local/bin/k3s", "ctr"]).
    type: list
    elements: str
    default: [ctr]
  timeout:
    description:
      - Seconds after which a command of ctr is given up.
    type: int
    default: 300
seealso:
  - module: wasinn.cluster.wasm_image
"""

EXAMPLES = r"""
- name: Import the API server's image on k3s
  wasinn.cluster.containerd_image:
    archive: /opt/wasinn/images/llama-api-server.tar
    name: wasinn.local/llama-api-server:0.28.1
    address: /run/k3s/containerd/containerd.sock
    ctr: [/usr/local/bin/k3s, ctr]

- name: Give it a further name
  wasinn.cluster.containerd_image:
    source: wasinn.local/llama-api-server:0.28.1
    name: wasinn.local/llama-api-server:latest

- name: Remove that name
  wasinn.cluster.containerd_image:
    name: wasinn.local/llama-api-server:latest
    state: absent
"""

RETURN = r"""
digest:
  description: Digest of the image.
  returned: success, if the image is or will be there
  type: str
  sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
name:
  description: The image's name.
  returned: success
  type: str
  sample: wasinn.local/llama-api-server:0.28.1
pending:
  description: The node has no containerd or no archive yet, so nothing could be compared.
  returned: in check mode on such a node
  type: bool
  sample: true
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.containerd import (
    ARGUMENT_SPEC,
    PINNED,
    ContainerdError,
    Ctr,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.oci_image import ImageError, images_in


def wanted(params, images):
    """Name and digest of the image to be."""
    name = params["name"]
    if params["source"]:
        if params["source"] not in images:
            raise ContainerdError(f"there is no image {params['source']} to tag; import it first, or correct source")
        return name, images[params["source"]].digest
    held = images_in(params["archive"])
    if not name and len(held) == 1:
        return next(iter(held.items()))
    if name not in held:
        raise ContainerdError(
            f"{params['archive']} does not hold {name or 'a single image'} "
            f"but {', '.join(held) or 'none with a name'}; correct name or archive"
        )
    return name, held[name]


def present(ctr, params, check_mode):
    """Makes the image be there; returns what to report."""
    images = ctr.images()
    name, digest = wanted(params, images)
    before = images.get(name)
    missing = before is None or before.digest != digest
    unpinned = before is None or (before.pinned != params["pinned"])
    label = params["pinned"] if before is None else unpinned
    if not check_mode:
        if missing and params["source"]:
            ctr.tag(params["source"], name)
        elif missing:
            ctr.import_archive(params["archive"])
            after = ctr.images().get(name)
            if after is None or after.digest != digest:
                raise ContainerdError(
                    f"{params['archive']} was imported but {name} is {after.digest if after else 'missing'} "
                    f"instead of {digest}; see containerd's journal"
                )
        if missing or label:
            now = ctr.images()[name]
            if now.pinned != params["pinned"]:
                ctr.label(name, PINNED[0], PINNED[1] if params["pinned"] else "")
    return {
        "changed": missing or label,
        "name": name,
        "digest": digest,
        "diff": {
            "before": line(name, before.digest, before.pinned) if before else "",
            "after": line(name, digest, params["pinned"]),
        },
    }


def absent(ctr, params, check_mode):
    """Makes the name be gone; returns what to report."""
    name = params["name"]
    before = ctr.images().get(name)
    if before and not check_mode:
        ctr.remove(name)
    return {
        "changed": before is not None,
        "name": name,
        "diff": {"before": line(name, before.digest, before.pinned) if before else "", "after": ""},
    }


def not_yet(params):
    """Whether the node has nothing yet that could be compared."""
    archive = params["archive"]
    return not os.path.exists(params["address"]) or bool(archive and not os.path.exists(archive))


def line(name, digest, pinned):
    """An image as a line of the diff."""
    return f"{name} {digest}{' pinned' if pinned else ''}\n"


def main():
    """Runs the module."""
    module = AnsibleModule(
        dict(
            ARGUMENT_SPEC,
            name={"type": "str"},
            archive={"type": "path"},
            source={"type": "str"},
            pinned={"type": "bool", "default": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            timeout={"type": "int", "default": 300},
        ),
        supports_check_mode=True,
        mutually_exclusive=[("archive", "source")],
        required_if=[("state", "absent", ("name",)), ("state", "present", ("archive", "source"), True)],
        required_by={"source": "name"},
    )
    params = module.params
    ctr = Ctr(params["address"], params["namespace"], tuple(params["ctr"]), params["timeout"])
    if module.check_mode and not_yet(params):
        # A fresh node: containerd or the archive is still to come in this play.
        module.exit_json(changed=params["state"] == "present", name=params["name"] or "", pending=True)
    try:
        result = (present if params["state"] == "present" else absent)(ctr, params, module.check_mode)
    except (ContainerdError, ImageError) as exc:
        module.fail_json(msg=f"{exc}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
