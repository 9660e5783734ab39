# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A filter that makes of clients' keys what the balancer reads: their hashes and limits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What stands in an Authorization header as a token (RFC 6750, section 2.1).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_LIMITS = ("requests_per_minute", "concurrent")


def client_keys(keys: Iterable[Mapping[str, Any]], missing: str = "") -> list[dict[str, Any]]:
    """Return the entries of the balancer's C(keys.json), by name; keys become their sha256.

    :param missing: stands for the key of an entry that has none, which is an error otherwise.
    :raises AnsibleFilterError: for an entry that makes no sense; the text never holds a key.
    """
    entries = [_entry(item, missing) for item in keys]
    for field, words in (("name", "the name"), ("sha256", "the same key as")):
        seen: dict[str, str] = {}
        for entry in entries:
            if entry[field] in seen and not (field == "sha256" and missing):
                raise AnsibleFilterError(
                    f"Two of balancer_keys have {words} {seen[entry[field]]}. Remedy: keep them apart."
                )
            seen[entry[field]] = entry["name"]
    return sorted(entries, key=lambda entry: entry["name"])


def _entry(item: Mapping[str, Any], missing: str) -> dict[str, Any]:
    name = str(item.get("name", ""))
    if not _NAME.fullmatch(name):
        raise AnsibleFilterError(
            "An entry of balancer_keys has no proper name. "
            "Remedy: name it with letters, digits, dots, hyphens and underscores, 63 at most."
        )
    unknown = item.keys() - {"name", "key", "sha256", "models", *_LIMITS}
    if unknown:
        raise AnsibleFilterError(
            f"The entry {name} of balancer_keys has unknown settings ({', '.join(sorted(unknown))}). "
            f"Remedy: use key or sha256, models, {' and '.join(_LIMITS)}."
        )
    entry: dict[str, Any] = {"name": name, "sha256": _hash(name, item, missing)}
    for limit in _LIMITS:
        if item.get(limit) is not None:
            entry[limit] = _positive(name, limit, item[limit])
    if item.get("models") is not None:
        if isinstance(item["models"], str):
            raise AnsibleFilterError(f"models of the entry {name} of balancer_keys is no list. Remedy: make it one.")
        entry["models"] = [str(model) for model in item["models"]]
    return entry


def _hash(name: str, item: Mapping[str, Any], missing: str) -> str:
    if item.get("sha256") is not None:
        if item.get("key") is not None:
            raise AnsibleFilterError(
                f"The entry {name} of balancer_keys has both key and sha256. Remedy: keep one of them."
            )
        digest = str(item["sha256"]).lower()
        if not _SHA256.fullmatch(digest):
            raise AnsibleFilterError(
                f"sha256 of the entry {name} of balancer_keys is not 64 hexadecimal digits. "
                'Remedy: printf %s "$KEY" | sha256sum shows it.'
            )
        return digest
    key = str(item["key"]) if item.get("key") is not None else missing
    if item.get("key") is not None and not _TOKEN.fullmatch(key):
        raise AnsibleFilterError(
            f"The key of the entry {name} of balancer_keys is empty or has characters that a bearer token cannot have. "
            "Remedy: use letters, digits and - . _ ~ + / only."
        )
    if not key:
        raise AnsibleFilterError(f"The entry {name} of balancer_keys has neither key nor sha256. Remedy: give it one.")
    return hashlib.sha256(key.encode()).hexdigest()


def _positive(name: str, limit: str, value: Any) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number < 1:
        raise AnsibleFilterError(
            f"{limit} of the entry {name} of balancer_keys is not a whole number above 0. Remedy: correct it."
        )
    return number


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"client_keys": client_keys}
