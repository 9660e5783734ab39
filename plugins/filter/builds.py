# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filter on the table of WasmEdge's builds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.module_utils.wasmedge_builds import CPU_FLAGS, NoBuild, Node, choose


def wasmedge_build(version: str, variant: str, machine: str) -> dict[str, Any]:
    """Return the build that a machine of this architecture gets which has all that upstream asks for."""
    node = Node(machine, "99", frozenset(CPU_FLAGS.get(machine, ())))
    try:
        return asdict(choose(version, variant, node))
    except NoBuild as error:
        raise AnsibleFilterError(f"{error.cause} {error.remedy}") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"wasmedge_build": wasmedge_build}
