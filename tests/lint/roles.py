# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles as their own files describe them: defaults and argument specs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML that keeps `!vault` and `!unsafe` values as plain text."""


_Loader.add_multi_constructor("!", lambda loader, _tag, node: loader.construct_scalar(node))


def load_yaml(path: Path) -> Any:
    """The document in `path`, or {} where there is no such file or nothing in it; ends the run if it is no YAML."""
    if not path.is_file():
        return {}
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader) or {}
    except yaml.YAMLError as error:
        sys.exit(f"{path} is not YAML: {error}")


@dataclass(frozen=True)
class Role:
    """One role: `defaults` of defaults/main.yml, `entries` of meta/argument_specs.yml."""

    name: str
    path: Path
    defaults: dict[str, Any]
    entries: dict[str, dict[str, Any]]

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """Options of all entry points, the main one's words first."""
        merged: dict[str, dict[str, Any]] = {}
        for entry in sorted(self.entries, key=lambda name: (name != "main", name)):
            for name, option in (self.entries[entry].get("options") or {}).items():
                merged.setdefault(name, option)
        return merged


def read_roles(root: Path) -> list[Role]:
    """All roles below `root`/roles, by name."""
    return [
        Role(
            name=folder.name,
            path=folder,
            defaults=load_yaml(folder / "defaults" / "main.yml"),
            entries=load_yaml(folder / "meta" / "argument_specs.yml").get("argument_specs") or {},
        )
        for folder in sorted((root / "roles").glob("*"))
        if (folder / "tasks").is_dir()
    ]
