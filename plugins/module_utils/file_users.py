# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who on this machine still uses a file: a container that has it mounted, a process that has it open or mapped."""

from __future__ import annotations

import contextlib
import os
import typing as t
from pathlib import Path

from ansible_collections.wasinn.cluster.plugins.module_utils.mounts import mount_path

PROC = "/proc"
Identity = tuple[int, int]  # device and inode


def users_of(paths: t.Iterable[Path], proc: str = PROC) -> dict[Path, str]:
    """The paths that are in use, each with words for who uses it. Paths that are not there are left out."""
    wanted: dict[Identity, Path] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            wanted[_identity(str(path))] = path
    found: dict[Path, str] = {}
    seen: set[str] = set()  # mount namespaces
    if not wanted:
        return found
    for pid in sorted((name for name in os.listdir(proc) if name.isdigit()), key=int):
        folder = os.path.join(proc, pid)
        with contextlib.suppress(OSError):  # it may end meanwhile
            namespace = os.readlink(os.path.join(folder, "ns", "mnt"))
            identities = _open_files(folder)
            if namespace not in seen:
                seen.add(namespace)
                mounted = _mounted_files(folder, {path.name for path in wanted.values()})
                for identity in mounted & wanted.keys():
                    found.setdefault(wanted[identity], f"mounted in the container of {_name(folder)} (process {pid})")
            for identity in identities & wanted.keys():
                found.setdefault(wanted[identity], f"open in {_name(folder)} (process {pid})")
    return found


def _identity(path: str) -> Identity:
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino


def _open_files(folder: str) -> set[Identity]:
    found: set[Identity] = set()
    for kind in ("fd", "map_files"):
        with contextlib.suppress(OSError):
            for name in os.listdir(os.path.join(folder, kind)):
                with contextlib.suppress(OSError):
                    found.add(_identity(os.path.join(folder, kind, name)))
    return found


def _mounted_files(folder: str, names: set[str]) -> set[Identity]:
    """Files mounted by themselves, as a pod's volume of type File is. Only those of the given names are looked at."""
    found: set[Identity] = set()
    with open(os.path.join(folder, "mountinfo"), encoding="utf-8", errors="surrogateescape") as handle:
        for line in handle:
            fields = line.split()
            root, point = (mount_path(text) for text in fields[3:5])
            if os.path.basename(root) in names:
                with contextlib.suppress(OSError):
                    found.add(_identity(os.path.join(folder, "root", point.lstrip("/"))))
    return found


def _name(folder: str) -> str:
    with open(os.path.join(folder, "comm"), encoding="utf-8", errors="replace") as handle:
        return handle.read().strip()
