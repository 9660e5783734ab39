# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second model: SmolLM2-135M-Instruct in Q8_0, at its Hugging Face address.

libllama makes it from the Q4_1 file of the build `model` (`tests/closed_network/quantizer`). So it says nothing that the Q4_1
file does not, and its bytes are not QuantFactory's; but it is another file of another size, as a second model has to be.
"""

from __future__ import annotations

from tests.closed_network.builds import model, plugin
from tests.closed_network.context import Context
from tests.closed_network.layout import place, sha256
from tests.machines.shell import Failure

DESCRIPTION = "SmolLM2-135M-Instruct Q8_0 (145 MB), requantised from Q4_1"
INPUTS = ("tests/closed_network/builds/model_q8_0.py", "tests/closed_network/quantizer")
NEEDS = ("model",)

SHA256 = "0c1d3326cd9793cfb7296113c063dd5c24e2bd734b48ec1a3d01b7158eca9387"
URL = model.URL.replace("Q4_1", "Q8_0")

SCRIPT = r"""
tar -C source --strip-components=1 -xzf "$LLAMA_ARCHIVE"
cmake -S /src/tests/closed_network/quantizer -B cmake -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DLLAMA_SOURCE=/build/source/vendor/llama.cpp
ninja -C cmake quantizer
cmake/quantizer "$INPUT" model.gguf
"""


def build(ctx: Context) -> None:
    """Compile the quantiser, requantise, check the result's checksum, publish it."""
    source = ctx.pip_download(f"{plugin.LLAMA} --hash=sha256:{plugin.LLAMA_SHA256}", sdist=True)
    (ctx.work / "source").mkdir(exist_ok=True)
    original = place(ctx.mirror, model.URL).relative_to(ctx.repo)
    ctx.builder(SCRIPT, env={"LLAMA_ARCHIVE": str(source.relative_to(ctx.work)), "INPUT": f"/src/{original}"})
    result = ctx.work / "model.gguf"
    found = sha256(result)
    if found != SHA256:
        raise Failure(
            f"The Q8_0 file made from {model.URL.rpartition('/')[2]} has sha256 {found}, expected {SHA256}; "
            "check disk and memory and build again, or pin the new checksum with the new llama.cpp"
        )
    ctx.publish(result, URL, checksums=URL.rsplit("/", 1)[0] + "/SHA256SUM")
    result.unlink()
