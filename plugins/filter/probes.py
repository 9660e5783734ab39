# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters on what probes measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def probe_baseline(
    probes: Iterable[Mapping[str, Any]], kept: Mapping[str, Mapping[str, Any]], runtime: str
) -> dict[str, dict[str, Any]]:
    """Return C(kept) with the figures of C(probes) where a model's file or the runtime is new."""
    baseline = {}
    for probe in probes:
        if "tokens_per_second" not in probe:
            continue
        name, file = probe["item"]["name"], probe["item"]["file"]
        old = kept.get(name, {})
        figures = {key: probe[key] for key in ("tokens_per_second", "load_ms")}
        same = (old.get("file"), old.get("tuple")) == (file, runtime)
        baseline[name] = dict(old) if same else {"file": file, "tuple": runtime, **figures}
    return baseline


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"probe_baseline": probe_baseline}
