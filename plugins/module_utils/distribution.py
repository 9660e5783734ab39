# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each distribution has: which package brings a library, and which release is the first with a symbol version.

Sources: the distributions' package lists (releases as first published; updates may bring more), and libstdc++'s manual,
"ABI Policy and Guidelines", for the versions of each GCC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DRIVER = "the NVIDIA driver"
CUDA = r"the runtime of CUDA \1 (NVIDIA's repository)"

#: Library -> what brings it on Debian and Ubuntu, on RHEL and Fedora, on openSUSE; the same everywhere if only one.
PACKAGES: dict[str, tuple[str, ...]] = {
    r"libwasmedge\.so.*": ("WasmEdge with the role wasinn.cluster.wasmedge",),
    r"lib(?:cuda|nvidia-ml)\.so.*": (DRIVER,),
    r"lib(?:cudart|cublas|cublasLt)\.so\.(\d+).*": (CUDA,),
    r"libstdc\+\+\.so\.6": ("libstdc++6", "libstdc++", "libstdc++6"),
    r"libgcc_s\.so\.1": ("libgcc-s1", "libgcc", "libgcc_s1"),
    r"libgomp\.so\.1": ("libgomp1", "libgomp", "libgomp1"),
    r"libopenblas\.so\.0": ("libopenblas0", "openblas", "libopenblas_pthreads0"),
    r"libnuma\.so\.1": ("libnuma1", "numactl-libs", "libnuma1"),
    r"libseccomp\.so\.2": ("libseccomp2", "libseccomp", "libseccomp2"),
    r"libvulkan\.so\.1": ("libvulkan1", "vulkan-loader", "libvulkan1"),
    r"libOpenCL\.so\.1": ("ocl-icd-libopencl1", "ocl-icd", "libOpenCL1"),
    r"libz\.so\.1": ("zlib1g", "zlib", "libz1"),
    r"libzstd\.so\.1": ("libzstd1", "libzstd", "libzstd1"),
    r"libtinfo\.so\.6": ("libtinfo6", "ncurses-libs", "libncurses6"),
    r"libLLVM[-.](?:so\.)?(\d+).*": (r"libllvm\1", "llvm-libs", r"libLLVM\1"),
    r"libfmt\.so\.(\d+)": (r"libfmt\1", "fmt", r"libfmt\1"),
    r"libspdlog\.so\.(\d+(?:\.\d+)?)": (r"libspdlog\1", "spdlog", r"libspdlog\1"),
}
#: Columns of PACKAGES.
FAMILIES = {"debian": 0, "ubuntu": 0, "rhel": 1, "fedora": 1, "suse": 2, "opensuse": 2}

#: os-release's ID, or the first of ID_LIKE that is here -> distribution in RELEASES.
NAMES = {
    "ubuntu": "Ubuntu",
    "debian": "Debian",
    "rhel": "RHEL",
    "fedora": "Fedora",
    "opensuse-leap": "openSUSE Leap",
    "sles": "openSUSE Leap",
}
#: Distribution -> releases, oldest first: (release, glibc, GCC whose libstdc++ it has).
RELEASES: dict[str, tuple[tuple[str, str, int], ...]] = {
    "Debian": (("11", "2.31", 10), ("12", "2.36", 12), ("13", "2.41", 14)),
    "Ubuntu": (("20.04", "2.31", 10), ("22.04", "2.35", 12), ("24.04", "2.39", 14)),
    "RHEL": (("8", "2.28", 8), ("9", "2.34", 11), ("10", "2.39", 14)),
    "Fedora": (("39", "2.38", 13), ("40", "2.39", 14), ("41", "2.40", 14), ("42", "2.41", 15), ("43", "2.42", 15)),
    "openSUSE Leap": (("15.5", "2.31", 12), ("15.6", "2.38", 13), ("16.0", "2.40", 14)),
}
#: GCC -> newest versions of its libstdc++, of its last minor release.
LIBSTDCXX = {
    8: ("3.4.25", "1.3.11"),
    9: ("3.4.28", "1.3.12"),
    10: ("3.4.28", "1.3.12"),
    11: ("3.4.29", "1.3.13"),
    12: ("3.4.30", "1.3.13"),
    13: ("3.4.32", "1.3.14"),
    14: ("3.4.33", "1.3.15"),
    15: ("3.4.34", "1.3.15"),
}
#: Versions of glibc that carry no number -> the release that brought them.
UNNUMBERED = {"GLIBC_ABI_DT_RELR": "GLIBC_2.36"}


@dataclass(frozen=True)
class Distribution:
    """A machine's distribution: words of os-release, and the name and release people know it by."""

    like: tuple[str, ...] = ()
    title: str = ""

    @property
    def name(self) -> str:
        """Its name in :data:`RELEASES`, which for a clone is that of the original; empty if unknown."""
        return next((NAMES[word] for word in self.like if word in NAMES), "")


def read_distribution(path: str = "/etc/os-release") -> Distribution:
    """What os-release(5) says; an empty one where there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            pairs = (line.strip().partition("=") for line in stream)
            values = {key: value.strip("\"'") for key, _equals, value in pairs}
    except OSError:
        return Distribution()
    like = (values.get("ID", ""), *values.get("ID_LIKE", "").split())
    name = values.get("NAME", "").replace(" GNU/Linux", "")
    return Distribution(like, f"{name} {values.get('VERSION_ID', '')}".strip())


def version_tuple(text: str) -> tuple[int, ...]:
    """``GLIBC_2.38`` or ``2.38`` as (2, 38), for comparing; parts that are no number are left out."""
    return tuple(int(part) for part in text.rsplit("_", 1)[-1].split(".") if part.isdigit())


def package(library: str, where: Distribution) -> str:
    """What to install for *library*, to stand after "Install"."""
    for pattern, names in PACKAGES.items():
        match = re.fullmatch(pattern, library)
        if match is None:
            continue
        column = next((FAMILIES[word] for word in where.like if word in FAMILIES), None)
        if len(names) == 1 or column is not None:
            return match.expand(names[column or 0] if len(names) > 1 else names[0])
        debian, redhat, _suse = (match.expand(name) for name in names)
        return f"the package that has {library} ({debian} on Debian and Ubuntu, {redhat} on RHEL and Fedora)"
    column = next((FAMILIES[word] for word in where.like if word in FAMILIES), 0)
    # Every RPM offers its libraries by this name, so that dnf and zypper find the package by it.
    return (
        f"'{library}()(64bit)' (dnf and zypper know it by that name)" if column else f"the package that has {library}"
    )


def first_release(version: str, where: Distribution) -> str:
    """``Debian 13 or newer``: the oldest release of this distribution that has a symbol version such as ``GLIBC_2.38``.

    ``a newer distribution`` where none is known.
    """
    version = UNNUMBERED.get(version, version)
    wanted = version_tuple(version)
    for release, glibc, gcc in RELEASES.get(where.name, ()):
        glibcxx, cxxabi = LIBSTDCXX[gcc]
        newest = {"GLIBC": glibc, "GLIBCXX": glibcxx, "CXXABI": cxxabi}.get(version.rsplit("_", 1)[0], "0")
        if wanted and version_tuple(newest) >= wanted:
            return f"{where.name} {release} or newer"
    return "a newer distribution"
