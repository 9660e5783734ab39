# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs against defaults: each variable is documented, named after its role, and used."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.lint.roles import Role, read_roles


def problems(role: Role, everything: str) -> Iterator[str]:
    """Sentences on one role; `everything` is the text in which a variable may be used."""
    where = f"roles/{role.name}"
    if "main" not in role.entries:
        yield f"{where}/meta/argument_specs.yml has no entry `main`: describe the role's variables there."
        return
    options = role.options
    for name in sorted(role.defaults.keys() - options.keys()):
        yield f"{where}/defaults/main.yml: {name} is not documented in meta/argument_specs.yml."
    for name, option in sorted(options.items()):
        spec = f"{where}/meta/argument_specs.yml: {name}"
        if not name.startswith(f"{role.name}_"):
            yield f"{spec} does not begin with the role's name: call it {role.name}_… instead."
        if not option.get("description"):
            yield f"{spec} has no description."
        required = bool(option.get("required"))
        if name not in role.defaults and not required and "default" not in option:
            yield f"{spec} has neither a default in defaults/main.yml nor `required: true`."
        if name in role.defaults and required:
            yield f"{spec} is required, yet defaults/main.yml gives it a value: drop one of the two."
        value = role.defaults.get(name, option.get("default"))
        computed = isinstance(value, str) and "{{" in value  # the spec's default says in words what comes out
        if "default" in option and option["default"] != value and not computed:
            yield f"{spec} names another default than defaults/main.yml: leave it to the latter."
        if not re.search(rf"\b{re.escape(name)}\b", everything):
            yield f"{spec} is used nowhere: remove it, or use it."


def _uses(root: Path) -> str:
    """Text in which a role's variables count as used: not where they are defined or documented."""
    texts = []
    for path in sorted((root / "roles").rglob("*")) + sorted((root / "playbooks").rglob("*")):
        inside = path.relative_to(root).parts
        if not path.is_file() or "meta" in inside:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if "defaults" in inside:  # there, only the right-hand sides
            text = re.sub(r"(?m)^\w+:", "", text)
        texts.append(re.sub(r"(?m)^\s*#.*$", "", text))
    return "\n".join(texts)


def main() -> int:
    """Prints every problem; 1 if there was one."""
    root = Path.cwd()
    roles = read_roles(root)
    uses = _uses(root)
    found = [line for role in roles for line in problems(role, uses)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
