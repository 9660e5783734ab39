# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
import http.client
from urllib.parse import urlsplit

import pytest

from tests.closed_network.serve import serving


@pytest.fixture
def get(tmp_path):
    folder = tmp_path / "host" / "v1.34.4+k3s1"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(bytes(range(100)))
    with serving(tmp_path) as url:

        def ask(path="/host/v1.34.4%2Bk3s1/file", method="GET", **headers):
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer, answer.read()

        yield ask


def test_whole_file(get):
    answer, body = get()
    assert (answer.status, body) == (200, bytes(range(100)))


def test_range(get):
    answer, body = get(Range="bytes=90-")
    assert (answer.status, body) == (206, bytes(range(90, 100)))
    assert answer.headers["Content-Range"] == "bytes 90-99/100"


def test_range_of_a_file_that_changed_is_the_whole_file(get):
    answer, body = get(Range="bytes=90-", If_Range='"other"')
    assert (answer.status, len(body)) == (200, 100)


def test_range_of_the_same_file(get):
    tag = get(method="HEAD")[0].headers["ETag"]
    assert get(Range="bytes=0-9", If_Range=tag)[1] == bytes(range(10))


def test_range_beyond_the_end(get):
    answer, _headers = get(Range="bytes=100-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */100")


@pytest.mark.parametrize("path", ["/nothing", "/", "/host/", "/../../etc/passwd"])
def test_no_such_file(get, path):
    assert get(path)[0].status == 404
