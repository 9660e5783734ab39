# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""GPUs: what nvidia-smi and the kernel said on real machines (recorded/README.md), and machines written as trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import gpu

RECORDED = Path(__file__).parent / "recorded"

#: /proc/driver/nvidia/version as people showed it, and the version in it.
KERNEL_LINES = {
    # github.com/zzzhouuu/truenas-nvidia-drivers/issues/19
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.173.02  Tue Jun 23 08:38:17 UTC 2026\n"
    "GCC version:  gcc version 14.2.0 (Ubuntu 14.2.0-4ubuntu2~24.04.1)\n": "580.173.02",
    # an example in public documentation of the open kernel module
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  555.42.06  Release Build  (abuild@host)  Thu Jul 11 12:00:00 UTC 2024\n"
    "GCC version:  gcc version 7.5.0 (SUSE Linux) \n": "555.42.06",
    # a Jetson's, from a public test
    "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  "
    "(buildbrain@mobile-u64-6336-d8000)  Tue Jan  7 17:35:12 PST 2025\n": "540.4.0",
    # a course's example
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  384.81  Wed Aug 17 22:24:07 PDT 2016\n": "384.81",
    "": "",
}

#: What nvidia-smi says after the driver was updated below it: github.com/zzzhouuu/truenas-nvidia-drivers/issues/19
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.178\n"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.xml").read_text()


@pytest.mark.parametrize(("text", "version"), KERNEL_LINES.items())
def test_kernel_version(text, version) -> None:
    assert gpu.kernel_version(text) == version


@pytest.mark.parametrize(
    ("name", "driver", "cuda", "gpus"),
    [
        ("tesla-t4", "515.105.01", "11.7", [("0000:00:1e.0", "Tesla T4", "Turing", 15360)]),
        ("gt-1030", "470.74", "11.4", [("0000:2d:00.0", "NVIDIA GeForce GT 1030", "", 1998)]),
        ("h200", "580.159.04", "13.0", [("0000:00:06.0", "NVIDIA H200", "Hopper", 143771)]),
        ("a100-mig", "535.54.03", "12.2", [("0000:01:00.0", "NVIDIA A100-SXM4-80GB", "Ampere", 81920)]),
        (
            "two-a5000",
            "590.44.01",
            "13.1",
            [
                ("0000:81:00.0", "NVIDIA RTX A5000", "Ampere", 24564),
                ("0000:c1:00.0", "NVIDIA RTX A5000", "Ampere", 24564),
            ],
        ),
    ],
)
def test_recorded_answers(name, driver, cuda, gpus) -> None:
    answer = gpu.parse_smi(recorded(name))
    assert (answer["driver"], answer["cuda"]) == (driver, cuda)
    assert [
        tuple(item[key] for key in ("address", "model", "architecture", "memory_mib")) for item in answer["gpus"]
    ] == gpus


def test_mig_devices_are_not_taken_for_the_gpu() -> None:
    (a100,) = gpu.parse_smi(recorded("a100-mig"))["gpus"]
    assert a100["mig"]
    assert a100["mig_devices"] == [{"index": 0, "memory_mib": 19968}, {"index": 1, "memory_mib": 19968}]
    (t4,) = gpu.parse_smi(recorded("tesla-t4"))["gpus"]
    assert not t4["mig"] and t4["mig_devices"] == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # minimal example for github.com/huggingface/candle/issues/2583
        (
            "name, compute_cap, driver_version\nNVIDIA GeForce RTX 4090, 8.9, 550.107.02\n",
            [{"name": "NVIDIA GeForce RTX 4090", "compute_cap": "8.9", "driver_version": "550.107.02"}],
        ),
        # a public benchmark's record of its machine, without the columns of clocks
        (
            "index, name, driver_version, memory.total [MiB]\n0, NVIDIA L40S, 575.51.03, 46068 MiB\n1, NVIDIA L40S, 575.51.03, 46068 MiB\n",
            [
                {"index": str(n), "name": "NVIDIA L40S", "driver_version": "575.51.03", "memory.total": "46068 MiB"}
                for n in (0, 1)
            ],
        ),
        ("", []),
    ],
)
def test_recorded_tables(text, rows) -> None:
    assert gpu.parse_query(text) == rows


@pytest.mark.parametrize("text", ["", MISMATCH, "<html></html>", recorded("tesla-t4")[:500]])
def test_no_answer_is_an_error(text) -> None:
    with pytest.raises(gpu.SmiError):
        gpu.parse_smi(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NVIDIA A100-SXM4-80GB", "NVIDIA-A100-SXM4-80GB"),
        ("NVIDIA RTX PRO 6000 (Max-Q)", "NVIDIA-RTX-PRO-6000-Max-Q"),
        ("x" * 62 + "--y", "x" * 62),
    ],
)
def test_label_values(text, value) -> None:
    assert gpu.label_value(text) == value


class Written:
    """A machine as a tree of files, and the answers of its programs."""

    def __init__(self, root: Path):
        self.root = root
        self.answers: dict[str, tuple[int, str, str]] = {}

    def file(self, name: str, content: str | bytes = "") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def device(self, address: str, vendor: str = "0x10de", kind: str = "0x030200") -> None:
        for name, content in (("vendor", vendor), ("class", kind), ("device", "0x1eb8")):
            self.file(f"sys/bus/pci/devices/{address}/{name}", f"{content}\n")

    def driver(self, kernel: str, library: str) -> None:
        self.file("sys/module/nvidia/version", f"{kernel}\n")
        self.file(
            "proc/driver/nvidia/version", f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {kernel}  Tue Jun 23\n"
        )
        self.file(f"usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{library}")
        (self.root / "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1").symlink_to(f"libnvidia-ml.so.{library}")

    def nodes(self, *names: str) -> None:
        for name in names:
            self.file(f"dev/{name}")

    def run(self, words: list[str]) -> tuple[int, str, str]:
        return self.answers.get(" ".join(words[:2]), (127, "", f"there is no {words[0]}"))

    def checks(self, required: bool = False, installing: bool = False) -> list[str]:
        found = gpu.judge(gpu.look(str(self.root), self.run), required, installing)
        for item in found:
            assert item["cause"].endswith(".") and item["remedy"].endswith(".") and "\n" not in item["cause"]
        return [item["check"] for item in found]


@pytest.fixture
def machine(tmp_path: Path) -> Written:
    return Written(tmp_path)


def test_without_a_gpu_nothing_is_asked(machine) -> None:
    machine.device("0000:00:02.0", vendor="0x8086", kind="0x030000")
    machine.device("0000:00:03.0", kind="0x040300")  # the sound of an NVIDIA card
    machine.run = None  # would raise if called
    assert gpu.look(str(machine.root), machine.run) == {"devices": [], "gpus": [], "cuda": "", "smi_error": ""}
    assert machine.checks() == []
    assert machine.checks(required=True) == ["gpu_missing"]


def test_a_gpu_that_works(machine) -> None:
    machine.device("0000:00:1e.0")
    machine.driver("515.105.01", "515.105.01")
    machine.nodes("nvidiactl", "nvidia0", "nvidia-uvm", "nvidia-uvm-tools")
    machine.answers["nvidia-smi -q"] = (0, recorded("tesla-t4"), "")
    uuid = "GPU-d37e67a5-91dd-3774-a5cb-99096249601a"
    machine.answers["nvidia-smi --query-gpu=uuid,compute_cap"] = (0, f"uuid, compute_cap\n{uuid}, 7.5\n", "")
    assert machine.checks() == []
    told = gpu.look(str(machine.root), machine.run)
    assert told["driver"]["nodes"] == ["nvidia-uvm", "nvidia0", "nvidiactl"]
    assert told["gpus"][0]["compute_capability"] == "7.5"
    assert gpu.labels(told) == {
        "wasinn.cluster/gpu.model": "Tesla-T4",
        "wasinn.cluster/gpu.memory": "15360Mi",
        "wasinn.cluster/gpu.count": "1",
        "wasinn.cluster/gpu.driver": "515.105.01",
        "wasinn.cluster/gpu.cuda": "11.7",
    }


def test_gpus_that_differ_share_labels(machine) -> None:
    gpus = [item for name in ("tesla-t4", "a100-mig") for item in gpu.parse_smi(recorded(name))["gpus"]]
    found = gpu.labels({"gpus": gpus, "cuda": "12.2", "driver": {"kernel": "535.54.03"}})
    assert found["wasinn.cluster/gpu.model"] == "mixed"
    assert found["wasinn.cluster/gpu.memory"] == "15360Mi"
    assert found["wasinn.cluster/gpu.count"] == "2"


def test_a_machine_without_a_usable_gpu_has_no_labels(machine) -> None:
    machine.device("0000:00:1e.0")
    assert gpu.labels(gpu.look(str(machine.root), machine.run)) == {}


def test_no_driver(machine) -> None:
    machine.device("0000:00:1e.0")
    assert machine.checks() == ["gpu_driver_missing"]
    assert machine.checks(installing=True) == []


def test_a_module_that_is_not_loaded(machine) -> None:
    machine.device("0000:00:1e.0")
    machine.answers["modinfo -F"] = (0, "", "")
    assert machine.checks() == ["gpu_not_loaded"]
    machine.file(gpu.SECURE_BOOT, b"\x06\0\0\0\1")
    assert machine.checks() == machine.checks(installing=True) == ["gpu_secure_boot"]
    machine.answers["modinfo -F"] = (0, "Debian Secure Boot CA\n", "")
    assert machine.checks() == ["gpu_not_loaded"]
    assert machine.checks(installing=True) == []
    machine.file("sys/module/nouveau/initstate", "live\n")
    assert machine.checks() == machine.checks(installing=True) == ["gpu_nouveau"]


def test_secure_boot_is_warned_of_before_a_driver_comes(machine) -> None:
    def warned(installing: bool) -> int:
        return len(gpu.warnings(gpu.look(str(machine.root), machine.run), installing))

    machine.file(gpu.SECURE_BOOT, b"\x06\0\0\0\1")
    assert warned(installing=True) == 0  # no GPU
    machine.device("0000:00:1e.0")
    assert (warned(installing=True), warned(installing=False)) == (1, 0)
    machine.answers["modinfo -F"] = (0, "Debian Secure Boot CA\n", "")
    assert warned(installing=True) == 0


def test_a_driver_updated_below_its_module(machine) -> None:
    machine.device("0000:00:1e.0")
    machine.driver("580.173.02", "580.178.04")
    machine.nodes("nvidiactl", "nvidia0")
    machine.answers["nvidia-smi -q"] = (18, MISMATCH, "")
    assert machine.checks(installing=True) == ["gpu_driver_mismatch"]


def test_libraries_of_an_earlier_driver_do_not_count(machine) -> None:
    machine.device("0000:00:1e.0")
    machine.driver("580.173.02", "580.173.02")
    machine.file("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.288.01")
    assert gpu.library_version(str(machine.root)) == "580.173.02"


def test_missing_nodes_and_a_failing_smi(machine) -> None:
    machine.device("0000:00:1e.0")
    machine.driver("515.105.01", "515.105.01")
    machine.nodes("nvidiactl")
    assert machine.checks() == ["gpu_nodes"]
    machine.nodes("nvidia3")
    assert machine.checks() == ["gpu_smi"]
    machine.answers["nvidia-smi -q"] = (0, "", "")
    assert machine.checks() == ["gpu_smi"]
