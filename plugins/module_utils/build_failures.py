# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a build of the shim or of a module fails: what cargo and compilers say, the cause and the remedy."""

from __future__ import annotations

import re

from ansible_collections.wasinn.cluster.plugins.module_utils.failures import Signature
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding

SIGNATURES = (
    Signature(
        "build_disk",
        r"No space left on device",
        "The disk of the build's folder is full.",
        "Free some space, or name another folder in build_dir.",
        "error: failed to write /home/me/.cache/wasinn-build/work/x: No space left on device (os error 28)",
        source="Linux, errno ENOSPC",
    ),
    Signature(
        "build_memory",
        r"\(signal: 9, SIGKILL: kill\)",
        "The kernel ended a compiler, as a rule for want of memory.",
        "Set CARGO_BUILD_JOBS to 1 in build_environment, or build on a larger machine.",
        "process didn't exit successfully: `rustc --crate-name syn` (signal: 9, SIGKILL: kill)",
        source="rust-lang/cargo#12912",
    ),
    Signature(
        "build_certificate",
        r"Problem with the SSL CA cert|SSL certificate problem|SSL peer certificate or SSH remote key was not OK",
        "The registry's certificate is signed by an authority that the build does not know.",
        "Give a container the host's certificates with build_container_options, and name the file in build_environment as "
        "CARGO_HTTP_CAINFO and SSL_CERT_FILE.",
        "[77] Problem with the SSL CA cert (path? access rights?) (error setting certificate file: /etc/ssl/certs/ca-certificates.crt)",
        source="measured with cargo 1.85",
    ),
    Signature(
        "build_network",
        r"Could not resolve host: (?P<host>[\w.-]{1,200})|Failed to connect to (?P<other>[\w.-]{1,200})",
        "The build host does not reach {host}{other}, where cargo fetches crates.",
        "Set https_proxy in build_environment, or let cargo take another registry (source replacement in CARGO_HOME/config.toml).",
        "[6] Could not resolve hostname (Could not resolve host: index.crates.io)",
        source="measured with cargo 1.85",
    ),
    Signature(
        "build_target",
        r"can't find crate for `(?:core|std)`(?s:.{0,200}?)the `(?P<target>[\w-]{1,60})` target may not be installed",
        "Rust's standard library for {target} is missing.",
        "Install it with rustup target add {target}, or the distribution's package.",
        "error[E0463]: can't find crate for `core`\n  = note: the `wasm32-wasip1` target may not be installed",
        source="measured with rustc 1.85",
    ),
    Signature(
        "build_lock",
        r"--locked was passed to prevent this|The build used other versions than rust/Cargo.lock names",
        "rust/Cargo.lock does not have the versions that the crates ask for.",
        "Take sources as they were released; who changed a Cargo.toml runs cargo update --workspace first.",
        "error: cannot update the lock file rust/Cargo.lock because --locked was passed to prevent this",
        source="measured with cargo 1.95",
    ),
    Signature(
        "build_library",
        r"(?:cannot find|unable to find library) -l(?P<library>[\w.+-]{1,100})",
        "The linker does not find the library {library} for the architecture that is built for.",
        "Install its development package for that architecture, or name its folder in build_environment (WASMEDGE_LIB_DIR, "
        "LIBSECCOMP_LIB_PATH).",
        "/usr/bin/ld: cannot find -lwasmedge: No such file or directory",
        source="GNU ld, lld",
    ),
)


def classify(text: str) -> list[Finding]:
    """The first known failure in the log of a build, or none."""
    for signature in SIGNATURES:
        if match := re.search(signature.pattern, text):
            fields = {name: value or "" for name, value in match.groupdict().items()}
            return [finding(signature.check, signature.cause.format(**fields), signature.remedy.format(**fields))]
    return []
