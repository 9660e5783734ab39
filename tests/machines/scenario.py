# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named sets of machines with their addresses; several can be up side by side."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .shell import CACHE, REPO, Failure

# Three numbers of a private /24 that is unlikely to be in use; WASINN_<NAME>_NETWORK takes another.
# The static inventories read the same variables.
KNOWN = {
    "demo": ("10.213.7", ("node1", "node2", "node3")),
    "e2e": ("10.213.8", ("node1", "node2", "node3")),
    "molecule-node": ("10.213.9", ("node1",)),
    "molecule-cluster": ("10.213.10", ("node1", "node2", "node3")),
}
FIRST = 11  # last number of the first machine's address
# Two checkouts on one engine keep their hands off each other's machines.
CHECKOUT = f"wasinn.checkout={REPO}"


@dataclass(frozen=True)
class Scenario:
    """Machines ``nodes`` on the network ``prefix``.0/24, everything of theirs labelled with the scenario and the checkout."""

    name: str
    prefix: str
    nodes: tuple[str, ...]

    @classmethod
    def named(cls, name: str, nodes: tuple[str, ...] = (), prefix: str = "") -> Scenario:
        """A known scenario, or one of the given nodes and prefix.

        :raises Failure: for an unknown scenario without nodes or prefix, and for a prefix that is none.
        """
        known_prefix, known_nodes = KNOWN.get(name, ("", ()))
        prefix = prefix or os.environ.get(variable(name), "") or known_prefix
        nodes = nodes or known_nodes
        if not re.fullmatch("[a-z][a-z0-9-]*", name) or not prefix or not nodes:
            raise Failure(f"Scenario '{name}' is not one of {', '.join(KNOWN)}: give it nodes and --network.")
        try:
            ipaddress.IPv4Network(f"{prefix}.0/24")
        except ValueError:
            raise Failure(
                f"'{prefix}' is not the first three numbers of a network: {variable(name)}=10.213.7"
            ) from None
        return cls(name, prefix, nodes)

    @property
    def network(self) -> str:
        return f"wasinn-{self.name}"

    @property
    def gateway(self) -> str:
        return f"{self.prefix}.1"

    @property
    def labels(self) -> tuple[str, ...]:
        """Flags for ``docker … create``."""
        return ("--label", f"wasinn.scenario={self.name}", "--label", CHECKOUT)

    def filters(self, anyones: bool = False) -> tuple[str, ...]:
        """Flags for ``docker … ls``: this scenario's things, those of other checkouts as well or not."""
        flags = ("--filter", f"label=wasinn.scenario={self.name}")
        return flags if anyones else (*flags, "--filter", f"label={CHECKOUT}")

    @property
    def state(self) -> Path:
        """Folder of the key and the known hosts."""
        return CACHE / self.name

    def container(self, node: str) -> str:
        return f"wasinn-{self.name}-{node}"

    def address(self, node: str) -> str:
        return f"{self.prefix}.{FIRST + self.nodes.index(node)}"


def variable(name: str) -> str:
    """The environment variable that moves a scenario to another network."""
    return f"WASINN_{name.upper().replace('-', '_')}_NETWORK"
