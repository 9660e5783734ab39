# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The own tests of the Rust crates, run natively; and what the balancer says of its settings."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest

from tests.closed_network import recipe
from tests.closed_network.context import Context
from tests.machines import image
from tests.machines.shell import CACHE, REPO

SETTINGS = REPO / "docs" / "balancer.toml"


@pytest.fixture
def cargo(docker_engine, say) -> Callable[..., str]:
    """Gives what cargo printed: this machine's, in the folder that the linters use as well, or else the builder container's."""

    def run(verb: str, crate: str, *more: str) -> str:
        context = Context("crates")
        words = ["cargo", verb, "--locked", "--package", crate, "--manifest-path"]
        if shutil.which("cargo"):
            environment = {"CARGO_TARGET_DIR": str(CACHE / "cargo")}
            context.run([*words, str(REPO / "rust" / "Cargo.toml"), *more], env=environment)
        else:
            image.ensure(image.BUILDER, say)
            context.builder(" ".join([*words, "/src/rust/Cargo.toml", *more]))
        return context.log.read_text(encoding="utf-8")

    return run


@pytest.fixture
def passed(say) -> Callable[[str, str], int]:
    """Counts the tests that passed."""

    def count(crate: str, printed: str) -> int:
        number = sum(map(int, re.findall(r"^test result: ok\. (\d+) passed", printed, re.M)))
        say(f"{crate}: {number} passed")
        return number

    return count


@pytest.mark.parametrize("crate", ["wasinn-watcher", "wasinn-balancer", "wasinn-probe"])
def test_crate(cargo, passed, crate):
    assert passed(crate, cargo("test", crate)) > 0


def test_the_shim(mirror_url, passed):
    """With the patched crates and in the folder that it was built in."""
    context = Context("shim")
    recipe.run_tests(context, "shim")
    assert passed("shim", context.log.read_text(encoding="utf-8")) > 0


def test_every_setting_of_the_balancer_is_in_its_page(cargo):
    """After a wanted change, what the balancer prints goes below the licence's lines of that file."""
    page = SETTINGS.read_text(encoding="utf-8").partition("\n\n")[2]
    printed = cargo("run", "wasinn-balancer", "--", "--print-defaults")
    assert page == printed[printed.index(page.splitlines()[0]) :]
