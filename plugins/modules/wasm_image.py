#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes an OCI image archive for a WebAssembly module; the image itself is made in module_utils/oci_image.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: wasm_image
short_description: Make an OCI image archive from a WebAssembly module
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Makes an image archive with a single layer that holds the module, for C(ctr image import), C(docker load) or the
    image folder of k3s.
  - The same input gives the same bytes, so the archive changes only if its content does.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - Where O(src) is not there yet, the archive is predicted and marked C(pending).
  diff_mode:
    support: full
options:
  src:
    description:
      - The C(.wasm) file, on the machine the module runs on.
    type: path
    required: true
  dest:
    description:
      - The archive to write. Its folder is made.
    type: path
    required: true
  name:
    description:
      - The image's full name with its tag.
    type: str
    required: true
  entrypoint:
    description:
      - The image's entrypoint. By default the module at the image's root.
    type: list
    elements: str
    default: []
  args:
    description:
      - Default arguments, which a container's own replace.
    type: list
    elements: str
    default: []
  env:
    description:
      - Environment variables as C(NAME=VALUE).
    type: list
    elements: str
    default: []
  os:
    description:
      - Operating system of the image's platform.
    type: str
    default: wasip1
  architecture:
    description:
      - Architecture of the image's platform.
    type: str
    default: wasm
  labels:
    description:
      - Labels of the image.
    type: dict
    default: {}
seealso:
  - module: wasinn.cluster.containerd_image
"""

EXAMPLES = r"""
- name: Make the API server's image
  wasinn.cluster.wasm_image:
    src: /opt/wasinn/images/llama-api-server.wasm
    dest: /opt/wasinn/images/llama-api-server.tar
    name: wasinn.local/llama-api-server:0.28.1
  register: image
"""

RETURN = r"""
dest:
  description: The archive.
  returned: success
  type: str
  sample: /opt/wasinn/images/llama-api-server.tar
digest:
  description: Digest of the image, as containerd shows it.
  returned: success
  type: str
  sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
name:
  description: The image's name.
  returned: success
  type: str
  sample: wasinn.local/llama-api-server:0.28.1
pending:
  description: The module is not there yet, so nothing could be compared.
  returned: in check mode, without O(src)
  type: bool
  sample: true
sha256:
  description: The archive's own sha256.
  returned: success
  type: str
  sample: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
size:
  description: The archive's size in bytes.
  returned: success
  type: int
  sample: 5251072
"""

import hashlib
import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.oci_image import Image, ImageError, build, images_in

ARGUMENT_SPEC = {
    "src": {"type": "path", "required": True},
    "dest": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "entrypoint": {"type": "list", "elements": "str", "default": []},
    "args": {"type": "list", "elements": "str", "default": []},
    "env": {"type": "list", "elements": "str", "default": []},
    "os": {"type": "str", "default": "wasip1"},
    "architecture": {"type": "str", "default": "wasm"},
    "labels": {"type": "dict", "default": {}},
}


def write(dest, content):
    """Writes the file under a temporary name, then renames it."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{dest.name}.", dir=dest.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(name, 0o644)
        os.replace(name, dest)
    except OSError:
        os.unlink(name)
        raise


def described(archive):
    """What an existing archive holds, for the diff."""
    try:
        return "".join(f"{name} {digest}\n" for name, digest in images_in(archive).items())
    except ImageError:
        return ""


def main():
    """Runs the module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    os.umask(0o022)
    params = module.params
    src, dest = Path(params["src"]), Path(params["dest"])
    image = Image(
        name=params["name"],
        entrypoint=tuple(params["entrypoint"]),
        args=tuple(params["args"]),
        env=tuple(params["env"]),
        os=params["os"],
        architecture=params["architecture"],
        labels={str(key): str(value) for key, value in params["labels"].items()},
    )
    if module.check_mode and not src.exists():
        # A fresh machine: the module is still to come in this play.
        module.exit_json(changed=True, dest=str(dest), name=image.name, pending=True)
    try:
        built = build(image, src.name, src.read_bytes())
        before = dest.read_bytes() if dest.exists() else None
        changed = built.archive != before
        diff = {"before": described(dest) if before else "", "after": f"{image.name} {built.digest}\n"}
        if changed and not module.check_mode:
            write(dest, built.archive)
    except ImageError as exc:
        module.fail_json(msg=f"{exc}.")
    except OSError as exc:
        module.fail_json(msg=f"{exc.filename or dest}: {exc.strerror}; correct it and run again.")
    module.exit_json(
        changed=changed,
        dest=str(dest),
        digest=built.digest,
        name=image.name,
        sha256=hashlib.sha256(built.archive).hexdigest(),
        size=len(built.archive),
        diff=diff if changed else {"before": "", "after": ""},
    )


if __name__ == "__main__":
    main()
