# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/variables.md from the roles' argument specs and defaults."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.lint.generated import write_or_check
from tests.lint.roles import Role, read_roles

_HEAD = """\
# Variables

Every variable of every role, with its default. Set them in the inventory; the roles check them
before anything is changed.
"""


def render(roles: list[Role]) -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(line for role in roles for line in _section(role))]).rstrip() + "\n"


def _section(role: Role) -> Iterator[str]:
    main = role.entries.get("main", {})
    yield f"## {role.name}\n"
    yield _prose(main.get("short_description", "")) + "\n"
    for paragraph in _list(main.get("description")):
        yield _prose(paragraph) + "\n"
    if role.options:
        yield "| variable | type | default | what it says |\n| --- | --- | --- | --- |"
        for name, option in role.options.items():
            yield from _rows(name, option, _default(role, name, option))
        yield ""


def _rows(name: str, option: dict[str, Any], default: str) -> Iterator[str]:
    kind = option.get("type", "str")
    if option.get("elements"):
        kind += f" of {option['elements']}"
    words = [_prose(text) for text in _list(option.get("description"))]
    if option.get("choices"):
        words.append("One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + ".")
    text = " ".join(words).replace("|", "\\|")
    yield f"| `{name}` | {kind} | {default} | {text} |"
    for child, suboption in (option.get("options") or {}).items():
        value = "required" if suboption.get("required") else _code(suboption.get("default"))
        yield from _rows(f"{name}.{child}", suboption, value)


def _default(role: Role, name: str, option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    value = role.defaults.get(name, option.get("default"))
    if isinstance(value, str) and "{{" in value:  # an expression; the spec may say it in words
        return str(option.get("default", "computed"))
    return _code(value)


def _code(value: Any) -> str:
    """A default as one short line of YAML in backticks, nothing for none."""
    if value is None:
        return ""
    flow = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip().removesuffix("\n...")
    if len(flow) > 100:
        return f"see `defaults/main.yml` ({type(value).__name__} of {len(value)})"
    return "`" + flow.replace("|", "\\|") + "`"


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _prose(text: str) -> str:
    """Ansible's markup as Markdown."""
    text = " ".join(text.split())
    text = re.sub(r"\b[CVO]\(([^)]*)\)", r"`\1`", text)
    text = re.sub(r"\bB\(([^)]*)\)", r"**\1**", text)
    text = re.sub(r"\bL\(([^,)]*),\s*([^)]*)\)", r"[\1](\2)", text)
    return re.sub(r"\b(?:I|M|U|E|RV|P)\(([^)#]*)[^)]*\)", r"*\1*", text)


def main() -> int:
    """Writes the page below the working directory; with --check only compares."""
    root = Path.cwd()
    return write_or_check(root / "docs" / "variables.md", render(read_roles(root)), "variables")


if __name__ == "__main__":
    sys.exit(main())
