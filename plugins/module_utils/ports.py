# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who listens on a machine's ports, and which systemd unit that is; read from /proc."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from dataclasses import dataclass

LISTENING = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; a bound UDP socket is TCP_CLOSE


@dataclass(frozen=True)
class Listener:
    """A socket that is bound to a port. *process* and *unit* are empty where they cannot be told."""

    port: int
    protocol: str
    process: str = ""
    unit: str = ""

    def __str__(self) -> str:
        owner = self.process or "an unknown process"
        return f"{owner} ({self.unit})" if self.unit else owner


def listeners(root: str = "/") -> list[Listener]:
    """Every listening TCP socket and bound UDP socket, IPv4 and IPv6."""
    found = []
    owners: dict[str, tuple[str, str]] | None = None
    for protocol, state in LISTENING.items():
        for name in (protocol, protocol + "6"):
            for words in _table(os.path.join(root, "proc/net", name)):
                # Inode 0 is the kernel's own (vxlan, wireguard): whose tunnel it is cannot be told from here.
                if words[3] != state or words[9] == "0":
                    continue
                owners = _owners(root) if owners is None else owners
                process, unit = owners.get(words[9], ("", ""))
                found.append(Listener(int(words[1].rsplit(":", 1)[1], 16), protocol, process, unit))
    return found


def _table(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="ascii") as stream:
            return [line.split() for line in stream.readlines()[1:]]
    except OSError:
        return []


def _owners(root: str) -> dict[str, tuple[str, str]]:
    """Socket inode -> (process name, unit)."""
    owners = {}
    for folder in glob.glob(os.path.join(root, "proc/[0-9]*")):
        inodes = [link[8:-1] for link in _open_files(folder) if link.startswith("socket:[")]
        if inodes:
            owner = (read(os.path.join(folder, "comm")), unit_of(read(os.path.join(folder, "cgroup"))))
            owners.update(dict.fromkeys(inodes, owner))
    return owners


def _open_files(folder: str) -> list[str]:
    """What a process has open; nothing where it ended meanwhile, or is another user's."""
    links = []
    with contextlib.suppress(OSError), os.scandir(os.path.join(folder, "fd")) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # closed meanwhile
                links.append(os.readlink(entry.path))
    return links


def unit_of(cgroup: str) -> str:
    """The systemd unit in the text of /proc/<pid>/cgroup, e.g. ``k3s.service``; empty if there is none."""
    found = re.findall(r"/([^/\n]+\.(?:service|scope))(?=/|$)", cgroup, re.MULTILINE)
    return found[0] if found else ""


def read(path: str) -> str:
    """A small file's text without the last line's end; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""
