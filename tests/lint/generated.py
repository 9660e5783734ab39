# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages made from the sources: written on demand, compared by lint."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path

# REUSE-IgnoreStart
_SPDX = (
    "<!-- SPDX-FileCopyrightText: 2026 The wasinn.cluster authors -->\n"
    "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->\n"
)
# REUSE-IgnoreEnd


def write_or_check(path: Path, text: str, module: str) -> int:
    """Writes `text` to `path`, or with --check on the command line prints how the file differs.

    `module` is the generator below tests.lint, named in the page and in the remedy.
    """
    command = f"python -m tests.lint.{module}"
    page = f"{_SPDX}<!-- Made by `{command}`; don't edit. -->\n\n{text}"
    if "--check" in sys.argv[1:]:
        present = path.read_text(encoding="utf-8") if path.is_file() else ""
        if present == page:
            return 0
        diff = difflib.unified_diff(present.splitlines(), page.splitlines(), "committed", "made now", lineterm="", n=1)
        print("\n".join(list(diff)[:40]))
        print(f"docs/{path.name} is not what its sources say: run `{command}` and commit the result.")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, path)
    return 0
