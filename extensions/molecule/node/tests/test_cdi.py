# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A CDI device reaches a WebAssembly container through the shim, without a GPU: null's device under another name.

The specification has what NVIDIA's have: a device node, a variable, a library's mount, and hooks of which none is a
prestart hook (with which the unpatched shim panics: rust/shim/patches/containerd-shimkit-hooks.patch).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

INVENTORY = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory.yml"
testinfra_hosts = [f"ansible://node1?ansible_inventory={INVENTORY}&force_ansible=True"]

CTR = "ctr --namespace wasinn"
LIBRARY = "/usr/lib/wasinn-test/libwasinn-test.so.1"
MARK = "/run/wasinn-cdi-hook"
SPEC = {
    "cdiVersion": "0.5.0",
    "kind": "wasinn.cluster/test",
    "devices": [
        {
            "name": "null",
            "containerEdits": {
                "deviceNodes": [{"path": "/dev/wasinn-test", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
            },
        }
    ],
    "containerEdits": {
        "env": ["WASINN_CDI=arrived"],
        "mounts": [{"hostPath": LIBRARY, "containerPath": LIBRARY, "options": ["ro", "nosuid", "nodev", "bind"]}],
        "hooks": [{"hookName": "createContainer", "path": "/usr/bin/touch", "args": ["touch", MARK]}],
    },
}


@pytest.fixture
def device(host):
    """The specification on the machine for as long as a test lasts."""
    write = f"import pathlib; p = pathlib.Path('/etc/cdi/wasinn-test.json'); p.parent.mkdir(exist_ok=True); p.write_text({json.dumps(SPEC)!r})"
    host.check_output("python3 -c %s", write)
    host.check_output(f"mkdir -p {Path(LIBRARY).parent} && echo library > {LIBRARY}")
    yield "wasinn.cluster/test=null"
    host.run(f"rm -rf /etc/cdi/wasinn-test.json {Path(LIBRARY).parent} {MARK}; rmdir /etc/cdi")


@pytest.fixture
def image(host):
    (name,) = [name for name in host.check_output(f"{CTR} images list --quiet").split() if "wasinn-probe" in name]
    return name


def look(host, image: str, *options: str) -> dict:
    words = f"--environment WASINN_CDI --read /dev/wasinn-test --read {LIBRARY}"
    line = f"{CTR} run --rm --platform wasip1/wasm --runtime io.containerd.wasmedge.v1 {' '.join(options)} {image} wasinn-cdi-test"
    # As role verify makes the image: the module at its root, by its release name.
    module = f"/wasinn-probe-{image.rpartition(':')[2]}.wasm"
    done = host.run(f"{line} {module} {words}")
    assert done.rc == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_device_variable_and_library_reach_webassembly(host, device, image):
    seen = look(host, image, "--device", device)
    assert seen["environment"]["WASINN_CDI"] == "arrived"
    assert seen["read"]["/dev/wasinn-test"] == {"bytes": 0}
    assert seen["read"][LIBRARY] == {"bytes": len("library\n")}


def test_a_hook_of_the_specification_was_run(host, device, image):
    look(host, image, "--device", device)
    assert host.file(MARK).exists


def test_without_the_device_nothing_of_it_is_there(host, device, image):
    seen = look(host, image)
    assert seen["environment"]["WASINN_CDI"] is None
    assert "error" in seen["read"]["/dev/wasinn-test"]
    assert "error" in seen["read"][LIBRARY]


def test_containerd_has_cdi_switched_on(host):
    assert "enable_cdi = true" in host.check_output("containerd config dump")
