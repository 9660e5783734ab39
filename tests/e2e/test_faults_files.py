# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of files that fail in each way that docs/faults.md lists: the run ends with a sentence, and leaves no half file."""

from __future__ import annotations

import pytest

from .sick import NOBODY, WASMEDGE_FILE, failing, says, seed

pytestmark = [pytest.mark.in_order, pytest.mark.slow(8)]

QUICK = {"artifacts_timeout": 2, "artifacts_retries": 0}


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("404", r"wasmedge: the mirror has no .* \(404 .*\); add it to the mirror"),
        ("503", r"wasmedge: .* answered 503 .*gave up after 1 attempts, run again"),
        ("hangs", r"wasmedge: .*(?:timed out|cannot be reached).*run again"),
        ("login", r"wasmedge: .* has a wrong checksum: expected sha256 .*run again"),
    ],
    ids=["no such file", "not now", "hangs", "login page"],
)
def test_a_mirror_that_fails(sick, tmp_path, way, sentence):
    seed(tmp_path)
    with failing(WASMEDGE_FILE, way) as (url, _served):
        result = sick.play("site", extra={"artifacts_mirror": url, "artifacts_cache": str(tmp_path), **QUICK})
    says(result, sentence)
    assert not list(tmp_path.rglob("*.part")) or way == "hangs"


def test_a_dead_mirror(sick, tmp_path):
    result = sick.play(
        "site", extra={"artifacts_mirror": "http://127.0.0.1:9", "artifacts_cache": str(tmp_path), **QUICK}
    )
    says(
        result,
        r"127\.0\.0\.1:9 cannot be reached \(.*Connection refused.*\): check the network, the proxy and artifacts_mirror",
    )


def test_a_mirror_whose_name_is_not_resolved(sick, tmp_path):
    result = sick.play(
        "site", extra={"artifacts_mirror": f"http://{NOBODY}", "artifacts_cache": str(tmp_path), **QUICK}
    )
    says(result, rf"{NOBODY} cannot be reached \(.*\): check the network, the proxy and artifacts_mirror")


def test_a_cache_that_cannot_be_written(sick, tmp_path):
    (tmp_path / "file").touch()
    result = sick.play("site", extra={"artifacts_cache": str(tmp_path / "file" / "cache")})
    says(result, r"file/cache.*(?:cannot be written|Not a directory).*(?:run again|artifacts_cache)")
