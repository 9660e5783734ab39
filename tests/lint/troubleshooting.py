# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/troubleshooting.md from the table of known failures that the modules use."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.lint.generated import write_or_check

_HEAD = """\
# Troubleshooting

What goes wrong where WebAssembly, plugins and models meet, where machines join a cluster, cannot be worked on, or keep the
controller from their API, and (last) where shim and modules are built, and what to do. The modules
`wasmedge_plugin_info`, `wasinn_probe` and the roles' checks recognise these
failures by the same tables and say cause and remedy themselves; this page is for messages found elsewhere,
in a pod's, k3s' or containerd's log. What else goes wrong around a run is in [faults](faults.md).
"""


def render(signatures: Iterable[Any]) -> str:
    """The whole page, one section a failure."""
    return "\n".join([_HEAD, *(line for one in signatures for line in _section(one))]).rstrip() + "\n"


def _section(one: Any) -> Iterator[str]:
    yield f"## {one.check.replace('_', ' ').capitalize()}\n"
    yield "```text\n" + one.example + "\n```\n"
    if one.codes:
        statuses = " or ".join(str(code) for code in one.codes if code > 0)
        yield f"Or no message at all, but exit status {statuses}.\n"
    yield f"{_fields(one.cause)}\n"
    yield f"**Remedy:** {_fields(one.remedy)}\n"
    yield f"Source: {_links(one.source)}.\n"


def _fields(text: str) -> str:
    return re.sub(r"\{(\w+)\}", r"*\1*", text.replace("}{", "} or {"))


def _links(text: str) -> str:
    return re.sub(r"([\w.-]+/[\w.-]+)#(\d+)", r"[\g<0>](https://github.com/\1/issues/\2)", text)


def _signatures(root: Path) -> Iterable[Any]:
    """The tables of the collection at `root`, wherever that is."""
    source = root / "plugins" / "module_utils" / "failures.py"
    for parent in (root / ".cache", *root.parents):
        here = parent / "ansible_collections" / "wasinn" / "cluster" / "plugins" / "module_utils" / "failures.py"
        if here.is_file() and here.samefile(source):
            sys.path.insert(0, str(parent))
            utils = "ansible_collections.wasinn.cluster.plugins.module_utils"
            tables = (
                importlib.import_module(f"{utils}.{name}")
                for name in ("failures", "join_failures", "reach_failures", "api_failures", "build_failures")
            )
            return [one for table in tables for one in table.SIGNATURES]
    raise FileNotFoundError(f"{source} is in no collections folder: run the tests once, they make the link.")


def main() -> int:
    """Writes the page below the working directory; with --check only compares."""
    root = Path.cwd()
    return write_or_check(root / "docs" / "troubleshooting.md", render(_signatures(root)), "troubleshooting")


if __name__ == "__main__":
    sys.exit(main())
