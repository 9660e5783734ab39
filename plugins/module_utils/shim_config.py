# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shim's own configuration file: flat TOML with a handful of keys.

Python has a TOML reader only since 3.11 and nodes may have 3.9, so this reads just the flat subset the shim's file
uses: strings, booleans, integers and arrays of strings.
"""

from __future__ import annotations

import json
import re
from typing import Any

_LINE = re.compile(r"^\s*([A-Za-z0-9_-]+)\s*=\s*(.+)$")


class ShimConfigError(Exception):
    """The file cannot be read or understood; the text says why."""


def read_shim_config(path: str) -> dict[str, Any]:
    """The settings of the file; empty if there is none, as the shim then takes its defaults."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ShimConfigError(f"{path} cannot be read: {error}") from None
    return parse(text, path)


def parse(text: str, path: str = "the shim's configuration") -> dict[str, Any]:
    """Flat TOML *text* as a dictionary. Raises :class:`ShimConfigError` naming *path* and the line."""
    settings: dict[str, Any] = {}
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        line = strip_comment(line).strip()
        if not line:
            continue
        start = start if pending else number
        pending = (pending + " " + line).strip()
        if pending.count("[") > pending.count("]"):  # an array over several lines
            continue
        match = _LINE.match(pending)
        if not match:
            raise ShimConfigError(f"{path}, line {start}: expected 'key = value', found {pending!r}")
        settings[match.group(1)] = _value(match.group(2), path, start)
        pending = ""
    if pending:
        raise ShimConfigError(f"{path}, line {start}: the array is not closed")
    return settings


def _value(text: str, path: str, line: int) -> Any:
    text = re.sub(r"'([^']*)'", lambda match: json.dumps(match.group(1)), text) if '"' not in text else text
    try:
        return json.loads(re.sub(r",\s*\]$", "]", text))
    except ValueError:
        raise ShimConfigError(f"{path}, line {line}: {text} is no value this file may have") from None


def strip_comment(line: str) -> str:
    """*line* without a comment that is not inside quotes."""
    quote = ""
    for position, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#":
            return line[:position]
    return line
