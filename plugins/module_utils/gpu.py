# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NVIDIA GPUs of a machine: what the PCI bus, the kernel and nvidia-smi say of them.

Only reads. *root* lets tests look at another tree than the machine's, and *run* at recorded answers.
"""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding
from ansible_collections.wasinn.cluster.plugins.module_utils.ports import read

#: Runs a command (a list of words) and gives exit code, standard output and standard error; 127 where there is no such program.
Run = Callable[[list[str]], tuple[int, str, str]]

NVIDIA = "0x10de"
#: PCI base class of display controllers; a GPU without a monitor's connector is 0x0302.
DISPLAY = "0x03"
LIBRARY_FOLDERS = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/nvidia/current", "usr/lib64", "usr/lib", "lib64")
#: The fifth byte is the value, after four of attributes.
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
LABEL = "wasinn.cluster/gpu."
#: Findings that stay when the driver's packages are installed.
NOT_MENDED = ("gpu_nouveau", "gpu_secure_boot")


class SmiError(Exception):
    """nvidia-smi's answer cannot be read; the text says why."""


def pci_devices(root: str = "/") -> list[dict[str, str]]:
    """NVIDIA's display controllers: address, device id and the kernel's driver of each."""
    found = []
    for folder in sorted(glob.glob(os.path.join(root, "sys/bus/pci/devices/*"))):
        if read(f"{folder}/vendor") == NVIDIA and read(f"{folder}/class").startswith(DISPLAY):
            driver = f"{folder}/driver"
            name = os.path.basename(os.path.realpath(driver)) if os.path.exists(driver) else ""
            found.append({"address": os.path.basename(folder), "device": read(f"{folder}/device"), "driver": name})
    return found


def kernel_version(text: str) -> str:
    """The driver's version in /proc/driver/nvidia/version, of the closed and of the open kernel module."""
    found = re.search(r"^NVRM version:.*?Kernel Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)", text, re.MULTILINE)
    return found.group(1) if found else ""


def library_version(root: str = "/") -> str:
    """The version of the driver's libraries, which libnvidia-ml has in its file's name: the one that its link names, else the last."""
    for folder in LIBRARY_FOLDERS:
        link = os.path.realpath(os.path.join(root, folder, "libnvidia-ml.so.1"))
        linked = [link] if os.path.exists(link) else []
        for path in linked + sorted(glob.glob(os.path.join(root, folder, "libnvidia-ml.so.*.*")), reverse=True):
            if re.fullmatch(r"\d+(\.\d+)+", version := os.path.basename(path).split(".so.")[-1]):
                return version
    return ""


def secure_boot(root: str = "/") -> bool:
    """Whether the firmware lets the kernel load signed modules alone."""
    try:
        with open(os.path.join(root, SECURE_BOOT), "rb") as stream:
            return stream.read(5)[4:] == b"\1"
    except OSError:
        return False


def driver(root: str, run: Run) -> dict[str, Any]:
    """Kernel module, libraries and device nodes. *module_there* and *signer* are asked of modinfo."""
    code, signer, _error = run(["modinfo", "-F", "signer", "nvidia"])
    kernel = kernel_version(read(os.path.join(root, "proc/driver/nvidia/version")))
    return {
        "kernel": kernel or read(os.path.join(root, "sys/module/nvidia/version")),
        "library": library_version(root),
        "loaded": os.path.isdir(os.path.join(root, "sys/module/nvidia")),
        "nouveau": os.path.isdir(os.path.join(root, "sys/module/nouveau")),
        "module_there": code == 0,
        "signer": signer.strip() if code == 0 else "",
        "secure_boot": secure_boot(root),
        "nodes": sorted(
            os.path.basename(path)
            for path in glob.glob(os.path.join(root, "dev/nvidia*"))
            if re.fullmatch(r"nvidia(ctl|-uvm|\d+)", os.path.basename(path))
        ),
    }


def parse_smi(text: str) -> dict[str, Any]:
    """What C(nvidia-smi -q -x) says: versions, and model, memory and MIG devices of each GPU. Raises :class:`SmiError`."""
    try:
        log = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise SmiError(f"its answer is no XML ({error})") from None
    if log.tag != "nvidia_smi_log":
        raise SmiError(f"its answer is a {log.tag}, not an nvidia_smi_log")
    return {
        "driver": _text(log, "driver_version"),
        "cuda": _text(log, "cuda_version"),
        "gpus": [_gpu(element) for element in log.findall("gpu")],
    }


def _gpu(element: ElementTree.Element) -> dict[str, Any]:
    return {
        "address": element.get("id", "").lower()[-12:],  # nvidia-smi's PCI domain has eight digits, the kernel's four
        "model": _text(element, "product_name"),
        "architecture": _text(element, "product_architecture"),
        "uuid": _text(element, "uuid"),
        "memory_mib": mebibytes(_text(element, "fb_memory_usage/total")),
        "mig": _text(element, "mig_mode/current_mig") == "Enabled",
        "mig_devices": [
            {
                "index": int(_text(device, "index")),
                "memory_mib": mebibytes(_text(device, "fb_memory_usage/total")),
            }
            for device in element.findall("mig_devices/mig_device")
        ],
    }


def _text(element: ElementTree.Element, path: str) -> str:
    found = (element.findtext(path) or "").strip()
    return "" if found in ("N/A", "[N/A]") else found


def mebibytes(text: str) -> int:
    """The number in C(15360 MiB); 0 where there is none."""
    found = re.match(r"(\d+)\s*MiB", text)
    return int(found.group(1)) if found else 0


def parse_query(text: str) -> list[dict[str, str]]:
    """Rows of C(nvidia-smi --query-gpu=... --format=csv), by the names in its first line without their unit."""
    rows = list(csv.reader(text.strip().splitlines(), skipinitialspace=True))
    if not rows:
        return []
    names = [name.split(" [")[0] for name in rows[0]]
    return [dict(zip(names, row)) for row in rows[1:]]


def look(root: str, run: Run) -> dict[str, Any]:
    """Everything, for a machine with or without GPUs."""
    devices = pci_devices(root)
    told: dict[str, Any] = {"devices": devices, "gpus": [], "cuda": "", "smi_error": ""}
    if not devices:
        return told
    told["driver"] = driver(root, run)
    code, out, error = run(["nvidia-smi", "-q", "-x"])
    if code != 0:
        told["smi_error"] = " ".join((out + error).split())
        return told
    try:
        answer = parse_smi(out)
    except SmiError as problem:
        return {**told, "smi_error": str(problem)}
    # Older drivers do not know this field, and XML has it in no version.
    code, out, _error = run(["nvidia-smi", "--query-gpu=uuid,compute_cap", "--format=csv"])
    capabilities = {row["uuid"]: row["compute_cap"] for row in parse_query(out)} if code == 0 else {}
    gpus = [{**gpu, "compute_capability": capabilities.get(gpu["uuid"], "")} for gpu in answer["gpus"]]
    return {**told, "cuda": answer["cuda"], "gpus": gpus}


def labels(told: Mapping[str, Any]) -> dict[str, str]:
    """Labels of the node; of GPUs that differ, the model is C(mixed) and the memory that of the smallest."""
    gpus = told["gpus"]
    if not gpus:
        return {}
    models = {gpu["model"] for gpu in gpus}
    values = {
        "model": models.pop() if len(models) == 1 else "mixed",
        "memory": f"{min(gpu['memory_mib'] for gpu in gpus)}Mi",
        "count": str(len(gpus)),
        "driver": told["driver"]["kernel"],
        "cuda": told["cuda"],
    }
    return {LABEL + name: label_value(value) for name, value in values.items() if value}


def label_value(text: str) -> str:
    """*text* as Kubernetes allows it for a label's value."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:63].strip("-_.")


def judge(told: Mapping[str, Any], required: bool, installing: bool = False) -> list[Finding]:
    """What keeps the GPUs from being used. *installing*: a missing driver is about to be installed."""
    if not told["devices"]:
        if not required:
            return []
        cause = "gpu_required is set, but this machine's PCI bus has no display controller of NVIDIA."
        remedy = "Use a machine with one, pass it through to this virtual machine, or unset gpu_required for this host."
        return [finding("gpu_missing", cause, remedy)]
    installed = told["driver"]
    if not installed["loaded"]:
        found = _not_loaded(installed)
        return [found] if not installing or found["check"] in NOT_MENDED else []
    if installed["library"] and installed["library"] != installed["kernel"]:
        cause = f"The loaded NVIDIA kernel module is {installed['kernel']}, but the driver's libraries are {installed['library']}."
        remedy = "Reboot the machine; the driver was updated while its old module was loaded."
        return [finding("gpu_driver_mismatch", cause, remedy)]
    nodes = installed["nodes"]
    if "nvidiactl" not in nodes or not any(name[6:].isdigit() for name in nodes):
        cause = "The NVIDIA kernel module is loaded, but /dev has no nvidiactl or no node of a GPU (nvidia0)."
        return [finding("gpu_nodes", cause, "Run nvidia-modprobe -c 0 -u, or start nvidia-persistenced at boot.")]
    if told["smi_error"] and not installing:
        cause = f"nvidia-smi cannot talk to the driver: {told['smi_error'].rstrip('.')}."
        remedy = "Install the driver's tools of the same version (nvidia-smi, libnvidia-ml), or look at dmesg for NVRM's lines."
        return [finding("gpu_smi", cause, remedy)]
    return []


def warnings(told: Mapping[str, Any], installing: bool) -> list[str]:
    """What may keep a driver that is about to be installed from being loaded: nobody knows its signature before it is there."""
    installed = told.get("driver", {})
    if not (installing and installed and installed["secure_boot"]) or installed["module_there"]:
        return []
    return [
        "Secure boot is on, so the kernel will refuse the NVIDIA module if its packages build one that is not signed with an enrolled key. "
        "Remedy: name packages of signed modules in gpu_driver_packages, enrol DKMS' key by mokutil --import before, or switch secure boot off."
    ]


def _not_loaded(installed: Mapping[str, Any]) -> Finding:
    escape = "or set gpu_driver to none for this host, which then computes on its processor."
    if installed["nouveau"]:
        cause = "The kernel module nouveau holds the NVIDIA GPU, so NVIDIA's own cannot be loaded."
        remedy = f"Blacklist nouveau in /etc/modprobe.d, renew the initramfs and reboot, {escape}"
        return finding("gpu_nouveau", cause, remedy)
    if installed["module_there"] and installed["secure_boot"] and not installed["signer"]:
        cause = "Secure boot is on and the NVIDIA kernel module is not signed, so the kernel refuses it."
        remedy = f"Sign it with a key enrolled by mokutil --import, install a signed module, or switch secure boot off, {escape}"
        return finding("gpu_secure_boot", cause, remedy)
    if installed["module_there"]:
        cause = "The NVIDIA kernel module is installed, but not loaded."
        return finding("gpu_not_loaded", cause, f"Run modprobe nvidia and see dmesg if it fails, {escape}")
    cause = "This machine has an NVIDIA GPU, but no driver for its running kernel."
    remedy = f"Set gpu_driver to distribution or nvidia, or install the driver yourself, {escape}"
    return finding("gpu_driver_missing", cause, remedy)
