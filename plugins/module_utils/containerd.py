# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images of a containerd, through its ctr program (or ``k3s ctr``)."""

from __future__ import annotations

import os
import stat
import subprocess
import typing as t
from dataclasses import dataclass, field

# The kubelet's garbage collection leaves images with this label alone (containerd's CRI plugin, since 1.7). An image
# that came from a file could not be pulled again.
PINNED = ("io.cri-containerd.pinned", "pinned")

#: What the modules for containerd have in common.
ARGUMENT_SPEC: dict[str, t.Any] = {
    "address": {"type": "path", "default": "/run/containerd/containerd.sock"},
    "namespace": {"type": "str", "default": "k8s.io"},
    "ctr": {"type": "list", "elements": "str", "default": ["ctr"]},
}


class ContainerdError(Exception):
    """One sentence: what containerd or ctr refused and what to do about it."""


@dataclass(frozen=True)
class ImageRecord:
    """An image's name, the digest it points to, and its labels."""

    name: str
    digest: str
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def pinned(self) -> bool:
        """Whether the kubelet's garbage collection leaves it alone."""
        return self.labels.get(PINNED[0]) == PINNED[1]


@dataclass(frozen=True)
class Ctr:
    """The ctr program of one containerd namespace; ``timeout`` in seconds a command."""

    address: str
    namespace: str = "k8s.io"
    command: tuple[str, ...] = ("ctr",)
    timeout: float = 300

    def images(self) -> dict[str, ImageRecord]:
        """All images by name."""
        return parse_images(self.run("images", "ls"))

    def import_archive(self, archive: str) -> None:
        """Imports an archive for every platform it has: a wasm platform is not the host's own."""
        self.run("images", "import", "--all-platforms", archive)

    def tag(self, source: str, name: str) -> None:
        """Gives an image a further name, replacing what had it."""
        self.run("images", "tag", "--force", source, name)

    def label(self, name: str, key: str, value: str) -> None:
        """Sets a label; an empty value removes it."""
        self.run("images", "label", name, f"{key}={value}")

    def remove(self, name: str) -> None:
        """Removes a name, and what no other name needs, before it returns."""
        self.run("images", "rm", "--sync", name)

    def run(self, *args: str) -> str:
        """Runs ctr and returns its output.

        :raises ContainerdError: with one sentence.
        """
        self._check_socket()
        argv = [*self.command, "--address", self.address, "--namespace", self.namespace, *args]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=self.timeout, check=False)
        except FileNotFoundError as exc:
            raise ContainerdError(
                f"{self.command[0]} is not on this machine: install containerd's ctr, or name it in the parameter ctr "
                '(on k3s ["/usr/local/bin/k3s", "ctr"])'
            ) from exc
        except PermissionError as exc:
            raise ContainerdError(f"{self.command[0]} may not be run by this user; use become") from exc
        except subprocess.TimeoutExpired as exc:
            raise ContainerdError(
                f"ctr {' '.join(args)} did not end within {self.timeout:.0f} s; see containerd's journal"
            ) from exc
        if done.returncode:
            raise ContainerdError(self._sentence(args, done.stderr.strip() or done.stdout.strip()))
        return done.stdout

    def _check_socket(self) -> None:
        try:
            mode = os.stat(self.address).st_mode
        except FileNotFoundError as exc:
            raise ContainerdError(
                f"there is no socket {self.address}: start containerd, or correct the address "
                "(/run/containerd/containerd.sock, on k3s /run/k3s/containerd/containerd.sock)"
            ) from exc
        except PermissionError as exc:
            raise ContainerdError(f"this user may not use {self.address}; use become") from exc
        if not stat.S_ISSOCK(mode):
            raise ContainerdError(f"{self.address} is not a socket; correct the address")

    def _sentence(self, args: tuple[str, ...], stderr: str) -> str:
        text = " ".join(stderr.split())
        if "connection refused" in text or "failed to dial" in text or "context deadline exceeded" in text:
            return f"nothing answers at {self.address}: start containerd (its journal says why it ended) and run again"
        if "permission denied" in text:
            return f"this user may not use {self.address}; use become"
        if "no space left" in text:
            return "the disk that holds containerd's images is full; free some space and run again"
        return f"ctr {' '.join(args[:2])} failed: {text[-500:] or 'without a word'}"


def parse_images(text: str) -> dict[str, ImageRecord]:
    """The table of ``ctr images ls``: REF TYPE DIGEST SIZE PLATFORMS LABELS, of which size is two words."""
    found = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 3:
            continue
        pairs = (item.partition("=") for item in words[-1].split(",")) if "=" in words[-1] else ()
        found[words[0]] = ImageRecord(words[0], words[2], {key: value for key, separator, value in pairs if separator})
    return found
