# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on what comes back from a machine, or from the API, that cannot be reached."""

from __future__ import annotations

from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.api_failures import classify as api_findings
from ansible_collections.wasinn.cluster.plugins.module_utils.reach_failures import classify as reach_findings


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"reach_findings": reach_findings, "api_findings": api_findings}
