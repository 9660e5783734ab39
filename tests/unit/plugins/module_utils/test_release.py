# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds by a small recipe that compiles nothing, but is begun, watched, interrupted and collected as the real one is."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import release
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import parse_checksums
from ansible_collections.wasinn.cluster.plugins.module_utils.release import Recipe, ReleaseError, build, findings

URL = "https://github.com/wasinn/wasinn.cluster/releases/download/v9.9.9"
PLACE = "github.com/wasinn/wasinn.cluster/releases/download/v9.9.9"
METADATA = {
    "packages": [{"id": "p", "name": "wasinn-probe", "version": "9.9.9", "license": "Apache-2.0", "source": None}],
    "resolve": {"nodes": [{"id": "p", "dependencies": []}]},
}
# Verbs as rust/release.sh has them. The product's bytes are a wasm header and a file's content.
RECIPE = r"""
here=$(dirname "$0")
case $1 in
  version) echo 9.9.9 ;;
  inputs) echo sources ;;
  check) cat "$here/missing" 2>/dev/null || true ;;
  toolchain) cat "$here/tools" ;;
  build)
    echo "   Compiling first v1.0.0"
    while [ -e "$here/wait" ]; do sleep 0.05; done
    [ ! -e "$here/broken" ] || { cat "$here/broken"; exit 101; }
    mkdir -p "$4/out" "$4/about"
    if [ "$2" = shim ]; then
      cp "$here/program" "$4/containerd-shim-wasmedge-v1"
      tar -C "$4" -czf "$4/out/containerd-shim-wasmedge-v1-9.9.9-$3.tar.gz" containerd-shim-wasmedge-v1
    else
      { printf '\0asm\1\0\0\0'; cat "$here/sources/main.rs"; } >"$4/out/wasinn-probe-9.9.9.wasm"
    fi
    cp "$here/metadata.json" "$4/about/"
    echo "wasinn-probe v9.9.9 (/x)" | tee "$4/about/built.txt" >"$4/about/linked.txt"
    echo wasinn-probe >"$4/about/package.txt"
    cp "$here/tools" "$4/about/toolchain.txt"
    echo x >>"$here/builds"
    ;;
esac
"""


@pytest.fixture
def rust(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout" / "rust"
    (folder / "sources" / "target").mkdir(parents=True)
    (folder / "sources" / "main.rs").write_text("fn main() {}\n")
    (folder / "release.sh").write_text(RECIPE)
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "Cargo.lock").write_text("")
    (folder / "tools").write_text("rustc 1.85.1\n")
    return folder


@pytest.fixture
def recipe(rust: Path, tmp_path: Path) -> Recipe:
    return Recipe(rust.parent, "probe", "x86_64", tmp_path / "work")


def builds(rust: Path) -> int:
    return (rust / "builds").read_text().count("x") if (rust / "builds").exists() else 0


def test_the_files_are_those_of_a_mirror(recipe, rust, tmp_path):
    result = build(recipe, tmp_path / "mirror", URL, 20)
    place = tmp_path / "mirror" / PLACE
    assert result.finished
    assert result.changed
    assert set(result.files) == {"wasinn-probe-9.9.9.wasm", "wasinn-probe-9.9.9.cdx.json"}
    sums = parse_checksums((place / "SHA256SUM").read_text())
    assert sums == {name: hashlib.sha256((place / name).read_bytes()).hexdigest() for name in result.files}
    bill = json.loads((place / "wasinn-probe-9.9.9.cdx.json").read_text())
    assert bill["metadata"]["component"]["components"][0]["hashes"] == [
        {"alg": "SHA-256", "content": sums["wasinn-probe-9.9.9.wasm"]}
    ]
    assert not list((recipe.work / "work").iterdir())


def test_what_could_not_be_brought_is_brought_by_the_next_run(recipe, rust, tmp_path):
    """The mirror is a file, then a folder: the build is not begun anew."""
    (tmp_path / "mirror").write_text("")
    with pytest.raises(OSError):
        build(recipe, tmp_path / "mirror", URL, 20)
    (tmp_path / "mirror").unlink()
    again = build(recipe, tmp_path / "mirror", URL, 20)
    assert set(again.files) == {"wasinn-probe-9.9.9.wasm", "wasinn-probe-9.9.9.cdx.json"}
    assert builds(rust) == 1


def test_the_same_again_is_not_built_again(recipe, rust, tmp_path):
    first = build(recipe, tmp_path / "mirror", URL, 20)
    (rust / "sources" / "target" / "junk").write_text("no input")
    again = build(recipe, tmp_path / "mirror", URL, 20)
    assert (again.changed, again.files, builds(rust)) == (False, first.files, 1)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("source", "its sources or tools changed"),
        ("tools", "its sources or tools changed"),
        ("file", "wasinn-probe-9.9.9.wasm is missing or changed"),
    ],
)
def test_what_changed_is_built_again_and_check_mode_says_why(recipe, rust, tmp_path, what, reason):
    build(recipe, tmp_path / "mirror", URL, 20)
    made = tmp_path / "mirror" / PLACE / "wasinn-probe-9.9.9.wasm"
    if what == "source":
        (rust / "sources" / "main.rs").write_text("fn main() { }\n")
    elif what == "tools":
        (rust / "tools").write_text("rustc 1.86.0\n")
    else:
        made.write_bytes(b"other")
    predicted = build(recipe, tmp_path / "mirror", URL, 20, check=True)
    assert (predicted.changed, predicted.reason, builds(rust)) == (True, reason, 1)
    assert build(recipe, tmp_path / "mirror", URL, 20).changed
    assert builds(rust) == 2
    assert made.read_bytes() == b"\0asm\1\0\0\0" + (rust / "sources" / "main.rs").read_bytes()


def test_two_folders_get_the_same_bytes(rust, tmp_path):
    for name in ("one", "two"):
        build(Recipe(rust.parent, "probe", "x86_64", tmp_path / name), tmp_path / name / "mirror", URL, 20)
    one, two = (tmp_path / name / "mirror" / PLACE for name in ("one", "two"))
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in two.iterdir()
    }


def test_it_goes_on_where_a_call_ended_and_says_how_far_it_is(recipe, rust, tmp_path):
    (rust / "wait").touch()
    first = build(recipe, tmp_path / "mirror", URL, 0.5)
    assert not first.finished
    assert first.progress == "1 of 1 crates, at: Compiling first v1.0.0"
    # Another run of the playbook meanwhile finds the same build.
    assert not build(recipe, tmp_path / "mirror", URL, 0.2).finished
    (rust / "wait").unlink()
    assert build(recipe, tmp_path / "mirror", URL, 20, again=True).finished
    assert builds(rust) == 1


def test_a_build_that_failed_shows_the_end_of_its_log_and_can_be_begun_again(recipe, rust, tmp_path):
    (rust / "broken").write_text("error: no such thing\n")
    with pytest.raises(
        ReleaseError, match=r"(?s)The build of the probe for x86_64 failed. Remedy.*error: no such thing"
    ):
        build(recipe, tmp_path / "mirror", URL, 20)
    assert not (tmp_path / "mirror").exists()
    (rust / "broken").write_text("[6] Could not resolve hostname (Could not resolve host: index.crates.io)\n")
    with pytest.raises(ReleaseError, match=r"failed. The build host does not reach index.crates.io"):
        build(recipe, tmp_path / "mirror", URL, 20)
    (rust / "broken").unlink()
    assert build(recipe, tmp_path / "mirror", URL, 20).files


def test_a_build_that_was_killed_is_told(recipe, rust, tmp_path):
    (rust / "wait").touch()
    assert not build(recipe, tmp_path / "mirror", URL, 0.5).finished
    folder = next((recipe.work / "work").iterdir())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = os.readlink(process / "cwd") == str(folder)
        except OSError:
            continue
        if here:
            os.kill(int(process.name), signal.SIGKILL)
    with pytest.raises(ReleaseError, match=r"was ended from outside. Remedy: run the playbook again"):
        for _attempt in range(50):
            build(recipe, tmp_path / "mirror", URL, 0.1, again=True)
            time.sleep(0.05)
    (rust / "wait").unlink()
    assert build(recipe, tmp_path / "mirror", URL, 20).finished


def test_sources_that_change_meanwhile_leave_nothing(recipe, rust, tmp_path):
    (rust / "wait").touch()
    build(recipe, tmp_path / "mirror", URL, 0.5)
    # The digest that the running build was begun with is asked for again, as a second call of the module does.
    old = release.inputs_digest
    told = iter([old(recipe, "rustc 1.85.1\n"), "another"])
    release.inputs_digest = lambda *_args: next(told)
    try:
        (rust / "wait").unlink()
        with pytest.raises(ReleaseError, match="changed while it was built"):
            build(recipe, tmp_path / "mirror", URL, 20, again=True)
    finally:
        release.inputs_digest = old
    assert not (tmp_path / "mirror").exists()


def shim(rust: Path, tmp_path: Path, compile_c, architecture: str, *flags: str) -> Recipe:
    program = compile_c("shim", "int main(void) { return 0; }", *flags)
    (rust / "program").write_bytes(Path(program).read_bytes())
    return Recipe(rust.parent, "shim", architecture, tmp_path / "work")


RUNPATH = "-Wl,--enable-new-dtags,-rpath,/opt/wasinn/wasmedge/current/lib64"


def test_a_shim_for_this_machine_passes(rust, tmp_path, compile_c):
    recipe = shim(rust, tmp_path, compile_c, platform.machine(), RUNPATH)
    files = build(recipe, tmp_path / "mirror", URL, 20).files
    stem = f"containerd-shim-wasmedge-v1-9.9.9-{platform.machine()}"
    assert set(files) == {f"{stem}.tar.gz", f"{stem}.cdx.json"}


@pytest.mark.parametrize(
    ("other", "flags", "said"),
    [
        (True, (RUNPATH,), "was built for .* and not for"),
        (False, ("-static",), "is a static build with the RUNPATH ''"),
        (False, (), "is a glibc build with the RUNPATH '', which finds no libwasmedge"),
    ],
)
def test_a_shim_that_no_node_could_use_is_refused(rust, tmp_path, compile_c, other, flags, said):
    architecture = ({"x86_64", "aarch64"} - {platform.machine()}).pop() if other else platform.machine()
    with pytest.raises(ReleaseError, match=said):
        build(shim(rust, tmp_path, compile_c, architecture, *flags), tmp_path / "mirror", URL, 20)
    assert not (tmp_path / "mirror").exists()


def test_findings_are_told_at_once(recipe, rust):
    (rust / "missing").write_text("rust\tThere is no cargo.\tInstall it.\nlinker\tThere is no linker.\tInstall lld.\n")
    found = findings(recipe, disk=1 << 60, memory=1 << 60, version="0.1.0")
    assert [item["check"] for item in found] == ["rust", "linker", "version", "disk", "memory"]
    assert "artifacts_versions.wasinn is 0.1.0" in found[2]["cause"]


def test_a_build_that_misses_something_does_not_begin(recipe, rust, tmp_path):
    (rust / "missing").write_text("rust\tThere is no cargo.\tInstall it.\n")
    with pytest.raises(ReleaseError, match=r"There is no cargo. Install it."):
        build(recipe, tmp_path / "mirror", URL, 20)
    assert builds(rust) == 0


def test_a_folder_without_a_recipe(tmp_path):
    found = findings(Recipe(tmp_path, "probe", "x86_64", tmp_path / "work"))
    assert [item["check"] for item in found] == ["source"]


def test_an_engine_that_is_not_there(recipe):
    recipe.engine, recipe.image = "/no/such/engine", "debian:trixie"
    assert [item["check"] for item in findings(recipe)] == ["engine"]


def test_a_container_gets_sources_read_only_and_the_caller_s_environment(recipe, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    recipe.engine, recipe.image, recipe.options = "docker", "debian:trixie", ["-v", "/ca:/ca:ro"]
    words = recipe.words("build", recipe.work / "x")
    assert f"{recipe.source}:/src:ro" in words
    assert "https_proxy" in words
    assert "/ca:/ca:ro" in words
    assert words[-6:] == ["bash", "/src/rust/release.sh", "build", "probe", "x86_64", "/build"]


def test_no_process_is_left(recipe, tmp_path):
    build(recipe, tmp_path / "mirror", URL, 20)
    said = subprocess.run(["pgrep", "-f", str(recipe.work)], capture_output=True, text=True, check=False).stdout
    assert said == ""
