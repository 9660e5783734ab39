# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Paths as the kernel's tables of mounts write them (proc(5): mounts, mountinfo)."""

from __future__ import annotations

import re

_OCTAL = re.compile(r"\\([0-7]{3})")


def mount_path(field: str) -> str:
    """Return a path of such a table, where blanks, line ends and backslashes are octal and all other bytes stand as they are."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), field)
