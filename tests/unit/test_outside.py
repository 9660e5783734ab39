# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of closed networks take for proof: no request of the controller's own client goes unseen."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

from tests.servers.outside import refusing

ASK = "import sys; from ansible.module_utils.urls import open_url; open_url(sys.argv[1], timeout=10)"


@pytest.fixture
def ask():
    """``ask(url, env) -> whether an answer came``."""

    def run(url: str, env: dict[str, str]) -> bool:
        return (
            subprocess.run([sys.executable, "-c", ASK, url], env=env, capture_output=True, check=False).returncode == 0
        )

    return run


def test_all_but_what_is_inside_is_refused_and_remembered(ask, tmp_path):
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with HTTPServer(("127.0.0.1", 0), handler) as server, refusing([]) as outside, refusing(["127.0.0.1"]) as inside:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        assert ask(url, inside.env)
        assert not ask(url, outside.env)
        assert not ask("https://nobody.invalid/file", outside.env)
        server.shutdown()
    assert inside.asked == []
    assert outside.asked == [f"GET {url} HTTP/1.1", "CONNECT nobody.invalid:443 HTTP/1.0"]
