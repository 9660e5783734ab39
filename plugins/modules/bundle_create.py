#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_create
short_description: Make one archive of files in the cache
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Writes a tar archive with a list of checksums first, and signs it if wanted. M(wasinn.cluster.bundle_open) brings its
    files into another cache.
  - The same files make the same bytes. An archive that has them already is left alone.
  - Runs on the controller (C(delegate_to=localhost)).
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  cache:
    description: Directory of the cache.
    type: path
    required: true
  files:
    description: Paths of the files, all of them in the cache.
    type: list
    elements: path
    required: true
  dest:
    description: The archive. Its directory has to be there.
    type: path
    required: true
  about:
    description: What the archive says of itself.
    type: dict
    default: {}
  key:
    description:
      - A private key of SSH that opens without a question, or the public half of a key that an agent has. The signature
        is V(<dest>.sig).
      - Without it nothing is signed.
    type: path
"""

EXAMPLES = r"""
- name: Make a bundle of what was fetched
  wasinn.cluster.bundle_create:
    cache: "{{ artifacts_cache }}"
    files: "{{ artifacts_fetched.values() | map(attribute='path') | list + artifacts_metadata }}"
    dest: /srv/bundles/wasinn.tar
    key: ~/.ssh/id_ed25519
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The archive.
  returned: success
  type: str
  sample: /srv/bundles/wasinn.tar
size:
  description: Its size in bytes; 0 in check mode where it is not there.
  returned: success
  type: int
  sample: 412000000
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.bundles import BundleError, create, sign, signed

ARGUMENT_SPEC: dict[str, Any] = {
    "cache": {"type": "path", "required": True},
    "files": {"type": "list", "elements": "path", "required": True},
    "dest": {"type": "path", "required": True},
    "about": {"type": "dict", "default": {}},
    "key": {"type": "path", "no_log": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params, dest = module.params, Path(module.params["dest"])
    try:
        changed = create(Path(params["cache"]), params["files"], dest, params["about"], module.check_mode)
        if params["key"] and (changed or not signed(dest)):
            changed = True
            if not module.check_mode:
                sign(dest, params["key"])
    except BundleError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, path=str(dest), size=dest.stat().st_size if dest.exists() else 0)


if __name__ == "__main__":
    main()
