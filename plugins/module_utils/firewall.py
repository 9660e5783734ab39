# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Openings in the firewall that a machine has: firewalld, ufw, or nftables' own service.

What was opened is kept in a file, so that an opening that is no longer wanted is closed, and nobody else's ever is.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import write_whole

#: By this word our rules are known.
MARK = "wasinn.cluster"
STATE = "/etc/wasinn/firewall.json"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class FirewallError(Exception):
    """A firewall that does not do what it was asked for."""


class Opening(NamedTuple):
    """Ports of one protocol for some sources, all of them where there is none."""

    protocol: str
    ports: tuple[str, ...]
    sources: tuple[str, ...] = ()


class Wanted(NamedTuple):
    """All that is to be open: openings, and ranges from and to which everything is let through."""

    openings: tuple[Opening, ...] = ()
    trusted: tuple[str, ...] = ()

    @classmethod
    def of(cls, openings: Iterable[Mapping[str, Any]], trusted: Iterable[str]) -> Wanted:
        """From a module's parameters, or from JSON. Raises :class:`FirewallError` for what is no address or network."""
        return cls(
            tuple(
                Opening(item["protocol"], tuple(map(str, item["ports"])), _networks(item.get("sources") or ()))
                for item in openings
            ),
            _networks(trusted),
        )

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"openings": [dict(item._asdict()) for item in self.openings], "trusted": list(self.trusted)}


def _networks(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts, once each is seen to be an address or a network."""
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise FirewallError(f"{error}; write an address like 192.0.2.11 or a network like 10.42.0.0/16") from error
    return tuple(texts)


def command(argv: Sequence[str], stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program; where it fails its words are the error."""
    env = dict(os.environ, LC_ALL="C", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, env=env, timeout=120)
    except FileNotFoundError:
        done = subprocess.CompletedProcess(argv, 127, "", f"{argv[0]} is not installed")
    except subprocess.TimeoutExpired:
        done = subprocess.CompletedProcess(argv, 124, "", f"{argv[0]} did not end within 120 s")
    if check and done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise FirewallError(f"{' '.join(argv[:6])} failed: {words[-1] if words else done.returncode}")
    return done


class State(NamedTuple):
    """Which firewall was opened, what for, and what it noted besides."""

    firewall: str = ""
    wanted: Wanted = Wanted()
    notes: Mapping[str, Any] = {}


def read_state(path: str) -> State:
    """What was opened; nothing where there is no such file."""
    try:
        with open(path, encoding="utf-8") as stream:
            data = json.load(stream)
        return State(data["firewall"], Wanted.of(data["openings"], data["trusted"]), data.get("notes", {}))
    except FileNotFoundError:
        return State()
    except (ValueError, KeyError, TypeError) as error:
        raise FirewallError(f"{path} cannot be read ({error!r}): remove it, and the rules marked {MARK}") from error


def write_state(path: str, state: State) -> None:
    """Keep that, or remove the file where nothing is open."""
    if not state.firewall:
        if os.path.exists(path):
            os.unlink(path)
        return
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    text = json.dumps({"firewall": state.firewall, **state.wanted.plain(), "notes": state.notes}, indent=2) + "\n"
    write_whole(Path(path), text, 0o600)


class Firewall:
    """One kind of firewall. ``change`` goes from what was open to what is wanted, and tells whether anything differed.

    What it has to know the next time besides is in ``notes``: such as rules that were there before us (``theirs``), which stay.
    """

    name = ""

    def __init__(self, run: Run = command):
        self.run = run
        self.notes: dict[str, Any] = {}

    def active(self) -> bool:
        """Whether it guards this machine."""
        raise NotImplementedError

    def change(self, before: Wanted, wanted: Wanted, dry: bool) -> bool:
        """Open what is wanted, close what was open besides."""
        raise NotImplementedError

    def _unit_is_active(self, unit: str) -> bool:
        return self.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode == 0
