# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with systemd as a container, given the GPU, the driver and CUDA's libraries of the machine that this runs on.

For a machine that has root, Python, an NVIDIA driver and CUDA 13 and nothing else: no engine, no network. Everything comes in a folder of
parts that ``python -m tests.gpu`` made. Only the standard library, and zstandard's wheel from among the parts.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NAME = "wasinn-gpu-node1"
ADDRESS = "10.213.5.11"
#: Below it lies all that this makes.
TOP = Path("/opt/wasinn-gpu")
ROOT = TOP / "root"
LIBRARIES = ROOT / "usr/lib/x86_64-linux-gnu"
CUDA = ROOT / "usr/local/cuda/lib64"
#: Files of the driver that a distribution's packages install, and CUDA's that the plugin links to.
DRIVER_FILES = ("libcuda.so*", "libcudadebugger.so*", "libnvidia-*.so*", "libnvcuvid.so*", "libvdpau_nvidia.so*")
CUDA_FILES = ("libcublas.so*", "libcublasLt.so*", "libcudart.so*")
PLACES = (
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/local/cuda/lib64",
)
#: Names of capabilities in the order of their numbers (include/uapi/linux/capability.h).
CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]


def unpack(parts: Path) -> None:
    """Put the root file system together from ``node.tar.zst.*``."""
    TOP.mkdir(parents=True, exist_ok=True)
    wheel = next(parts.glob("zstandard-*.whl"))
    shutil.unpack_archive(wheel, TOP / "python", "zip")
    sys.path.insert(0, str(TOP / "python"))
    import zstandard  # type: ignore[import-not-found]

    ROOT.mkdir(parents=True, exist_ok=True)
    tar = subprocess.Popen(["tar", "-C", str(ROOT), "-xpf", "-"], stdin=subprocess.PIPE)
    sink = tar.stdin
    assert sink is not None
    whole = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
    for part in sorted(parts.glob("node.tar.zst.*")):
        with part.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                sink.write(whole.decompress(chunk))
    sink.close()
    if tar.wait() != 0:
        raise SystemExit("the node's root file system could not be unpacked")


def give_driver() -> list[str]:
    """Copy the driver's files to where Debian's packages have them, and CUDA's to /usr/local/cuda; gives their names."""
    CUDA.mkdir(parents=True, exist_ok=True)
    given = []
    for target, names in ((LIBRARIES, DRIVER_FILES), (CUDA, CUDA_FILES)):
        for name in names:
            for place in PLACES:
                for path in sorted(Path(place).glob(name)):
                    copy = target / path.name
                    if not copy.exists() and not path.is_dir():
                        shutil.copy2(path, copy, follow_symlinks=not path.is_symlink() or "/" in os.readlink(path))
                        given.append(str(path))
    for tool in ("nvidia-smi", "nvidia-modprobe", "nvidia-persistenced"):
        if found := shutil.which(tool) or next(iter(glob.glob(f"/usr/local/nvidia/bin/{tool}")), ""):
            shutil.copy2(found, ROOT / "usr/bin" / tool)
            given.append(found)
    (ROOT / "etc/ld.so.conf.d/cuda.conf").write_text("/usr/local/cuda/lib64\n")
    subprocess.run(["chroot", str(ROOT), "/sbin/ldconfig"], check=True)
    return given


def devices() -> list[dict[str, Any]]:
    """The GPU's device nodes and the kernel's log, as the runtime's specification wants them."""
    found = []
    for path in sorted([*glob.glob("/dev/nvidia*"), *glob.glob("/dev/nvidia-caps/*"), "/dev/kmsg"]):
        if os.path.exists(path) and stat.S_ISCHR((about := os.stat(path)).st_mode):
            number = {"major": os.major(about.st_rdev), "minor": os.minor(about.st_rdev)}
            found.append({"path": path, "type": "c", "fileMode": 0o666, "uid": 0, "gid": 0, **number})
    return found


def specification() -> dict[str, Any]:
    """The machine for runc, as tests.machines gives it to Docker."""
    data = TOP / "data"
    tmpfs = ["nosuid", "nodev"]
    mounts: list[tuple[str, str, str, list[str]]] = [
        ("/proc", "proc", "proc", []),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755"]),
        ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        ("/dev/shm", "tmpfs", "shm", [*tmpfs, "mode=1777"]),
        ("/dev/mqueue", "mqueue", "mqueue", [*tmpfs, "noexec"]),
        ("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime"]),
        ("/run", "tmpfs", "tmpfs", ["nosuid", "mode=755"]),
        ("/run/lock", "tmpfs", "tmpfs", [*tmpfs]),
        ("/tmp", "tmpfs", "tmpfs", [*tmpfs, "mode=1777"]),
    ]
    for name, place in (
        ("rancher", "/var/lib/rancher"),
        ("containerd", "/var/lib/containerd"),
        ("kubelet", "/var/lib/kubelet"),
    ):
        (data / name).mkdir(parents=True, exist_ok=True)
        mounts.append((place, "bind", str(data / name), ["rbind", "rw"]))
    # As root of a container may have: all that this process may.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    bits = int(next(line for line in status.splitlines() if line.startswith("CapBnd")).split()[1], 16)
    held = [f"CAP_{name}" for number, name in enumerate(CAPABILITIES) if bits >> number & 1]
    process = {
        "user": {"uid": 0, "gid": 0},
        "args": ["/usr/local/sbin/wasinn-entry"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=docker"],
        "cwd": "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), held),
    }
    spaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]
    if os.path.exists("/proc/self/ns/cgroup"):
        spaces.append({"type": "cgroup"})
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(ROOT), "readonly": False},
        "hostname": "node1",
        "mounts": [dict(zip(("destination", "type", "source", "options"), mount, strict=True)) for mount in mounts],
        "linux": {
            "namespaces": spaces,
            "devices": devices(),
            "resources": {"devices": [{"allow": True, "access": "rwm"}]},
            "rootfsPropagation": "rshared",
        },
    }


def runs(parts: Path) -> bool:
    """Whether the machine is up."""
    return ROOT.exists() and runc(parts, "state", NAME, capture_output=True).returncode == 0


def runc(parts: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """runc from among the parts."""
    program = TOP / "runc"
    if not program.exists():
        shutil.copy2(parts / "runc", program)
        shutil.copy2(parts / "libseccomp.so.2", TOP / "libseccomp.so.2")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(TOP)}
    line = [str(program), "--root", str(TOP / "state"), *words]
    return subprocess.run(line, env=environment, text=True, check=False, **options)


def inside(parts: Path, line: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A shell line in the machine."""
    return runc(parts, "exec", NAME, "sh", "-c", line, **options)


def boot(parts: Path, seconds: int = 60) -> str:
    """Start the machine and give what systemd says of it."""
    bundle = TOP / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / "config.json").write_text(json.dumps(specification(), indent=1))
    log = (TOP / "boot.log").open("wb")
    started = runc(
        parts, "run", "--detach", "--bundle", str(bundle), NAME, stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    if started.returncode != 0:
        return f"runc failed: {(TOP / 'boot.log').read_text(errors='replace')[-2000:]}"
    said = ""
    for _attempt in range(seconds):
        said = inside(
            parts, "systemctl is-system-running; systemctl --failed --no-legend", capture_output=True
        ).stdout.strip()
        if said.split("\n")[0] in ("running", "degraded"):
            break
        time.sleep(1)
    return said


def network(parts: Path) -> str:
    """Give the machine an address and a way out that leads nowhere; gives the kind of interface that the kernel made."""
    for kind in ("dummy", "veth peer name eth0-out", "bridge"):
        line = f"ip link set lo up && ip link add eth0 type {kind} && ip addr add {ADDRESS}/24 dev eth0 && ip link set eth0 up"
        line += f" && {{ ip link set eth0-out up 2>/dev/null || true; }} && ip route add default via {ADDRESS.rpartition('.')[0]}.1"
        if inside(parts, line, capture_output=True).returncode == 0:
            inside(parts, f"echo '{ADDRESS} node1' >> /etc/hosts")
            return kind.split()[0]
    return "none"
