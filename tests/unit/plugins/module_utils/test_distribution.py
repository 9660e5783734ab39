# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages and releases by distribution: recorded os-release files, and this machine's own where it can tell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.distribution import (
    RELEASES,
    Distribution,
    first_release,
    package,
    read_distribution,
    version_tuple,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.loader import node_glibc, read_ld_cache

#: The lines that count, as the distributions' own files have them.
OS_RELEASE = {
    "Debian 12": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
    "Ubuntu 22.04": 'NAME="Ubuntu"\nVERSION_ID="22.04"\nID=ubuntu\nID_LIKE=debian\n',
    "Rocky Linux 9.3": 'NAME="Rocky Linux"\nVERSION="9.3 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.3"\n',
    "Fedora Linux 40": 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=40\n',
    "openSUSE Leap 15.5": 'NAME="openSUSE Leap"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.5"\n',
    "Alpine 3.19.1": 'NAME="Alpine"\nID=alpine\nVERSION_ID=3.19.1\n',
}
NAMES = {"Debian 12": "Debian", "Ubuntu 22.04": "Ubuntu", "Rocky Linux 9.3": "RHEL", "Fedora Linux 40": "Fedora"}
NAMES |= {"openSUSE Leap 15.5": "openSUSE Leap", "Alpine 3.19.1": ""}
DEBIAN, ROCKY, FEDORA, SUSE = (
    ("debian",),
    ("rocky", "rhel", "centos", "fedora"),
    ("fedora",),
    ("opensuse-leap", "suse"),
)


@pytest.mark.parametrize("title", OS_RELEASE)
def test_os_release(tmp_path: Path, title: str) -> None:
    (tmp_path / "os-release").write_text(OS_RELEASE[title])
    where = read_distribution(str(tmp_path / "os-release"))
    assert (where.title, where.name) == (title, NAMES[title])


def test_no_os_release(tmp_path: Path) -> None:
    assert read_distribution(str(tmp_path / "none")) == Distribution()


@pytest.mark.parametrize(
    ("library", "like", "words"),
    [
        ("libgomp.so.1", DEBIAN, "libgomp1"),
        ("libgomp.so.1", ("ubuntu", "debian"), "libgomp1"),
        ("libgomp.so.1", ROCKY, "libgomp"),
        ("libnuma.so.1", FEDORA, "numactl-libs"),
        ("libgcc_s.so.1", SUSE, "libgcc_s1"),
        ("libLLVM.so.19.1", DEBIAN, "libllvm19"),
        ("libLLVM-17.so.1", DEBIAN, "libllvm17"),
        ("libspdlog.so.1.15", DEBIAN, "libspdlog1.15"),
        ("libfmt.so.10", FEDORA, "fmt"),
        ("libcuda.so.1", FEDORA, "the NVIDIA driver"),
        ("libcublasLt.so.12", (), "the runtime of CUDA 12 (NVIDIA's repository)"),
        ("libwasmedge.so.0", (), "WasmEdge with the role wasinn.cluster.wasmedge"),
        (
            "libstdc++.so.6",
            ("arch",),
            "the package that has libstdc++.so.6 (libstdc++6 on Debian and Ubuntu, libstdc++ on RHEL and Fedora)",
        ),
        ("libodd.so.3", DEBIAN, "the package that has libodd.so.3"),
        ("libodd.so.3", ROCKY, "'libodd.so.3()(64bit)' (dnf and zypper know it by that name)"),
    ],
)
def test_package(library: str, like: tuple[str, ...], words: str) -> None:
    assert package(library, Distribution(like)) == words


@pytest.mark.parametrize("library", ["libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libnuma.so.1", "libz.so.1"])
def test_package_is_what_dpkg_says(library: str) -> None:
    path = (read_ld_cache().get(library) or [""])[0]
    if shutil.which("dpkg-query") is None or not path:
        pytest.skip("no dpkg, or not installed")
    # Since /lib is a link to /usr/lib a package may own the file by either name.
    done = subprocess.run(["dpkg-query", "-S", f"*/{library}"], capture_output=True, text=True, check=False)
    owners = set(re.findall(r"^([\w.+-]+)(?::\w+)?: (?:/usr)?/lib/[\w-]+/[^/]+$", done.stdout, re.MULTILINE))
    assert package(library, Distribution(("debian",))) in owners


@pytest.mark.parametrize(
    ("version", "like", "words"),
    [
        ("GLIBC_2.34", ROCKY, "RHEL 9 or newer"),
        ("GLIBC_2.35", ("ubuntu", "debian"), "Ubuntu 22.04 or newer"),
        ("GLIBC_2.36", DEBIAN, "Debian 12 or newer"),
        ("GLIBC_2.38", DEBIAN, "Debian 13 or newer"),
        ("GLIBC_2.38", ("ubuntu", "debian"), "Ubuntu 24.04 or newer"),
        ("GLIBC_2.38", SUSE, "openSUSE Leap 15.6 or newer"),
        ("GLIBC_2.41", FEDORA, "Fedora 42 or newer"),
        ("GLIBC_ABI_DT_RELR", ROCKY, "RHEL 10 or newer"),
        ("GLIBCXX_3.4.32", DEBIAN, "Debian 13 or newer"),
        ("GLIBCXX_3.4.32", FEDORA, "Fedora 39 or newer"),
        ("CXXABI_1.3.15", ("ubuntu", "debian"), "Ubuntu 24.04 or newer"),
        ("GLIBC_2.99", DEBIAN, "a newer distribution"),
        ("GLIBC_PRIVATE", DEBIAN, "a newer distribution"),
        ("V_2", DEBIAN, "a newer distribution"),
        ("GLIBC_2.34", ("alpine",), "a newer distribution"),
    ],
)
def test_first_release(version: str, like: tuple[str, ...], words: str) -> None:
    assert first_release(version, Distribution(like)) == words


@pytest.mark.parametrize("rows", RELEASES.values(), ids=RELEASES)
def test_releases_only_gain(rows: tuple[tuple[str, str, int], ...]) -> None:
    for column in (lambda row: version_tuple(row[0]), lambda row: version_tuple(row[1]), lambda row: row[2]):
        assert [column(row) for row in rows] == sorted(column(row) for row in rows)


def test_the_table_knows_this_machine() -> None:
    here = read_distribution()
    known = {f"{name} {row[0]}": row[1] for name, rows in RELEASES.items() for row in rows}
    if here.title not in known:
        pytest.skip(f"{here.title} is not in the table")
    assert known[here.title] == node_glibc()
