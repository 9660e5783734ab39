# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rust/release.sh, the recipe of our own release files, says and makes; playbook `build` runs the same."""

from __future__ import annotations

import subprocess

from tests.machines.shell import REPO

from .context import Context

_RECIPE = REPO / "rust" / "release.sh"


def _ask(*words: str) -> list[str]:
    done = subprocess.run(["bash", str(_RECIPE), *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


VERSION = _ask("version")[0]
RELEASE = f"https://github.com/wasinn/wasinn.cluster/releases/download/v{VERSION}"


def inputs(component: str) -> tuple[str, ...]:
    """The repository's paths whose content decides what a component is."""
    return tuple(f"rust/{path}" for path in _ask("inputs", component))


def build(ctx: Context, component: str) -> None:
    """Build and publish; cargo's target folder is kept between builds."""
    ctx.builder(f"""
bash /src/rust/release.sh setup {component} "$(uname -m)"
bash /src/rust/release.sh build {component} "$(uname -m)" /build
""")
    for path in sorted((ctx.work / "out").iterdir()):
        ctx.publish(path, f"{RELEASE}/{path.name}", checksums=f"{RELEASE}/SHA256SUM")


def run_tests(ctx: Context, component: str) -> None:
    """Run the component's own tests, with what :func:`build` left in the folder."""
    ctx.builder(f"""
bash /src/rust/release.sh setup {component} "$(uname -m)"
bash /src/rust/release.sh test {component} "$(uname -m)" /build
""")
