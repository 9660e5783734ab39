# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real archives, good and hostile ones, unpacked for real."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import typing as t
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import install as install_module
from ansible_collections.wasinn.cluster.plugins.module_utils.archive import ArchiveError, Selection
from ansible_collections.wasinn.cluster.plugins.module_utils.install import (
    MANIFEST,
    Request,
    difference,
    install,
    read_manifest,
    remove,
)

TREE = {
    "WasmEdge-1/bin/wasmedge": b"program",
    "WasmEdge-1/lib64/lib.so.0.1": b"library",
    "WasmEdge-1/include/a.h": b"h",
}


def tar(path: Path, files: dict[str, bytes], *extra: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if "/bin/" in name else 0o640
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return path


def entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


@pytest.fixture
def src(tmp_path: Path) -> Path:
    link = entry("WasmEdge-1/lib64/lib.so.0", tarfile.SYMTYPE, "lib.so.0.1")
    return tar(tmp_path / "wasmedge.tar.gz", TREE, link)


@pytest.fixture
def request_(src: Path, tmp_path: Path) -> Request:
    return Request(
        "wasmedge",
        sha(src),
        tmp_path / "opt" / "1",
        Selection(strip=1, include=("bin/*", "lib64/*")),
        link=tmp_path / "opt" / "current",
    )


def test_unpacks_and_is_content_then(request_: Request, src: Path) -> None:
    assert len(difference(request_)) == 2
    assert install(request_, src) == ["bin/wasmedge", "lib64/lib.so.0", "lib64/lib.so.0.1"]
    assert difference(request_) == []
    assert (request_.dest / "bin/wasmedge").stat().st_mode & 0o7777 == 0o755
    assert (request_.dest / "lib64/lib.so.0").read_bytes() == b"library"
    assert (request_.dest / "lib64/lib.so.0.1").stat().st_mode & 0o7777 == 0o644
    assert os.readlink(request_.dest.parent / "current") == "1"
    assert listing(request_.dest.parent) == [
        "1/" + MANIFEST,
        "1/bin/wasmedge",
        "1/lib64/lib.so.0",
        "1/lib64/lib.so.0.1",
        "current",
    ]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda dest: (dest / "bin/wasmedge").write_bytes(b"other"), "was modified"),
        (lambda dest: (dest / "bin/wasmedge").unlink(), "is missing"),
        (lambda dest: (dest / "bin/wasmedge").chmod(0o600), "has another mode"),
        (lambda dest: (dest / MANIFEST).unlink(), "is not installed"),
        (
            lambda dest: ((dest / "lib64/lib.so.0").unlink(), (dest / "lib64/lib.so.0").symlink_to("x")),
            "is another link",
        ),
        (lambda dest: (dest.parent / "current").unlink(), "current is missing"),
    ],
)
def test_damage_is_seen_and_mended(request_: Request, src: Path, damage: t.Any, reason: str) -> None:
    install(request_, src)
    damage(request_.dest)
    assert reason in " ".join(difference(request_))
    install(request_, src)
    assert difference(request_) == []


def test_two_archives_share_a_folder(request_: Request, src: Path, tmp_path: Path) -> None:
    install(request_, src)
    plugin_src = tar(tmp_path / "plugin.tar.xz", {"./plugin.so": b"plugin"}, mode="w:xz")
    plugin = Request("plugin", sha(plugin_src), request_.dest, Selection(into="plugin"))
    assert install(plugin, plugin_src) == ["plugin/plugin.so"]
    assert difference(plugin) == difference(request_) == []
    assert set(read_manifest(request_.dest)) == {"wasmedge", "plugin"}
    gone = remove(replace(plugin, link=None))
    assert [path.name for path in gone] == ["plugin.so"]
    assert not (request_.dest / "plugin").exists()
    assert difference(request_) == []
    remove(replace(request_, name=""))
    assert list(request_.dest.parent.iterdir()) == []


def test_a_new_version_removes_what_it_no_longer_has(request_: Request, src: Path, tmp_path: Path) -> None:
    install(request_, src)
    newer = tar(tmp_path / "new.tar", {"WasmEdge-1/bin/wasmedge": b"new"}, mode="w")
    request = replace(request_, sha256=sha(newer))
    assert difference(request) == ["wasmedge is installed in another version"]
    install(request, newer)
    assert listing(request_.dest) == [MANIFEST, "bin/wasmedge"]


def test_other_options_reinstall(request_: Request, src: Path) -> None:
    install(request_, src)
    request = replace(request_, selection=Selection(strip=1, include=("bin/*",)))
    assert difference(request) == ["wasmedge is installed with other options"]
    install(request, src)
    assert listing(request_.dest) == [MANIFEST, "bin/wasmedge"]


def test_wrong_checksum_unpacks_nothing(request_: Request, src: Path) -> None:
    with pytest.raises(ArchiveError, match=f"has sha256 {sha(src)} on the node but {'0' * 64} is expected; nothing"):
        install(replace(request_, sha256="0" * 64), src)
    assert not request_.dest.parent.exists()


@pytest.mark.parametrize(
    ("files", "extra", "sentence"),
    [
        ({"../evil": b""}, [], "leads out of the destination"),
        ({"/etc/evil": b""}, [], "leads out of the destination"),
        ({"a/../../evil": b""}, [], "leads out of the destination"),
        ({}, [entry("a", tarfile.SYMTYPE, "/etc/passwd")], "points out of the destination"),
        ({}, [entry("d/a", tarfile.SYMTYPE, "../../x")], "points out of the destination"),
        ({"d/x": b""}, [entry("d", tarfile.SYMTYPE, "e")], "lies below 'd', which is no folder"),
        ({}, [entry("a", tarfile.LNKTYPE, "/etc/shadow")], "is a hard link"),
        ({}, [entry("a", tarfile.CHRTYPE)], "is a device or pipe"),
        ({}, [entry("a", tarfile.FIFOTYPE)], "is a device or pipe"),
    ],
)
def test_hostile_archives(tmp_path: Path, files: t.Any, extra: t.Any, sentence: str) -> None:
    src = tar(tmp_path / "evil.tar.gz", files, *extra)
    with pytest.raises(ArchiveError, match=sentence):
        install(Request("evil", sha(src), tmp_path / "opt" / "x"), src)
    assert listing(tmp_path) == ["evil.tar.gz"]


def test_zip_with_modes(tmp_path: Path) -> None:
    src = tmp_path / "a.zip"
    with zipfile.ZipFile(src, "w") as archive:
        info = zipfile.ZipInfo("top/run")
        info.external_attr = 0o100755 << 16
        archive.writestr(info, b"#!")
        archive.writestr("top/data", b"x")
    request = Request("a", sha(src), tmp_path / "out", Selection(strip=1))
    assert install(request, src) == ["data", "run"]
    assert (request.dest / "run").stat().st_mode & 0o111
    assert difference(request) == []


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    src = tmp_path / "x.tar.gz"
    src.write_bytes(content)
    with pytest.raises(ArchiveError, match="is no archive that can be unpacked"):
        install(Request("x", sha(src), tmp_path / "out"), src)


def test_cut_archive(tmp_path: Path) -> None:
    src = tar(tmp_path / "x.tar.gz", {"a": os.urandom(200_000)})
    src.write_bytes(src.read_bytes()[:100_000])
    with pytest.raises(ArchiveError, match="is no archive that can be unpacked"):
        install(Request("x", sha(src), tmp_path / "out"), src)
    assert listing(tmp_path) == ["x.tar.gz"]


def test_nothing_selected(request_: Request, src: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no member of .* is left"):
        install(replace(request_, selection=Selection(strip=5)), src)


def test_single_file(tmp_path: Path) -> None:
    src = tmp_path / "k3s"
    src.write_bytes(b"program")
    request = Request("k3s", sha(src), tmp_path / "bin" / "k3s", unpack=False, mode=0o755)
    assert difference(request) == [f"{request.dest} is missing"]
    install(request, src)
    assert difference(request) == []
    assert request.dest.stat().st_mode & 0o7777 == 0o755
    request.dest.write_bytes(b"changed")
    assert difference(request) == [f"{request.dest} was modified"]
    install(request, src)
    assert remove(request) == [request.dest]
    assert remove(request) == []


def test_link_in_another_folder_is_absolute(tmp_path: Path) -> None:
    src = tar(tmp_path / "shim.tar.gz", {"shim": b"program"})
    link = tmp_path / "bin" / "shim"
    request = Request("shim", sha(src), tmp_path / "opt" / "1", mode=0o755, link=link, link_target="shim")
    install(request, src)
    assert os.readlink(link) == str(tmp_path / "opt/1/shim")
    assert link.read_bytes() == b"program"


def test_a_file_in_the_links_place(request_: Request, src: Path) -> None:
    assert request_.link
    request_.link.parent.mkdir()
    request_.link.write_text("someone's")
    with pytest.raises(ArchiveError, match="is a file that something else put there; move it away, or set force"):
        difference(request_)
    request = replace(request_, force=True)
    install(request, src)
    assert difference(request) == []


def test_leftovers_of_a_killed_run_go(request_: Request, src: Path) -> None:
    leftover = request_.dest.parent / ".1.wasinn-stage-abc"
    leftover.mkdir(parents=True)
    (leftover / "big").write_bytes(b"x")
    install(request_, src)
    assert not leftover.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> t.Iterator[Path]:
    """A real file system of 1 MiB; root only."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the right to mount a tmpfs: run as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("unpack", [True, False])
@pytest.mark.parametrize("checked", [True, False])
def test_full_disk_leaves_nothing(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpack: bool, checked: bool
) -> None:
    src = tar(tmp_path / "big.tar.gz", {"small": b"x", "big": os.urandom(2_000_000)})
    if not checked:  # as if another program took the space after the check
        monkeypatch.setattr(install_module, "_check_space", lambda *args: None)
    sentence = r"2 MB are needed in .* but 1 MB are free" if checked else r"the disk that holds .* is full and nothing"
    with pytest.raises(ArchiveError, match=sentence):
        install(Request("big", sha(src), small_disk / "dest", unpack=unpack), src)
    assert listing(small_disk) == []
