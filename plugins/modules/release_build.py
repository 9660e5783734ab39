#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_build
short_description: Build one of this collection's own release files from its Rust sources
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Runs the sources' own recipe (C(rust/release.sh)) on the host or in a container there, and lays the files out as a mirror,
    with their checksums and a bill of materials (CycloneDX, JSON). The same sources and tools make the same bytes.
  - What was built from the same before is not built again; C(COMPONENT-ARCHITECTURE.build.json) beside the files tells.
  - A line every few seconds tells how far it is. The build goes on by itself where the connection is lost; the next run
    goes on with it.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  source:
    description: Folder on the host that has C(rust/).
    type: path
    required: true
  component:
    description: What to build.
    type: str
    choices: [probe, balancer, watcher, shim]
    required: true
  architecture:
    description: For which architecture. Modules are the same for all, but for what is compiled ahead of time.
    type: str
    choices: [x86_64, aarch64]
    required: true
  work:
    description: Folder for what is made meanwhile, and for cargo's downloads.
    type: path
    required: true
  dest:
    description: Top of the mirror that gets the files.
    type: path
    required: true
  url:
    description: Address of the folder that the files are to have (C(https://HOST/PATH) is C(HOST/PATH) in the mirror).
    type: str
    required: true
  epoch:
    description: Time that archives give their files, in seconds since 1970 (E(SOURCE_DATE_EPOCH)).
    type: int
    default: 0
  image:
    description: A container image to build in, as a rule Debian trixie's; the recipe installs what it lacks. Empty to build on the
      host itself.
    type: str
    default: ''
  engine:
    description: Program that runs containers.
    type: str
    default: docker
  options:
    description: Further words for C(run) of O(engine), such as volumes with certificates.
    type: list
    elements: str
    default: []
  wait:
    description: Seconds between two lines on how far it is.
    type: int
    default: 20
  again:
    description: Whether this call only looks at the build that an earlier one began. The module's action sets it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Build the probe on this machine
  wasinn.cluster.release_build:
    source: /home/me/wasinn.cluster
    component: probe
    architecture: x86_64
    work: ~/.cache/wasinn-build
    dest: /srv/mirror
    url: https://github.com/wasinn/wasinn.cluster/releases/download/v0.1.0
"""

RETURN = r"""
files:
  description: Path, sha256 and size of each file by its name; empty in check mode where it would be built.
  returned: success
  type: dict
digest:
  description: Hash of all that decides the result. Empty where a container's image has to be made first to know its tools.
  returned: success
  type: str
reason:
  description: Why it was built, or would be; empty where it was there.
  returned: success
  type: str
finished:
  description: Whether it is over.
  returned: success
  type: bool
progress:
  description: How far it is.
  returned: success
  type: str
  sample: "212 of 309 crates, at: Compiling prost v0.13.5"
"""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.install import disk_sentence
from ansible_collections.wasinn.cluster.plugins.module_utils.release import Recipe, ReleaseError, build

ARGUMENT_SPEC: dict[str, Any] = {
    "source": {"type": "path", "required": True},
    "component": {"type": "str", "choices": ["probe", "balancer", "watcher", "shim"], "required": True},
    "architecture": {"type": "str", "choices": ["x86_64", "aarch64"], "required": True},
    "work": {"type": "path", "required": True},
    "dest": {"type": "path", "required": True},
    "url": {"type": "str", "required": True},
    "epoch": {"type": "int", "default": 0},
    "image": {"type": "str", "default": ""},
    "engine": {"type": "str", "default": "docker"},
    "options": {"type": "list", "elements": "str", "default": []},
    "wait": {"type": "int", "default": 20},
    "again": {"type": "bool", "default": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    os.environ["SOURCE_DATE_EPOCH"] = str(params["epoch"])
    recipe = Recipe(
        source=Path(params["source"]),
        component=params["component"],
        architecture=params["architecture"],
        work=Path(params["work"]),
        engine=params["engine"] if params["image"] else "",
        image=params["image"],
        options=params["options"],
    )
    try:
        result = build(
            recipe, Path(params["dest"]), params["url"], params["wait"], check=module.check_mode, again=params["again"]
        )
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"The {recipe.component} was not brought to {params['dest']}: {disk_sentence(error, recipe.work)}."
        )
    module.exit_json(**asdict(result))


if __name__ == "__main__":
    main()
