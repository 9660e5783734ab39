# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which builds there are, in which order they have to run, and which are out of date."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.machines.image import BUILDER
from tests.machines.shell import REPO, Failure

from . import builds
from .context import BUILDS, MIRROR, Context

SKIPPED = {"target", "__pycache__", "node_modules"}


@dataclass(frozen=True)
class Build:
    """One module of ``builds``."""

    name: str
    description: str
    inputs: tuple[str, ...]
    needs: tuple[str, ...]
    make: Callable[[Context], None]

    @classmethod
    def of(cls, module: ModuleType) -> Build:
        name = module.__name__.rpartition(".")[2]
        own = f"tests/closed_network/builds/{name}.py"
        return cls(name, module.DESCRIPTION, tuple({own, *module.INPUTS}), tuple(module.NEEDS), module.build)

    @property
    def stamp(self) -> Path:
        return BUILDS / self.name / "stamp.json"


def load(names: list[str]) -> dict[str, Build]:
    """The named builds and what they need; without names all but those that are marked ``ON_DEMAND``.

    :raises Failure: for a name that is none.
    """
    there = {item.name for item in pkgutil.iter_modules(builds.__path__) if not item.name.startswith("_")}
    chosen: dict[str, Build] = {}
    wanted = list(names) or [name for name in sorted(there) if not getattr(_module(name), "ON_DEMAND", False)]
    while wanted:
        name = wanted.pop()
        if name not in there:
            raise Failure(f"There is no build '{name}': the builds are {', '.join(sorted(there))}.")
        if name not in chosen:
            chosen[name] = Build.of(_module(name))
            wanted += chosen[name].needs
    return chosen


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{builds.__name__}.{name}")


def state(build: Build, chosen: dict[str, Build]) -> str:
    """A hash over all that decides the build's result: its inputs' content, the builder image, and its needs' states."""
    digest = hashlib.sha256(BUILDER.recipe.encode())
    for relative in sorted(build.inputs):
        for path in _files(REPO / relative):
            digest.update(f"\0{path.relative_to(REPO)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for need in sorted(build.needs):
        digest.update(state(chosen[need], chosen).encode())
    return digest.hexdigest()


def up_to_date(build: Build, wanted: str) -> bool:
    """Whether the last build had this state and all it published is still there, in full length."""
    try:
        stamp = json.loads(build.stamp.read_text())
        return stamp["state"] == wanted and all(
            (MIRROR / name).stat().st_size == size for name, size in stamp["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def write_stamp(build: Build, wanted: str, published: list[Path]) -> None:
    """Remember what was built from what."""
    files = {str(path.relative_to(MIRROR)): path.stat().st_size for path in published}
    partial = build.stamp.with_suffix(".part")
    partial.write_text(json.dumps({"state": wanted, "files": files}, indent=1))
    partial.rename(build.stamp)


def _files(top: Path) -> Iterator[Path]:
    """All files below, in order; caches, hidden files and build outputs aside.

    :raises Failure: where the path is missing.
    """
    if top.is_file():
        yield top
        return
    if not top.is_dir():
        raise Failure(f"'{top.relative_to(REPO)}' is named as an input of a build but is not there: mend its INPUTS.")
    for child in sorted(top.iterdir()):
        if child.name in SKIPPED or child.name.startswith("."):
            continue
        if child.is_dir() or child.is_file():
            yield from _files(child)
