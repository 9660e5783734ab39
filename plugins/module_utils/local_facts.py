# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local facts of a node: one JSON file of named sections, read back by Ansible as ``ansible_local.wasinn``."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

FACT_FILE = "/etc/ansible/facts.d/wasinn.fact"


class FactError(Exception):
    """The file cannot be read or written; the text says why and what to do."""


def load(path: str) -> dict[str, Any]:
    """All sections; empty if there is no file. Raises :class:`FactError` if it is not a JSON object."""
    try:
        with open(path, encoding="utf-8") as stream:
            facts = json.load(stream)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FactError(f"{path} cannot be read: {error}. Take the file away and run the playbook again.") from None
    if not isinstance(facts, dict):
        raise FactError(f"{path} holds no sections. Take the file away and run the playbook again.")
    return facts


def text(facts: dict[str, Any]) -> str:
    """The file's content for *facts*; empty for none. Sorted, so that equal facts are equal files."""
    return json.dumps(facts, indent=2, sort_keys=True) + "\n" if facts else ""


def merged(facts: dict[str, Any], section: str, data: dict[str, Any] | None) -> dict[str, Any]:
    """*facts* with *section* set to *data*, or without it where *data* is ``None``."""
    rest = {name: value for name, value in facts.items() if name != section}
    return rest if data is None else dict(rest, **{section: data})


def update(path: str, section: str, data: dict[str, Any] | None, dry: bool = False) -> tuple[str, str]:
    """Sets or (with *data* ``None``) removes one section; returns the file's content before and after.

    Nothing is written where both are equal or *dry* is set. Raises :class:`FactError`.
    """
    facts = load(path)
    before, after = text(facts), text(merged(facts, section, data))
    if before != after and not dry:
        try:
            _write(path, after)
        except OSError as error:
            raise FactError(
                f"{path} cannot be written: {error.strerror}. Check the space and permissions there."
            ) from None
    return before, after


def _write(path: str, content: str) -> None:
    """Replaces the file whole (mode 0644, folder 0755), or removes it where there is no content."""
    if not content:
        os.unlink(path)
        return
    folder = os.path.dirname(path)
    parents = [folder]
    while not os.path.isdir(os.path.dirname(parents[-1])):
        parents.append(os.path.dirname(parents[-1]))
    for parent in reversed(parents):
        if not os.path.isdir(parent):
            os.mkdir(parent)
            os.chmod(parent, 0o755)  # whatever the umask is: facts are read by every user's Ansible
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".wasinn-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
