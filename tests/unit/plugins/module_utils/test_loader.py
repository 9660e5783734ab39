# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where libraries are found: on this machine's own files and on compiled ones, held against the real ld.so."""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.distribution import version_tuple
from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf
from ansible_collections.wasinn.cluster.plugins.module_utils.loader import (
    LEVELS,
    Loader,
    cpu_flags,
    cpu_levels,
    default_folders,
    library_folder,
    node_glibc,
    read_ld_cache,
)

PYTHON = os.path.realpath(sys.executable)
SHARED = ("-shared", "-fPIC")
MACHINES = {"x86_64": (62, 183), "aarch64": (183, 62)}  # ELF's numbers of this machine and of another


def loader_program() -> str:
    interpreter = Elf(PYTHON).interpreter
    assert interpreter is not None
    return interpreter


def traced(path: str | Path) -> tuple[dict[str, str], set[str]]:
    """What the real loader would load for *path*, by name, and what it does not find."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LD_")}
    if not os.access(path, os.X_OK):
        command = [loader_program(), "--list", str(path)]
    else:
        command, environment = [str(path)], {**environment, "LD_TRACE_LOADED_OBJECTS": "1"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    found = {name: os.path.realpath(target) for name, target in re.findall(r"(\S+) => (/\S+)", said)}
    by_path = set(re.findall(r"^\s+(/\S+) \(", said, re.MULTILINE)) - {loader_program()}
    found.update({path: os.path.realpath(path) for path in by_path})
    return found, set(re.findall(r"(\S+) => not found", said))


def closed(path: str | Path) -> tuple[dict[str, str], set[str]]:
    closure = Loader().closure(str(path))
    return {name: os.path.realpath(target) for name, target in closure.found.items()}, {
        name for _needer, name in closure.missing
    }


def same(path: str | Path) -> dict[str, str]:
    """Asserts that both agree, and gives what is found. The real loader says nothing of itself by name."""
    (said, gone), (found, missing) = traced(path), closed(path)
    assert missing == gone
    assert said.items() <= found.items()
    assert {target for name, target in found.items() if not name.startswith("ld-linux")} <= set(said.values())
    return found


def real_files() -> list[str]:
    programs = ("ls", "git", "gcc", "ssh", "gdb", "perl", "curl", "systemctl")
    libraries = ("stdc++", "gomp", "ssl", "curl", "numa", "xml2")
    cache = read_ld_cache()
    found = [shutil.which(name, path="/usr/bin:/bin") or "" for name in programs]
    found += [path for name in libraries for path in cache.get(ctypes.util.find_library(name) or "", [])[:1]]
    return [PYTHON, *filter(None, found)]


@pytest.mark.parametrize("path", real_files())
def test_real_files(path: str) -> None:
    assert "libc.so.6" in same(path)
    assert Loader().closure(path).unmet == []


def test_needed_glibc() -> None:
    assert version_tuple("2.2.5") <= Loader().closure(PYTHON).glibc <= version_tuple(node_glibc())


def library(compile_c, path: str, soname: str, value: int = 1, *flags: str) -> Path:
    function = re.sub(r"\W", "_", soname.split(".")[0])
    return compile_c(path, f"int {function}(void) {{ return {value}; }}", *SHARED, f"-Wl,-soname,{soname}", *flags)


def user(compile_c, path: str, function: str, *flags: str) -> Path:
    return compile_c(path, f"int {function}(void); int main(void) {{ return {function}(); }}", *flags)


@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
@pytest.mark.parametrize("token", ["$ORIGIN", "${ORIGIN}"])
def test_origin_in_runpath_and_rpath(compile_c, tags: str, token: str) -> None:
    inner = library(compile_c, "lib/libinner.so", "libinner.so")
    program = user(compile_c, "program", "libinner", str(inner), f"-Wl,-rpath,{token}/lib", f"-Wl,{tags}")
    elf = Elf(str(program))
    assert (elf.runpath or elf.rpath) == [f"{token}/lib"]
    assert same(program)["libinner.so"] == str(inner)


@pytest.mark.parametrize(("tags", "reaches"), [("--enable-new-dtags", False), ("--disable-new-dtags", True)])
def test_only_rpath_reaches_what_libraries_need(compile_c, tags: str, reaches: bool) -> None:
    inner = library(compile_c, "deep/libinner.so", "libinner.so")
    middle = compile_c(
        "lib/libmiddle.so",
        "int libinner(void); int libmiddle(void) { return libinner(); }",
        *(*SHARED, "-Wl,-soname,libmiddle.so", str(inner)),
    )
    folders = "-Wl,-rpath,$ORIGIN/lib:$ORIGIN/deep"
    allow = "-Wl,--allow-shlib-undefined"
    program = user(compile_c, "program", "libmiddle", str(middle), folders, f"-Wl,{tags}", allow)
    assert ("libinner.so" in same(program)) is reaches


def test_a_runpath_puts_the_parents_rpath_out_of_force(compile_c) -> None:
    inner = library(compile_c, "deep/libinner.so", "libinner.so")
    middle = compile_c(
        "lib/libmiddle.so",
        "int libinner(void); int libmiddle(void) { return libinner(); }",
        *(*SHARED, "-Wl,-soname,libmiddle.so", str(inner), "-Wl,-rpath,/nowhere", "-Wl,--enable-new-dtags"),
    )
    folders = ("-Wl,-rpath,$ORIGIN/lib:$ORIGIN/deep", "-Wl,--disable-new-dtags", "-Wl,--allow-shlib-undefined")
    assert "libinner.so" not in same(user(compile_c, "program", "libmiddle", str(middle), *folders))


def test_origin_of_links(compile_c, tmp_path: Path) -> None:
    """Of a program it is the folder of the file itself, of a library the folder of the link it was found by."""
    inner = library(compile_c, "real/libinner.so", "libinner.so")
    library(compile_c, "link/libinner.so", "libinner.so", 2)
    middle = compile_c(
        "real/libmiddle.so",
        "int libinner(void); int libmiddle(void) { return libinner(); }",
        *(*SHARED, "-Wl,-soname,libmiddle.so", str(inner), "-Wl,-rpath,$ORIGIN"),
    )
    (tmp_path / "link/libmiddle.so").symlink_to(middle)
    flags = (f"-Wl,-rpath,{tmp_path}/link", "-Wl,--allow-shlib-undefined", "-Wl,--enable-new-dtags")
    program = user(compile_c, "bin/program", "libmiddle", str(middle), *flags)
    assert same(program)["libinner.so"] == str(tmp_path / "link/libinner.so")
    program = user(compile_c, "real/program", "libinner", str(inner), "-Wl,-rpath,$ORIGIN")
    (tmp_path / "bin/linked").symlink_to(program)
    assert same(tmp_path / "bin/linked")["libinner.so"] == str(inner)


def test_lib_and_platform(compile_c) -> None:
    inner = library(compile_c, f"root/{library_folder(platform.machine())}/libinner.so", "libinner.so")
    program = user(compile_c, "program", "libinner", str(inner), "-Wl,-rpath,$ORIGIN/root/$LIB")
    assert same(program)["libinner.so"] == str(inner)


def test_a_library_already_loaded_by_its_soname(compile_c) -> None:
    """The second library asks by SONAME for what the first was asked by path."""
    inner = library(compile_c, "odd/renamed.so", "libinner.so")
    plain = compile_c("plain.so", "int libinner(void) { return 0; }", *SHARED)  # without SONAME: needed by its path
    first = compile_c("libfirst.so", "int libinner(void); int first(void) { return libinner(); }", *SHARED, str(inner))
    text = "int first(void), libinner(void); int main(void) { return first() + libinner(); }"
    program = compile_c("program", text, str(plain), str(first), "-Wl,-rpath,$ORIGIN:$ORIGIN/odd", "-Wl,--no-as-needed")
    plain.unlink()
    shutil.copy(inner, plain)  # now the same name leads to a library with a SONAME
    assert same(program)["libinner.so"] == str(plain)


def test_the_variant_for_this_cpu_comes_first(compile_c) -> None:
    levels = cpu_levels(cpu_flags())
    if not levels or version_tuple(node_glibc()) < (2, 33):
        pytest.skip("this CPU or its glibc has no glibc-hwcaps folders")
    inner = library(compile_c, "lib/libinner.so", "libinner.so")
    program = user(compile_c, "program", "libinner", str(inner), "-Wl,-rpath,$ORIGIN/lib")
    for level in reversed(levels):
        better = library(compile_c, f"lib/glibc-hwcaps/{level}/libinner.so", "libinner.so", 2)
        assert same(program)["libinner.so"] == str(better)


def test_levels_of_this_cpu() -> None:
    said = subprocess.run([loader_program(), "--help"], capture_output=True, text=True, check=True).stdout
    assert cpu_levels(cpu_flags()) == tuple(re.findall(r"(x86-64-v\d) \(supported", said))


def test_levels_of_other_cpus() -> None:
    assert cpu_levels(set()) == ()
    two, three = LEVELS["x86-64-v2"], LEVELS["x86-64-v3"]
    assert cpu_levels(two) == ("x86-64-v2",)
    assert cpu_levels(three) == ()
    assert cpu_levels(two | three) == ("x86-64-v3", "x86-64-v2")
    assert cpu_levels((two | three) - {"avx2"}) == ("x86-64-v2",)


def test_default_folders_are_the_loaders_own(tmp_path: Path) -> None:
    said = subprocess.run([loader_program(), "--help"], capture_output=True, text=True, check=True).stdout
    assert default_folders() == re.findall(r"(/\S+) \(system search path\)", said)
    for folder in ("lib", "lib64"):  # as Fedora has it
        (tmp_path / folder).mkdir()
    (tmp_path / "lib64/libc.so.6").touch()
    assert default_folders("x86_64", str(tmp_path)) == ["/lib64", "/usr/lib64"]


def make_cache(tmp_path: Path, *folders: Path) -> Path:
    """A cache of these folders, made by the real ldconfig without touching the machine's own."""
    ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if ldconfig is None:
        pytest.skip("no ldconfig here")
    (tmp_path / "ld.so.conf").write_text("".join(f"{folder}\n" for folder in folders))
    cache = tmp_path / "ld.so.cache"
    subprocess.run([ldconfig, "-X", "-C", cache, "-f", tmp_path / "ld.so.conf"], check=True, capture_output=True)
    return cache


def test_cache_with_variants(compile_c, tmp_path: Path) -> None:
    plain = library(compile_c, "lib/libinner.so", "libinner.so")
    paths = {level: library(compile_c, f"lib/glibc-hwcaps/{level}/libinner.so", "libinner.so") for level in LEVELS}
    cache = make_cache(tmp_path, plain.parent)
    two, three, four = (str(path) for path in paths.values())
    assert read_ld_cache(str(cache))["libinner.so"] == [str(plain)]
    assert read_ld_cache(str(cache), ["x86-64-v2"])["libinner.so"] == [two, str(plain)]
    best_first = list(reversed(LEVELS))
    assert read_ld_cache(str(cache), best_first)["libinner.so"] == [four, three, two, str(plain)]
    program = user(compile_c, "program", "libinner", str(plain))
    loader = Loader(read_ld_cache(str(cache), best_first), ())
    assert loader.closure(str(program)).found["libinner.so"] == four


def test_cache_agrees_with_ldconfig() -> None:
    ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if ldconfig is None:
        pytest.skip("no ldconfig here")
    printed = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout
    said: dict[str, list[str]] = {}
    for name, kind, target in re.findall(r"^\t(\S+) \((.*)\) => (\S+)$", printed, re.MULTILINE):
        if "hwcap" not in kind:
            said.setdefault(name, []).append(target)
    assert said["libc.so.6"]
    assert read_ld_cache() == said


def test_no_cache_is_no_error(tmp_path: Path) -> None:
    assert read_ld_cache(str(tmp_path / "none")) == {}
    broken = tmp_path / "broken"
    broken.write_bytes(b"glibc-ld.so.cache1.1\xff\xff\xff\x00")
    assert read_ld_cache(str(broken)) == {}


def test_damaged_cache(compile_c, tmp_path: Path) -> None:
    """Cut short or turned around anywhere: it answers with less, and never raises."""
    whole = make_cache(tmp_path, library(compile_c, "lib/libinner.so", "libinner.so").parent).read_bytes()
    broken = tmp_path / "broken"
    for position in [*range(20, 100), *range(100, len(whole), 997)]:
        broken.write_bytes(whole[:position])
        read_ld_cache(str(broken))
        broken.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        read_ld_cache(str(broken))


def test_missing_library(compile_c) -> None:
    gone = library(compile_c, "libgone.so.1", "libgone.so.1")
    program = user(compile_c, "program", "libgone", str(gone))
    gone.unlink()
    assert traced(program)[1] == {"libgone.so.1"}
    closure = Loader().closure(str(program))
    assert closure.missing == [(str(program), "libgone.so.1")]
    assert closure.passed_over == {}


def test_library_for_another_machine(compile_c, tmp_path: Path) -> None:
    """It is passed over for one further on; alone it is as good as missing, and named."""
    good = library(compile_c, "good/libinner.so", "libinner.so")
    flags = (str(good), "-Wl,-rpath,$ORIGIN/bad:$ORIGIN/good", "-Wl,--enable-new-dtags")
    program = user(compile_c, "program", "libinner", *flags)
    own, other = MACHINES[platform.machine()]
    content = bytearray(good.read_bytes())
    assert int.from_bytes(content[18:20], "little") == own
    content[18:20] = other.to_bytes(2, "little")
    bad = tmp_path / "bad/libinner.so"
    bad.parent.mkdir()
    bad.write_bytes(content)
    assert same(program)["libinner.so"] == str(good)
    assert Loader().closure(str(program)).passed_over == {}
    good.unlink()
    assert traced(program)[1] == {"libinner.so"}
    closure = Loader().closure(str(program))
    assert closure.missing == [(str(program), "libinner.so")]
    assert closure.passed_over == {"libinner.so": f"{bad} is for {'aarch64' if own == 62 else 'x86_64'}"}


def test_version_that_the_library_does_not_have(compile_c, tmp_path: Path) -> None:
    new, old = tmp_path / "new.map", tmp_path / "old.map"
    new.write_text("V_1.9 { old; }; V_1.10 { middle; }; V_2 { thing; };")
    old.write_text("V_1.9 { old; }; V_1.10 { middle; };")
    flags = (*SHARED, "-Wl,-soname,libthing.so")
    source = "int old(void) { return 0; } int middle(void) { return 0; } int thing(void) { return 1; }"
    made = compile_c("libthing.so", source, *flags, f"-Wl,--version-script={new}")
    program = user(compile_c, "program", "thing", str(made), "-Wl,-rpath,$ORIGIN")
    assert Loader().closure(str(program)).unmet == []
    compile_c("libthing.so", source, *flags, f"-Wl,--version-script={old}")
    assert Loader().closure(str(program)).unmet == [(str(program), str(made), "V_2", "V_1.10")]
    said = subprocess.run([program], capture_output=True, text=True, check=False)
    assert f"{made}: version `V_2' not found" in said.stderr
