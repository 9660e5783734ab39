#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compares and installs on the node; the action plugin of the same name brings the archive there if need be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_install
short_description: Install an archive or a file from the controller, verified and atomically
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Unpacks an archive of the controller (tar, plain or with gz, bz2 or xz; zip) into a directory of a node, or puts
    a single file there.
  - The node is asked first. Only if something is missing, modified or of another version is the archive transferred.
  - The checksum is verified on the node before anything is unpacked. Files get their names only when all of them are
    on the disk, and the list of them with their checksums is kept in C(.wasinn-install.json) in O(dest), which
    several archives may share.
  - Members that lead out of the destination, links that do so, devices and pipes are refused.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  src:
    description:
      - The archive or file on the controller. Required for O(state=present).
      - In check mode it may still be missing, because nothing was downloaded.
    type: path
  sha256:
    description:
      - The sha256 that O(src) must have. Without it, that of the controller's file is taken.
    type: str
  name:
    description:
      - Name of the archive in the manifest. A later installation under the same name replaces its files.
      - By default the file name of O(src).
    type: str
  dest:
    description:
      - The directory to unpack into, or with O(unpack=false) the file's path.
    type: path
    required: true
  unpack:
    description:
      - Whether O(src) is an archive to unpack. With V(false) it is installed as the file O(dest).
    type: bool
    default: true
  strip:
    description:
      - How many leading parts of the members' paths are dropped.
    type: int
    default: 0
  include:
    description:
      - Patterns of the members to install, for their paths after O(strip). C(*) matches C(/) as well. Empty for all.
    type: list
    elements: str
    default: []
  into:
    description:
      - Folder below O(dest) that the members go to.
    type: str
    default: ""
  mode:
    description:
      - Mode of the installed files, as an octal number.
      - By default V(0755) for executable members and V(0644) for all others.
    type: str
  link:
    description:
      - A symbolic link to O(dest), or to O(link_target) in it. It is switched in one step after the installation.
    type: path
  link_target:
    description:
      - Path below O(dest) that O(link) points to.
    type: str
    default: ""
  force:
    description:
      - Replace a file that stands where O(link) should be.
    type: bool
    default: false
  state:
    description:
      - With V(absent) the files of the archive O(name) are removed, or of all archives where there is no name, and
        O(link) if it points there.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: wasinn.cluster.artifact_fetch
"""

EXAMPLES = r"""
- name: Install WasmEdge
  wasinn.cluster.artifact_install:
    src: "{{ artifacts_fetched.wasmedge.path }}"
    sha256: "{{ artifacts_fetched.wasmedge.sha256 }}"
    name: wasmedge
    dest: /opt/wasinn/wasmedge/0.14.1
    strip: 1
    include: ["bin/*", "lib64/*"]
    link: /opt/wasinn/wasmedge/current

- name: Add its plugin
  wasinn.cluster.artifact_install:
    src: "{{ artifacts_fetched.wasmedge_plugin_ggml.path }}"
    sha256: "{{ artifacts_fetched.wasmedge_plugin_ggml.sha256 }}"
    name: wasmedge_plugin_ggml
    dest: /opt/wasinn/wasmedge/0.14.1
    include: ["*.so"]
    into: plugin

- name: Install a single program
  wasinn.cluster.artifact_install:
    src: "{{ artifacts_fetched.k3s.path }}"
    sha256: "{{ artifacts_fetched.k3s.sha256 }}"
    dest: /usr/local/bin/k3s
    unpack: false
    mode: "0755"
"""

RETURN = r"""
dest:
  description: Where it is installed.
  returned: always
  type: str
  sample: /opt/wasinn/wasmedge/0.14.1
files:
  description: The installed or removed files, relative to RV(dest) when installed.
  returned: when something was installed or removed
  type: list
  elements: str
  sample: [bin/wasmedge, lib64/libwasmedge.so.0]
reasons:
  description: Why something had to be changed.
  returned: always
  type: list
  elements: str
  sample: ["/opt/wasinn/wasmedge/0.14.1/bin/wasmedge was modified"]
sha256:
  description: The archive's sha256.
  returned: when known
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.archive import ArchiveError, Selection
from ansible_collections.wasinn.cluster.plugins.module_utils.install import (
    Request,
    difference,
    install,
    removal,
    remove,
)

ARGUMENT_SPEC = {
    "src": {"type": "path"},
    "sha256": {"type": "str"},
    "name": {"type": "str"},
    "dest": {"type": "path", "required": True},
    "unpack": {"type": "bool", "default": True},
    "strip": {"type": "int", "default": 0},
    "include": {"type": "list", "elements": "str", "default": []},
    "into": {"type": "str", "default": ""},
    "mode": {"type": "str"},
    "link": {"type": "path"},
    "link_target": {"type": "str", "default": ""},
    "force": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def request_of(params):
    """The request in the module's parameters; raises ArchiveError for one that makes no sense."""
    for key in ("into", "link_target"):
        if params[key].startswith("/") or ".." in params[key].split("/"):
            raise ArchiveError(f"{key} {params[key]!r} leads out of dest; give a path below it")
    try:
        mode = int(params["mode"], 8) if params["mode"] else None
    except ValueError as exc:
        raise ArchiveError(f"mode {params['mode']!r} is not an octal number such as 0755; correct it") from exc
    return Request(
        name=params["name"] or (Path(params["src"]).name if params["src"] else ""),
        sha256=(params["sha256"] or "").lower(),
        dest=Path(params["dest"]),
        selection=Selection(params["strip"], tuple(params["include"]), params["into"]),
        unpack=params["unpack"],
        mode=mode,
        link=Path(params["link"]) if params["link"] else None,
        link_target=params["link_target"],
        force=params["force"],
    )


def main():
    """Runs the module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True, required_if=[("state", "present", ("src",))])
    os.umask(0o022)  # folders are for every user to read, whatever root's own umask is
    result = {"changed": False, "dest": module.params["dest"], "reasons": []}
    try:
        request = request_of(module.params)
        if module.params["state"] == "absent":
            gone = removal(request) if module.check_mode else remove(request)
            result.update(changed=bool(gone), files=[str(path) for path in gone])
            result["reasons"] = [f"{path} is there" for path in gone]
            if module._diff and gone:
                result["diff"] = {"before": "".join(f"{path}\n" for path in gone), "after": ""}
        else:
            result["sha256"] = request.sha256
            result["reasons"] = difference(request)
            result["changed"] = bool(result["reasons"])
            if result["changed"] and not module.check_mode:
                result["files"] = install(request, Path(module.params["src"]))
    except (ArchiveError, OSError) as exc:
        module.fail_json(msg=f"{exc}.", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
