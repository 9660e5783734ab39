# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that seems to have a GPU: NVIDIA's own toolkit and device plugin over a stand-in of the driver's libraries.

Everything but the computing is real: preflight, CDI, the device plugin, the scheduler, devices and libraries in a WebAssembly pod.
That a model computes on a GPU was tried on one (docs/gpu.md). The tests build on each other; the first failure skips the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.closed_network import mirror
from tests.closed_network.builds import nvidia
from tests.closed_network.context import BUILDS
from tests.closed_network.layout import sha256
from tests.demo import one_node
from tests.machines import image, machines
from tests.machines.engine import docker
from tests.machines.scenario import Scenario
from tests.machines.shell import REPO

from .cluster import Cluster, changes, one_machine
from .sick import says

pytestmark = [pytest.mark.in_order, pytest.mark.slow(14)]

RECORDED = REPO / "tests/unit/plugins/module_utils/recorded/h200.xml"
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
IMAGES = "/var/lib/rancher/k3s/agent/images"
ON_GPU, ON_CPU = "on-gpu", "on-cpu"

#: What the kernel would show; sysfs takes no new folders, so some of its own are hidden by copies.
KERNEL = f"""
mount -t tmpfs tmpfs /sys/bus/pci/devices
cd /sys/bus/pci/devices && mkdir -p 0000:00:06.0/nvidia && cd 0000:00:06.0
echo 0x10de >vendor; echo 0x030200 >class; echo 0x2335 >device; ln -s nvidia driver
mount -t tmpfs tmpfs /proc/driver && mkdir /proc/driver/nvidia
echo 'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {nvidia.DRIVER}  Release Build' >/proc/driver/nvidia/version
mkdir -p /run/modules/nvidia
for module in /sys/module/*; do mkdir -p /run/modules/$(basename $module); mount --bind $module /run/modules/$(basename $module); done
mount --rbind /run/modules /sys/module
mknod -m 0666 /dev/nvidia0 c 1 3; mknod -m 0666 /dev/nvidiactl c 1 3; mknod -m 0666 /dev/nvidia-uvm c 1 3
"""
SMI = """#!/bin/sh
case $1 in
  -q) cat /usr/share/nvidia-smi.xml ;;
  *) printf 'uuid, compute_cap\\nGPU-010ea8fa-ef0f-83ce-b259-fd402f319664, 9.0\\n' ;;
esac
"""


@pytest.fixture(scope="module")
def cluster(mirror_url, installed_collection, run_playbook, say) -> Iterator[Cluster]:
    mirror.ensure(["nvidia"], say)
    scenario = Scenario.named("gpu", ("node1",), "10.213.19")
    found = one_machine(Cluster, scenario, image.DEVICES_NODE, run_playbook, say)
    model = one_node.variables()["models_catalogue"][0]
    package = BUILDS / "nvidia" / nvidia.PACKAGE
    one_node.inventory(
        scenario,
        models_catalogue=[
            {**model, "name": ON_GPU, "gpu": 1},
            {**model, "name": ON_CPU, "weight": 1},
        ],
        gpu_required=True,
        gpu_device_plugin_image=nvidia.IMAGE,
        gpu_package_files=[{"name": "toolkit", "url": f"file://{package}", "sha256": sha256(package)}],
        wasmedge_plugin_variant="cpu",  # CUDA has nothing to compute on
        verify_gpu=False,
    )
    _give_gpu(found, scenario.container("node1"))
    yield found
    machines.down(scenario, say)


def _give_gpu(found: Cluster, container: str) -> None:
    found.run("node1", f"mkdir -p {IMAGES} /root/driver")
    copies = {f"{BUILDS}/nvidia/driver/.": "/root/driver", str(RECORDED): "/usr/share/nvidia-smi.xml"}
    copies |= {str(nvidia.image()): f"{IMAGES}/device-plugin.tar"}
    for source, target in copies.items():
        docker("cp", source, f"{container}:{target}")
    found.run("node1", f"cp -d /root/driver/* {LIBRARIES}/ && ldconfig")
    machines.run_on(found.scenario, "node1", "cat >/usr/bin/nvidia-smi && chmod 0755 /usr/bin/nvidia-smi", stdin=SMI)
    machines.run_on(found.scenario, "node1", "sh -eu", stdin=KERNEL)


def _node(cluster: Cluster):
    return cluster.kubectl("get", "node", "node1")


def test_a_model_gets_the_gpu(cluster):
    result = cluster.play("site")
    assert result.rc == 0, result.output[-3000:]
    node = _node(cluster)
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "1"
    labels = node["metadata"]["labels"]
    assert labels["wasinn.cluster/gpu.model"] == "NVIDIA-H200"
    assert labels["wasinn.cluster/gpu.driver"] == nvidia.DRIVER
    again = cluster.play("site")
    assert (again.rc, changes(again)) == (0, [])


@pytest.mark.parametrize(("model", "has"), [(ON_GPU, True), (ON_CPU, False)])
def test_devices_and_libraries_are_where_they_were_asked_for(cluster, model, has):
    """And no pod has the capability to make itself a device."""
    (pod,) = cluster.kubectl("get", "pods", "-n", "llamaedge", "-l", f"app.kubernetes.io/instance={model}")["items"]
    (status,) = pod["status"]["containerStatuses"]
    container = status["containerID"].rpartition("/")[2]
    pid = cluster.run(
        "node1", f"k3s ctr -n k8s.io tasks list | awk '$1 == \"{container}\" {{ print $2 }}'"
    ).stdout.strip()
    devices = cluster.run("node1", f"ls /proc/{pid}/root/dev").stdout.split()
    mounts = cluster.run("node1", f"cat /proc/{pid}/mountinfo").stdout
    assert ({"nvidia0", "nvidiactl", "nvidia-uvm"} <= set(devices)) is has
    assert any(name.startswith("nvidia") for name in devices) is has
    assert (f"libcuda.so.{nvidia.DRIVER}" in mounts) is has
    capabilities = cluster.run("node1", f"grep -E '^Cap(Prm|Eff|Bnd)' /proc/{pid}/status").stdout.split()
    assert capabilities[1::2] == ["0000000000000000"] * 3


def test_a_model_that_leaves_its_gpu_alone_is_refused(cluster):
    result = cluster.play("verify", extra={"verify_gpu": True})
    says(
        result,
        rf"The model {ON_GPU} \(pod {ON_GPU}-\S+ on node1\) was to be computed on a GPU, .* Remedy: Take a CUDA build",
    )


@pytest.mark.parametrize(
    "event",
    ["cp -p /usr/bin/nvidia-ctk /usr/bin/new && mv /usr/bin/new /usr/bin/nvidia-ctk", "systemctl start wasinn-cdi"],
    ids=["another toolkit", "a boot"],
)
def test_the_specification_is_renewed(cluster, event):
    cluster.run("node1", f"rm /var/run/cdi/nvidia.yaml && {event}")
    made = "for i in $(seq 60); do grep -q /dev/nvidia0 /var/run/cdi/nvidia.yaml && exit; sleep 1; done; exit 1"
    assert cluster.run("node1", made, check=False).returncode == 0


def test_a_device_plugin_that_does_not_run_is_told(cluster):
    """In place of a model that waits for ever."""
    image_of_nobody = "registry.invalid/k8s-device-plugin:v1"
    extra = {"gpu_device_plugin_image": image_of_nobody, "gpu_device_plugin_timeout": 30}
    result = cluster.play("site", "--tags", "gpu_cluster", extra=extra)
    assert result.rc != 0
    line = says(
        result,
        r"node1: the cluster was offered no GPU of this node within 30 s: nvidia-device-plugin-\w+ on node1 waits .*Remedy",
    )
    assert image_of_nobody in line
    assert cluster.play("site", "--tags", "gpu_cluster").rc == 0


def test_reset_takes_the_specification_away(cluster):
    assert cluster.play("reset").rc == 0
    left = cluster.run("node1", "ls /var/run/cdi /etc/systemd/system 2>/dev/null", check=False).stdout
    assert "nvidia" not in left and "wasinn-cdi" not in left
    assert cluster.run("node1", "nvidia-ctk --version").returncode == 0  # what was there before
