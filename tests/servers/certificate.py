# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate that is its own authority, as tests of TLS need one."""

from __future__ import annotations

from pathlib import Path

from tests.machines.shell import run


def self_signed(folder: Path, name: str, address: str = "") -> tuple[Path, Path]:
    """Certificate and key for two days, as PEM files in a folder.

    :param address: IP address that it is for as well.
    """
    cert, key = folder / "cert.pem", folder / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "2", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(cert)]
    run([*argv, *(["-addext", f"subjectAltName=IP:{address}"] if address else [])])
    return cert, key
