# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The own tests of the Rust crates that become WebAssembly, run natively."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.closed_network.context import Context
from tests.machines import image
from tests.machines.shell import CACHE, REPO


@pytest.mark.parametrize("crate", ["wasinn-watcher", "wasinn-balancer"])
def test_crate(docker_engine, say, crate):
    """With this machine's cargo, in the folder that the linters use as well, or else in the builder container."""
    words = ["cargo", "test", "--locked", "--package", crate, "--manifest-path"]
    context = Context("crates")
    if shutil.which("cargo"):
        context.run([*words, str(REPO / "rust" / "Cargo.toml")], env={"CARGO_TARGET_DIR": str(CACHE / "cargo")})
    else:
        image.ensure(image.BUILDER, say)
        context.builder(" ".join([*words, "/src/rust/Cargo.toml"]))
    passed = sum(map(int, re.findall(r"^test result: ok\. (\d+) passed", context.log.read_text(), re.M)))
    say(f"{crate}: {passed} passed")
    assert passed > 0
