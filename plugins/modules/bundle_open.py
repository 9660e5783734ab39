#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_open
short_description: Bring a bundle's files into the cache
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Verifies the signature of an archive of M(wasinn.cluster.bundle_create), if wanted, and then each of its files while
    it is unpacked.
  - Files that the cache has already stay as they are. A file of a damaged archive never gets its name.
  - Runs on the controller (C(delegate_to=localhost)).
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  src:
    description: The archive.
    type: path
    required: true
  cache:
    description: Directory of the cache, which is made if it is not there.
    type: path
    required: true
  allowed_signers:
    description:
      - Who may have signed it, as C(ssh-keygen) has it under ALLOWED SIGNERS. The signature is V(<src>.sig).
      - Without it no signature is asked for.
    type: path
  signer:
    description: The principal in O(allowed_signers) that has to have signed it.
    type: str
    default: wasinn
"""

EXAMPLES = r"""
- name: Open the bundle that was carried here
  wasinn.cluster.bundle_open:
    src: /media/disk/wasinn.tar
    cache: ~/.cache/wasinn
    allowed_signers: ~/.ssh/allowed_signers
    signer: ops@example.com
  delegate_to: localhost
"""

RETURN = r"""
about:
  description: What the archive says of itself.
  returned: success
  type: dict
  sample:
    format: 1
    versions:
      k3s: v1.34.4+k3s1
files:
  description: Files that are new in the cache.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.bundles import BundleError, unpack, verify

ARGUMENT_SPEC: dict[str, Any] = {
    "src": {"type": "path", "required": True},
    "cache": {"type": "path", "required": True},
    "allowed_signers": {"type": "path"},
    "signer": {"type": "str", "default": "wasinn"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params, bundle = module.params, Path(module.params["src"])
    try:
        if not bundle.is_file():
            raise BundleError(f"There is no bundle {bundle}. Remedy: correct bundle_file.")
        if params["allowed_signers"]:
            verify(bundle, params["allowed_signers"], params["signer"])
        opened = unpack(bundle, Path(params["cache"]), module.check_mode)
    except BundleError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(opened.new), about=opened.about, files=opened.new)


if __name__ == "__main__":
    main()
