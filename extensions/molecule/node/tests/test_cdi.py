# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What CDI adds to a container's specification reaches WebAssembly through the shim, without a GPU: null's device under
another name, a variable and a library's mount.

ctr of containerd 1.7 takes paths of devices alone, not CDI's names, so the additions are made by its options, and hooks
by a whole specification. CDI's mounts have no type, so this one has none.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

INVENTORY = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory.yml"
testinfra_hosts = [f"ansible://node1?ansible_inventory={INVENTORY}&force_ansible=True"]

CTR = "ctr --namespace wasinn"
DEVICE = "/dev/wasinn-test"
LIBRARY = "/usr/lib/wasinn-test/libwasinn-test.so.1"
ADDED = (
    f"--device {DEVICE}",
    "--env WASINN_CDI=arrived",
    f"--mount src={LIBRARY},dst={LIBRARY},options=rbind:ro",
)


@pytest.fixture
def device(host):
    """The device and the library on the machine for as long as a test lasts."""
    host.check_output(f"mknod --mode 0666 {DEVICE} c 1 3")
    host.check_output(f"mkdir -p {Path(LIBRARY).parent} && echo library > {LIBRARY}")
    yield
    host.run(f"rm -rf {DEVICE} {Path(LIBRARY).parent}")


@pytest.fixture
def image(host):
    (name,) = [
        name
        for name in host.check_output(f"{CTR} images list --quiet").split()
        if name.startswith("wasinn.local/probe:")
    ]
    return name


def look(host, image: str, *options: str) -> Any:
    words = f"--environment WASINN_CDI --read {DEVICE} --read {LIBRARY}"
    line = f"{CTR} run --rm --platform wasip1/wasm --runtime io.containerd.wasmedge.v1 {' '.join(options)} {image} wasinn-cdi-test"
    # As role verify makes the image: the module at its root, by its release name.
    module = f"/wasinn-probe-{image.rpartition(':')[2]}.wasm"
    done = host.run(f"{line} {module} {words}")
    assert done.rc == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_device_variable_and_library_reach_webassembly(host, device, image):
    seen = look(host, image, *ADDED)
    assert seen["environment"]["WASINN_CDI"] == "arrived"
    assert seen["read"][DEVICE] == {"bytes": 0}
    assert seen["read"][LIBRARY] == {"bytes": len("library\n")}


def test_without_the_device_nothing_of_it_is_there(host, device, image):
    seen = look(host, image)
    assert seen["environment"]["WASINN_CDI"] is None
    assert "error" in seen["read"][DEVICE]
    assert "error" in seen["read"][LIBRARY]


def test_containerd_has_cdi_switched_on(host):
    assert "enable_cdi = true" in host.check_output("containerd config dump")
