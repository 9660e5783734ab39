# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A filter that writes TOML (https://toml.io/en/v1.0.0), which Python's tomllib only reads."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(data: Mapping[str, Any]) -> str:
    """Return C(data) as a TOML document; the same data always gives the same text.

    Keys keep their order, but plain values stand before tables. A key with the value none is left out, since TOML
    has no null.
    """
    if not isinstance(data, Mapping):
        raise AnsibleFilterError(f"to_toml makes documents of dictionaries, not of {type(data).__name__}.")
    return "\n".join(_table(data, ())).lstrip("\n") + "\n" if data else ""


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The lines of one table and of those below it."""
    present = {str(key): value for key, value in table.items() if value is not None}
    plain = {key: value for key, value in present.items() if not isinstance(value, Mapping)}
    if path and (plain or not present):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value, (*path, key))}"
    for key, value in present.items():
        if isinstance(value, Mapping):
            yield from _table(value, (*path, key))


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _value(value: Any, path: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item, path) for item in value) + "]"
    if isinstance(value, Mapping):  # in a list
        pairs = (f"{_key(str(key))} = {_value(item, path)}" for key, item in value.items() if item is not None)
        return "{" + ", ".join(pairs) + "}"
    raise AnsibleFilterError(
        f"{'.'.join(path)} is {type(value).__name__}, which TOML does not have; write it as a string or a number."
    )


def _string(text: str) -> str:
    """JSON's escapes are TOML's as well, but for DEL, and without surrogate pairs."""
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"to_toml": to_toml}
