# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds for machines that cannot be asked."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.filter.builds import wasmedge_build


def test_the_same_as_a_machine_gets_that_has_all():
    build = wasmedge_build("0.14.1", "cpu", "x86_64")
    assert build["plugin"] == "WasmEdge-plugin-wasi_nn-ggml-0.14.1-manylinux_2_28_x86_64.tar.gz"
    assert wasmedge_build("0.14.1", "auto", "x86_64")["plugin"] == build["plugin"]
    assert wasmedge_build("0.14.1", "cuda12", "x86_64")["plugin"].startswith(
        "WasmEdge-plugin-wasi_nn-ggml-cuda-0.14.1-"
    )


@pytest.mark.parametrize(
    ("version", "variant", "machine"), [("0.14.1", "noavx", "aarch64"), ("0.13.5", "cpu", "x86_64")]
)
def test_what_nobody_has_built_is_one_sentence(version, variant, machine):
    with pytest.raises(AnsibleFilterError, match=version):
        wasmedge_build(version, variant, machine)
