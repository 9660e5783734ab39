#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wasmedge_plugin_info
short_description: Tell whether libwasmedge, its plugins and the containerd shim of a node fit together
version_added: 0.1.0
description:
  - Reads the ELF files of libwasmedge, of the plugins and of the containerd shim, and says what a node would
    load, without running any of it.
  - Finds a plugin of another API version (libwasmedge passes such a plugin over silently), a static or musl
    shim (it cannot load plugins at all), libraries the loader would miss and their packages, a distribution that
    is too old for a file and the release that is not, plugins that are there twice, broken links and files that
    were cut short.
  - Works on an installed node as well as on release archives, so that a wrong choice is seen before it is
    installed.
  - An empty path leaves that part out.
author:
  - The wasinn.cluster authors (@wasinn)
extends_documentation_fragment:
  - wasinn.cluster.attributes.info
options:
  wasmedge_dir:
    description:
      - Folder of the WasmEdge installation (with C(lib64) or C(lib), and C(plugin)), or a release archive of WasmEdge.
    type: path
    default: /opt/wasinn/wasmedge/current
  shim:
    description: The containerd shim, or a release archive with it.
    type: path
    default: /usr/local/bin/containerd-shim-wasmedge-v1
  config:
    description: The shim's configuration file. Where it does not exist, the shim's defaults are assumed.
    type: path
    default: /etc/wasinn/shim.toml
  plugin_dir:
    description:
      - Folder of the plugins, or a release archive with one.
      - Without it, the folder in O(config), else C(plugin) in O(wasmedge_dir).
    type: path
  expected_version:
    description: The WasmEdge version that has to be there.
    type: str
    default: ''
  expected_api:
    description:
      - The plugin API version that is expected.
      - Only needed for WasmEdge versions this collection does not know.
    type: int
  dependencies:
    description:
      - Whether to look on this machine for the libraries the files need, and to compare their architecture with it.
      - Set to V(false) where the files are meant for another machine.
    type: bool
    default: true
  fail_on_findings:
    description: Whether to fail if anything does not fit.
    type: bool
    default: false
seealso:
  - module: wasinn.cluster.wasinn_probe
"""

EXAMPLES = r"""
- name: Refuse a node whose runtime cannot work
  wasinn.cluster.wasmedge_plugin_info:
    expected_version: 0.14.1
    fail_on_findings: true

- name: Look into downloaded archives on the controller
  wasinn.cluster.wasmedge_plugin_info:
    wasmedge_dir: files/WasmEdge-0.14.1-manylinux_2_28_x86_64.tar.gz
    plugin_dir: files/WasmEdge-plugin-wasi_nn-ggml-0.14.1-manylinux_2_28_x86_64.tar.gz
    shim: files/containerd-shim-wasmedge-v1-0.1.0-x86_64.tar.gz
    config: ''
    dependencies: false
  delegate_to: localhost
  register: tuple
"""

RETURN = r"""
glibc:
  description: Version of this machine's glibc; empty if its C library is another one.
  returned: success
  type: str
  sample: '2.41'
libwasmedge:
  description: The library; empty if there is none. Has the keys of a plugin below besides RV(libwasmedge.version).
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
    version:
      description: WasmEdge version; empty if it cannot be read.
      type: str
    api_version:
      description: Plugin API version it takes; null for versions this collection does not know.
      type: int
shim:
  description: The containerd shim; empty if there is none.
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
    real_path:
      description: The file behind links.
      type: str
    libc:
      description: V(glibc), V(musl) or V(static).
      type: str
    static:
      description: Whether it loads no library at all.
      type: bool
    interpreter:
      description: Its dynamic loader.
      type: str
    runpath:
      description: Folders it looks for libraries first.
      type: list
      elements: str
    libwasmedge:
      description: The libwasmedge it would load; null if none.
      type: str
    sha256:
      description: Checksum of the file.
      type: str
plugin_dir:
  description: Folder the plugins were looked for in.
  returned: success
  type: str
plugins:
  description: The plugins found, those of a wrong API version included.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    name:
      description: Name of the plugin.
      type: str
      sample: wasi_nn
    version:
      description: The plugin's own version.
      type: str
    api_version:
      description: Plugin API version it was built for.
      type: int
    backends:
      description: WASI-NN backends whose code was found in it or in a library beside it.
      type: list
      elements: str
      sample: [ggml]
    cuda:
      description: Whether it is linked to CUDA.
      type: bool
    sha256:
      description: Checksum of the file.
      type: str
    machine:
      description: Architecture of the file.
      type: str
    needed:
      description: Libraries it names.
      type: list
      elements: str
    runpath:
      description: Folders it looks for libraries first.
      type: list
      elements: str
    missing:
      description: Libraries the loader would not find, those of its libraries included.
      type: list
      elements: str
    glibc:
      description: Highest glibc version that it and its libraries ask for.
      type: str
findings:
  description: What does not fit; empty if everything does.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Stable word for programs, such as V(plugin_api), V(shim_static) or V(missing_library).
      type: str
    cause:
      description: What is wrong, naming the file.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils.archive import ArchiveError
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import finding, sentence
from ansible_collections.wasinn.cluster.plugins.module_utils.unpacked import single_file, unpacker
from ansible_collections.wasinn.cluster.plugins.module_utils.wasmedge import inspect


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Inspects the given paths, unpacking those that are archives."""
    with unpacker() as unpacked:
        try:
            answer = inspect(
                wasmedge_dir=unpacked.path(params["wasmedge_dir"]),
                shim=single_file(unpacked.path(params["shim"]), lambda name: name.startswith("containerd-shim-")),
                config=params["config"],
                plugin_dir=unpacked.path(params["plugin_dir"] or ""),
                version=params["expected_version"],
                api=params["expected_api"],
                dependencies=params["dependencies"],
            )
        except ArchiveError as error:
            answer = {"findings": [finding("archive", f"{error}.", "Take the file away and fetch it again.")]}
        translated: dict[str, Any] = unpacked.translate(answer)
        return translated


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "wasmedge_dir": {"type": "path", "default": "/opt/wasinn/wasmedge/current"},
            "shim": {"type": "path", "default": "/usr/local/bin/containerd-shim-wasmedge-v1"},
            "config": {"type": "path", "default": "/etc/wasinn/shim.toml"},
            "plugin_dir": {"type": "path"},
            "expected_version": {"type": "str", "default": ""},
            "expected_api": {"type": "int"},
            "dependencies": {"type": "bool", "default": True},
            "fail_on_findings": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    answer = look(module.params)
    if module.params["fail_on_findings"] and answer["findings"]:
        module.fail_json(msg=sentence(answer["findings"]), **answer)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
