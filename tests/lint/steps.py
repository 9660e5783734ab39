# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is checked: one table of steps, each some commands run at the root of the copy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.lint.tree import CACHE, Tree

Command = list[str]
PYTHON = sys.executable
# Settings and this package decide every step's result.
_COMMON = (
    "tests/lint/*",
    "pyproject.toml",
    "requirements/dev.txt",
    ".yamllint",
    ".ansible-lint",
)
_LINT_HOME = CACHE / "ansible-lint"
_COLLECTION = (
    "galaxy.yml",
    "meta/*",
    "plugins/*",
    "roles/*",
    "playbooks/*",
    "inventories/*",
    "docs/*",
    "changelogs/*",
    "tests/sanity/*",
)


@dataclass(frozen=True)
class Step:
    """A named check. `inputs` are the files (patterns, `*` crosses folders) that decide its result;
    without one of them there is nothing to do. `needs` is a program that may be missing."""

    name: str
    inputs: tuple[str, ...]
    commands: Callable[[Tree], Iterable[Command]]
    needs: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def key(self, tree: Tree) -> str:
        """Changes whenever the step has to run again."""
        return tree.digest(*self.inputs, *_COMMON)


def _fixed(*commands: Command) -> Callable[[Tree], Iterable[Command]]:
    return lambda _tree: commands


def _module(name: str, *args: str) -> Command:
    return [PYTHON, "-m", f"tests.lint.{name}", *args]


def _mypy(tree: Tree) -> Iterable[Command]:
    plugins = "ansible_collections.wasinn.cluster.plugins"
    packages = [f"{plugins}.module_utils", f"{plugins}.plugin_utils", "tests", "benchmarks"]
    packages += sorted({str(Path(name).parent).replace("/", ".") for name in tree.matching("extensions/*.py")})
    yield ["mypy", "--no-error-summary", *(word for p in packages for word in ("-p", p))]


def _shell_files(tree: Tree) -> list[str]:
    """*.sh, and scripts that say so in their first line; Jinja templates are none."""
    found = set(tree.matching("*.sh"))
    for name in tree.matching("*"):
        path = tree.path / name
        if name.endswith(".j2") or path.is_symlink():
            continue
        with path.open("rb") as script:
            first = script.readline(80)
        if first.startswith(b"#!") and first.rstrip().endswith((b"/sh", b"bash", b" sh", b"dash")):
            found.add(name)
    return sorted(found)


def _shellcheck(tree: Tree) -> Iterable[Command]:
    files = _shell_files(tree)
    if files:
        yield ["shellcheck", "--external-sources", *files]


def _gofmt(tree: Tree) -> Iterable[Command]:
    # gofmt -l only lists; its exit status says nothing.
    yield ["bash", "-c", 'out=$(gofmt -d "$@"); printf %s "$out"; test -z "$out"', "-", *tree.matching("*.go")]


def _ansible_lint(_tree: Tree) -> Iterable[Command]:
    """It installs the collection for itself, and keeps what it has installed while the version stays the same."""
    shutil.rmtree(_LINT_HOME / "collections", ignore_errors=True)
    yield ["ansible-lint", "--offline", "--nocolor", "-q"]


def _cargo(tree: Tree, *words: str) -> Iterable[Command]:
    for manifest in tree.matching("*/Cargo.toml"):
        text = (tree.path / manifest).read_text(encoding="utf-8")
        if "[package]" in text:
            yield ["cargo", *words, "--manifest-path", manifest]


def _rustfmt(tree: Tree) -> Iterable[Command]:
    for command in _cargo(tree, "fmt"):
        yield [*command, "--", "--check", "-l"]


def _clippy(tree: Tree) -> Iterable[Command]:
    """All crates, but the shim only where WasmEdge's headers are, without which it does not compile."""
    for command in _cargo(tree, "clippy", "--quiet", "--locked", "--all-targets"):
        if command[-1] != "rust/shim/Cargo.toml" or Path("/usr/include/wasmedge/wasmedge.h").exists():
            yield [*command, "--", "--deny", "warnings"]


STEPS = (
    Step("ruff", ("*.py",), _fixed(["ruff", "check", "--quiet", "--output-format=concise", "."])),
    Step("ruff-format", ("*.py",), _fixed(["ruff", "format", "--check", "--output-format=concise", "."])),
    Step(
        "mypy",
        ("plugins/*.py", "tests/*.py", "benchmarks/*.py", "extensions/*.py"),
        _mypy,
        env={"MYPYPATH": str(CACHE)},
    ),
    Step("yamllint", ("*.yml", "*.yaml"), _fixed(["yamllint", "--strict", "."])),
    Step("ansible-lint", _COLLECTION, _ansible_lint, env={"ANSIBLE_HOME": str(_LINT_HOME)}),
    Step("sanity", (*_COLLECTION, "*.py", "*.sh"), _fixed(_module("sanity")), env={"HOME": str(CACHE / "home")}),
    Step("docs", _COLLECTION, _fixed(["antsibull-docs", "lint-collection-docs", "--plugin-docs", "."])),
    Step("changelog", ("changelogs/*", "galaxy.yml"), _fixed(["antsibull-changelog", "lint"])),
    Step("reuse", ("*",), _fixed(["reuse", "lint", "--lines"])),
    Step("specs", ("roles/*",), _fixed(_module("specs"))),
    Step(
        "generated",
        ("roles/*", "plugins/module_utils/*", "docs/*"),
        _fixed(_module("variables", "--check"), _module("troubleshooting", "--check")),
    ),
    Step("shellcheck", ("*",), _shellcheck),
    Step("codespell", ("*",), _fixed(["codespell", "--toml", "pyproject.toml"])),
    Step("gofmt", ("*.go",), _gofmt, needs="gofmt"),
    Step("rustfmt", ("*.rs", "*/Cargo.toml"), _rustfmt, needs="cargo-fmt"),
    Step(
        "clippy",
        ("*.rs", "*/Cargo.toml", "*/Cargo.lock"),
        _clippy,
        needs="cargo-clippy",
        env={"CARGO_TARGET_DIR": str(CACHE / "cargo")},
    ),
)


def fixes(tree: Tree) -> Iterable[Command]:
    """What `--fix` runs in the repository itself."""
    yield ["ruff", "check", "--quiet", "--fix-only", "."]
    yield ["ruff", "format", "--quiet", "."]
    yield _module("variables")
    yield _module("troubleshooting")
    if find("cargo-fmt"):
        yield from _cargo(tree, "fmt")
    if find("gofmt") and tree.matching("*.go"):
        yield ["gofmt", "-w", *tree.matching("*.go")]


def find(program: str) -> str | None:
    """Where a program is: beside this Python first (the locked tools), then on PATH."""
    beside = Path(sys.executable).parent / program
    return str(beside) if beside.exists() else shutil.which(program)
