# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""rust/release.sh, the recipe of our own release files: what it says agrees with the sources, the catalogue and itself."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.closed_network import recipe
from tests.closed_network.plan import load
from tests.machines.shell import REPO

COMPONENTS = ("probe", "balancer", "watcher", "shim")
ARTIFACTS = REPO / "roles" / "artifacts"


def ask(*words: str, **environment: str) -> str:
    done = subprocess.run(
        ["bash", str(REPO / "rust" / "release.sh"), *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout


@pytest.mark.parametrize("component", COMPONENTS)
def test_inputs_are_there_and_have_the_crates_that_cargo_would_take(component):
    inputs = ask("inputs", component).split()
    crates = {path.partition("/")[0] for path in inputs}
    assert {"Cargo.lock", "Cargo.toml", "release", "release.sh", component} <= crates
    for path in inputs:
        assert (REPO / "rust" / path).exists()
    wanted = re.findall(r'path = "\.\./(\w+)"', (REPO / "rust" / component / "Cargo.toml").read_text())
    assert set(wanted) <= crates
    if "tokio_wasi" in (REPO / "rust" / component / "Cargo.toml").read_text():
        assert "mio" in inputs  # by [patch.crates-io]


def test_words_about_the_shim_do_not_make_it_stale():
    inputs = ask("inputs", "shim").split()
    left = {path.name for path in (REPO / "rust" / "shim").iterdir()} - {path.removeprefix("shim/") for path in inputs}
    assert left == {"README.md"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_mirror_is_built_again_where_the_recipe_changes(component):
    wanted = {f"rust/{path}" for path in ask("inputs", component).split()}
    assert wanted <= set(load([component])[component].inputs)


def test_version_and_line_are_the_catalogue_s():
    versions = yaml.safe_load((ARTIFACTS / "defaults" / "main.yml").read_text())["artifacts_versions"]
    catalogue = yaml.safe_load((ARTIFACTS / "vars" / "main.yml").read_text())
    assert versions["wasinn"] == recipe.VERSION
    lines = re.findall(r"^wasmedge_line=(.*)$", (REPO / "rust" / "release" / "needs.sh").read_text(), re.MULTILINE)
    assert catalogue["__artifacts_compiled"]["x86_64"] == lines


def programs(folder: Path, **scripts: str) -> str:
    """A PATH of the usual programs with these before them."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def checks(text: str) -> dict[str, list[str]]:
    lines = [line.split("\t") for line in text.splitlines()]
    assert all(len(line) == 3 and all(line) for line in lines)
    return {check: [cause, remedy] for check, cause, remedy in lines}


RUSTC = """case "$*" in
  --version) echo "rustc 1.85.1 (4eb161250 2025-03-15)" ;;
  -vV) echo "host: x86_64-unknown-linux-gnu" ;;
  *target-libdir*) echo /usr/lib ;;
  *sysroot*) echo /nowhere ;;
esac"""


def test_an_old_rust_is_told_where_it_matters(tmp_path):
    path = programs(tmp_path / "bin", rustc=RUSTC, cargo="exit 0", **{"wasm-ld": "exit 0"})
    assert "rust" not in checks(ask("check", "probe", "x86_64", PATH=path))
    cause, remedy = checks(ask("check", "shim", "x86_64", PATH=path))["rust"]
    assert cause == "rustc is 1.85.1; shim needs 1.88 or newer."
    assert "rustc-web" in remedy


def test_missing_standard_libraries_and_linkers_are_told(tmp_path):
    script = RUSTC.replace("echo /usr/lib ", "echo /nowhere/wasm ")
    path = programs(tmp_path / "bin", rustc=script, cargo="exit 0")
    found = checks(ask("check", "probe", "x86_64", PATH=path))
    assert found["rust_target"][0] == "Rust's standard library for wasm32-wasip1 is missing."
    if not any((Path(folder) / "wasm-ld").exists() for folder in ("/usr/bin", "/bin")):
        assert "linker" in found


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="services are compiled ahead of time on x86_64 alone")
def test_a_wasmedge_of_another_line_is_told(tmp_path):
    path = programs(tmp_path / "bin", rustc=RUSTC, cargo="exit 0", wasmedge='echo "wasmedge version 0.17.1"')
    assert "wasmedge version 0.17.1 is there" in checks(ask("check", "balancer", "x86_64", PATH=path))["wasmedge"][0]
    assert "wasmedge" not in checks(ask("check", "probe", "x86_64", PATH=path))


def test_headers_and_libraries_are_looked_for_where_the_caller_says(tmp_path):
    (tmp_path / "include" / "wasmedge").mkdir(parents=True)
    header = tmp_path / "include" / "wasmedge" / "version.h"
    where = {name: str(tmp_path / "lib") for name in ("WASMEDGE_LIB_DIR", "LIBSECCOMP_LIB_PATH")}
    where["WASMEDGE_INCLUDE_DIR"] = str(tmp_path / "include")
    found = checks(ask("check", "shim", "x86_64", **where))
    assert {"wasmedge_headers", "wasmedge_library", "libseccomp"} <= set(found)
    header.write_text('#define WASMEDGE_VERSION "0.17.1"\n')
    assert "headers of WasmEdge 0.17.1" in checks(ask("check", "shim", "x86_64", **where))["wasmedge_headers"][0]
    header.write_text('#define WASMEDGE_VERSION "0.14.1"\n')
    (tmp_path / "lib").mkdir()
    for name in ("libwasmedge.so", "libseccomp.a"):
        (tmp_path / "lib" / name).touch()
    found = checks(ask("check", "shim", "x86_64", **where))
    assert not {"wasmedge_headers", "wasmedge_library", "libseccomp"} & set(found)


def test_what_it_does_not_know_is_refused():
    for words in (("build", "probe"), ("build", "everything", "x86_64", "/x"), ("nothing",), ()):
        argv = ["bash", str(REPO / "rust" / "release.sh"), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "release.sh build COMPONENT ARCH FOLDER" in done.stderr
