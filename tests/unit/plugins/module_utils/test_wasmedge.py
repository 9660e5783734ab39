# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's runtime tuple, made of small compiled files, with one thing wrong at a time."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.archive import ArchiveError
from ansible_collections.wasinn.cluster.plugins.module_utils.distribution import Distribution
from ansible_collections.wasinn.cluster.plugins.module_utils.shim_config import ShimConfigError, parse, read_shim_config
from ansible_collections.wasinn.cluster.plugins.module_utils.unpacked import unpacker
from ansible_collections.wasinn.cluster.plugins.module_utils.wasmedge import inspect

SHIM = "const char *WasmEdge_VersionGet(void); int main(void) { return WasmEdge_VersionGet() == 0; }"
PLUGIN = "wasmedge/plugin/libwasmedgePluginWasiNN.so"
BESIDE = "libbackend.so.1"


class Node:
    """A node's files below one folder; everything fits until a test changes something."""

    def __init__(self, root: Path, compile_c: Any, make_plugin: Any, make_library: Any) -> None:
        self.root, self.compile_c, self.make_plugin, self.make_library = root, compile_c, make_plugin, make_library
        self.library = make_library("wasmedge/lib64/libwasmedge.so.0")
        self.plugin = make_plugin(PLUGIN, 4)
        self.shim = compile_c("shim", SHIM, str(self.library), "-Wl,-rpath,$ORIGIN/wasmedge/lib64")

    def inspect(self, **more: Any) -> dict[str, Any]:
        arguments = {"wasmedge_dir": str(self.root / "wasmedge"), "shim": str(self.shim), **more}
        return inspect(**arguments)

    def only_finding(self, check: str, **more: Any) -> dict[str, str]:
        findings = self.inspect(**more)["findings"]
        assert [item["check"] for item in findings] == [check], findings
        assert findings[0]["cause"].endswith(".")
        assert findings[0]["remedy"].endswith(".")
        return findings[0]


@pytest.fixture
def node(tmp_path: Path, compile_c, make_plugin, make_library, monkeypatch) -> Node:
    debian = Distribution(("debian",), "Debian 12")
    monkeypatch.setattr(
        "ansible_collections.wasinn.cluster.plugins.module_utils.wasmedge.read_distribution", lambda: debian
    )
    return Node(tmp_path, compile_c, make_plugin, make_library)


def test_everything_fits(node: Node) -> None:
    answer = node.inspect(version="0.14.1", api=4)
    assert answer["findings"] == []
    assert answer["libwasmedge"]["version"] == "0.14.1"
    assert answer["libwasmedge"]["api_version"] == 4
    (plugin,) = answer["plugins"]
    assert (plugin["name"], plugin["api_version"], plugin["version"]) == ("wasi_nn", 4, "0.14.1.0")
    assert plugin["backends"] == ["ggml"]
    assert not plugin["cuda"]
    assert plugin["missing"] == []
    assert len(plugin["sha256"]) == 64
    assert answer["shim"]["libc"] == "glibc"
    assert answer["shim"]["libwasmedge"].endswith("wasmedge/lib64/libwasmedge.so.0")


@pytest.mark.parametrize("api", [3, 5])
def test_plugin_of_another_api(node: Node, api: int) -> None:
    node.make_plugin(PLUGIN, api)
    item = node.only_finding("plugin_api")
    assert str(node.plugin) in item["cause"]
    assert f"API version {api}" in item["cause"]
    assert {3: "WasmEdge 0.14.0", 5: "WasmEdge 0.17.0 and 0.17.1"}[api] in item["cause"]
    assert "WasmEdge 0.14.1" in item["remedy"]


def test_api_is_not_guessed_for_unknown_versions(node: Node) -> None:
    node.make_library("wasmedge/lib64/libwasmedge.so.0", "0.16.1")
    assert node.inspect()["findings"] == []
    assert node.inspect()["libwasmedge"]["api_version"] is None
    node.only_finding("plugin_api", api=5)


def test_another_version_than_asked_for(node: Node) -> None:
    assert "0.17.1" in node.only_finding("libwasmedge_version", version="0.17.1")["cause"]


def test_static_shim(node: Node) -> None:
    node.compile_c("shim", "int main(void) { return 0; }", "-static-pie")
    item = node.only_finding("shim_static")
    assert str(node.shim) in item["cause"]
    assert "static musl" in item["cause"]


def test_musl_shim(node: Node) -> None:
    flags = ("-nostdlib", "-pie", "-fPIE", "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1")
    node.compile_c("shim", "void _start(void) { for (;;); }", *flags)
    node.only_finding("shim_musl")


def test_shim_without_libwasmedge(node: Node) -> None:
    node.compile_c("shim", "int main(void) { return 0; }")
    node.only_finding("shim_libwasmedge")


def test_shim_that_loads_another_libwasmedge(node: Node) -> None:
    other = node.make_library("other/libwasmedge.so.0")
    node.compile_c("shim", SHIM, str(other), "-Wl,-rpath,$ORIGIN/other")
    assert str(other) in node.only_finding("shim_libwasmedge")["cause"]


def test_shim_that_finds_no_libwasmedge(node: Node) -> None:
    node.compile_c("shim", SHIM, str(node.library))
    item = node.only_finding("missing_library")
    assert "libwasmedge.so.0" in item["cause"]
    assert "wasinn.cluster.wasmedge" in item["remedy"]


def test_shim_not_executable_or_broken_link(node: Node) -> None:
    node.shim.rename(node.root / "real")
    node.shim.symlink_to("real")
    assert node.inspect()["shim"]["real_path"] == str(node.root / "real")
    (node.root / "real").unlink()
    assert "broken link to real" in node.only_finding("shim")["cause"]


def test_shim_cut_short(node: Node) -> None:
    node.shim.write_bytes(node.shim.read_bytes()[:-100])
    assert "cut short" in node.only_finding("shim")["cause"]


def test_missing_library_of_the_plugin(node: Node) -> None:
    gone = node.compile_c("libopenblas.so.0", "int g;", "-shared", "-fPIC", "-Wl,-soname,libopenblas.so.0")
    node.make_plugin(PLUGIN, 4, "-Wl,--no-as-needed", str(gone))
    gone.unlink()
    item = node.only_finding("missing_library")
    assert item["remedy"] == "Install libopenblas0, or choose a build that does not need it."
    assert node.inspect()["plugins"][0]["missing"] == ["libopenblas.so.0"]
    assert node.inspect(dependencies=False)["findings"] == []


def versioned(node: Node, path: str, soname: str, *versions: str) -> Path:
    """A library that has one function for each version."""
    script = node.root / "versions.map"
    script.write_text("".join(f"{version} {{ f{index}; }};" for index, version in enumerate(versions)))
    text = "".join(f"int f{index}(void) {{ return 0; }}" for index, _version in enumerate(versions))
    flags = ("-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{soname}", f"-Wl,--version-script={script}")
    return node.compile_c(path, text, *flags)


@pytest.mark.parametrize(
    ("soname", "there", "asked", "cause", "remedy"),
    [
        (
            "libc.so.6",
            ("GLIBC_2.4", "GLIBC_2.36"),
            ("GLIBC_2.4", "GLIBC_2.36", "GLIBC_2.37", "GLIBC_2.38"),
            "needs GLIBC_2.38 of libc.so.6; {library} on this machine (Debian 12) has up to 2.36.",
            "Use a build for an older libc.so.6, or Debian 13 or newer here.",
        ),
        (
            "libstdc++.so.6",
            ("GLIBCXX_3.4.9", "GLIBCXX_3.4.30"),
            ("GLIBCXX_3.4.9", "GLIBCXX_3.4.30", "GLIBCXX_3.4.32"),
            "needs GLIBCXX_3.4.32 of libstdc++.so.6; {library} on this machine (Debian 12) has up to 3.4.30.",
            "Use a build for an older libstdc++.so.6, or Debian 13 or newer here.",
        ),
        (
            "libgomp.so.1",
            ("GOMP_4.0",),
            ("GOMP_4.0", "OACC_2.0"),
            "needs OACC_2.0 of libgomp.so.1; {library} on this machine (Debian 12) has none of the kind.",
            "Use a build for an older libgomp.so.1, or a newer distribution here.",
        ),
    ],
)
def test_versions_that_a_library_here_does_not_have(
    node: Node, soname: str, there: tuple[str, ...], asked: tuple[str, ...], cause: str, remedy: str
) -> None:
    new = versioned(node, f"new/{soname}", soname, *asked)
    caller = "".join(f"int f{index}(void); int g{index}(void) {{ return f{index}(); }}" for index in range(len(asked)))
    flags = ("-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{BESIDE}", "-Wl,-rpath,$ORIGIN/old", str(new))
    beside = node.compile_c(f"wasmedge/plugin/{BESIDE}", caller, *flags)
    old = versioned(node, f"wasmedge/plugin/old/{soname}", soname, *there)
    node.make_plugin(PLUGIN, 4, "-Wl,--no-as-needed", str(beside), "-Wl,-rpath,$ORIGIN", "-nostdlib")
    item = node.only_finding("library_too_old")
    assert item["cause"] == f"{beside} (loaded by {node.plugin}) " + cause.format(library=old)
    assert item["remedy"] == remedy


def test_two_copies_of_the_plugin(node: Node) -> None:
    node.make_plugin("wasmedge/plugin/old/libwasmedgePluginWasiNN.so", 4)
    item = node.only_finding("plugin_duplicate")
    assert "plugin/old/" in item["cause"]


def test_no_plugin(node: Node) -> None:
    node.plugin.unlink()
    node.only_finding("plugin_missing")


def test_plugin_without_descriptor(node: Node) -> None:
    node.compile_c(PLUGIN, "int x;", "-shared", "-fPIC")
    node.only_finding("plugin")


def test_plugin_cut_short(node: Node) -> None:
    node.plugin.write_bytes(node.plugin.read_bytes()[:1000])
    assert "cut short" in node.only_finding("plugin")["cause"]


def test_no_libwasmedge(node: Node) -> None:
    node.library.unlink()
    checks = [item["check"] for item in node.inspect()["findings"]]
    assert checks == ["libwasmedge", "missing_library"]


def test_broken_link_to_the_installation(node: Node) -> None:
    current = node.root / "current"
    current.symlink_to("0.14.1")
    item = node.only_finding("libwasmedge", wasmedge_dir=str(current), shim="")
    assert "broken link to 0.14.1" in item["cause"]


def test_shim_configuration(node: Node) -> None:
    other = node.root / "elsewhere"
    other.mkdir()
    node.plugin.rename(other / "p.so")
    config = node.root / "shim.toml"
    config.write_text(f"# ours\nplugin_dir = \"{other}\"  # there\nplugins = [\n  'wasi_nn',\n]\nlog_level = 'info'\n")
    assert node.inspect(config=str(config))["findings"] == []
    config.write_text(f'plugin_dir = "{other}"\nplugins = ["wasi_logging"]\n')
    assert "wasi_logging" in node.only_finding("plugin_missing", config=str(config))["cause"]


def test_archives(node: Node, tmp_path: Path) -> None:
    whole, plugin, shim = (tmp_path / name for name in ("w.tar.gz", "p.tar.gz", "s.tar.gz"))
    with tarfile.open(whole, "w:gz") as archive:
        archive.add(node.library, "WasmEdge-0.14.1-Linux/lib64/libwasmedge.so.0")
    with tarfile.open(plugin, "w:gz") as archive:
        archive.add(node.make_plugin("old.so", 3), "libwasmedgePluginWasiNN.so")
    with unpacker() as unpacked:
        answer = inspect(wasmedge_dir=unpacked.path(str(whole)), plugin_dir=unpacked.path(str(plugin)))
        answer = unpacked.translate(answer)
    (item,) = answer["findings"]
    assert item["check"] == "plugin_api"
    assert item["cause"].startswith(f"{plugin}:libwasmedgePluginWasiNN.so has plugin API version 3")
    shim.write_bytes(whole.read_bytes()[:200])
    with unpacker() as unpacked, pytest.raises(ArchiveError, match=r"s\.tar\.gz"):
        unpacked.path(str(shim))


def test_toml_subset(tmp_path: Path) -> None:
    assert parse('a = "x # y"\nb = [] # none\nc = true\nd = 3\n') == {"a": "x # y", "b": [], "c": True, "d": 3}
    assert read_shim_config(str(tmp_path / "none.toml")) == {}
    for wrong in ("[table]", "a", "a = ", "a = [", "a = nonsense", 'a = "open'):
        with pytest.raises(ShimConfigError, match="line 2"):
            parse("# first\n" + wrong, "shim.toml")
