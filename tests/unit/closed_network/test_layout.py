# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib

import pytest

from tests.closed_network.layout import place, publish

RELEASE = "https://example.org/a/v1%2B2"


def test_place_is_decoded(tmp_path):
    assert place(tmp_path, f"{RELEASE}/file") == tmp_path / "example.org/a/v1+2/file"


@pytest.mark.parametrize("url", ["http://example.org/x", "https://example.org/", "https://example.org/../x", "x"])
def test_no_place_for_what_is_no_file(tmp_path, url):
    with pytest.raises(ValueError, match="does not name a file"):
        place(tmp_path, url)


def test_publish_keeps_the_list_of_all_files(tmp_path):
    source = tmp_path / "source"
    for name, content in (("b", b"1"), ("a", b"2"), ("b", b"3")):
        source.write_bytes(content)
        publish(tmp_path, source, f"{RELEASE}/{name}", f"{RELEASE}/SHA256SUM")
    two, three = (hashlib.sha256(content).hexdigest() for content in (b"2", b"3"))
    folder = tmp_path / "example.org/a/v1+2"
    assert (folder / "SHA256SUM").read_text() == f"{two}  a\n{three}  b\n"
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUM", "a", "b"]
