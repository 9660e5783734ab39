# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A finding: something that is wrong, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

Finding = dict[str, str]


def finding(check: str, cause: str, remedy: str) -> Finding:
    """One finding. *check* is a stable word for programs; *cause* and *remedy* are sentences for people."""
    return {"check": check, "cause": cause, "remedy": remedy}


def unique(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in their order, each said once."""
    seen = []
    for item in findings:
        if item not in seen:
            seen.append(item)
    return seen


def sentence(findings: Iterable[Finding]) -> str:
    """All findings as one text for a module's failure message."""
    return " ".join("{} {}".format(item["cause"], item["remedy"]) for item in findings)


def human_bytes(count: int) -> str:
    """*count* bytes in the largest binary unit that keeps it above one, e.g. ``93.8 MiB``."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
