# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is outside of a closed network: a proxy that refuses every request, and remembers it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Outside:
    """The environment of a program whose requests all go to the proxy, but for some hosts; what was ``asked`` of it."""

    env: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def refusing(inside: Iterable[str]) -> Iterator[Outside]:
    """Refuse while the context lasts what is asked of others than the hosts ``inside``; not even the loopback is one."""
    outside = Outside()

    class Handler(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            outside.asked.append(self.requestline)
            self.send_error(HTTPStatus.FORBIDDEN, "The network is closed")

        do_CONNECT = do_GET = do_HEAD = do_POST = do_PUT = refuse

        def log_message(self, format: str, *args: object) -> None:
            """The list says it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy = f"http://127.0.0.1:{server.server_port}"
        settings = {f"{kind}_proxy": proxy for kind in ("http", "https", "all")} | {"no_proxy": ",".join(inside)}
        outside.env = settings | {name.upper(): value for name, value in settings.items()}
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield outside
        finally:
            server.shutdown()
            thread.join()
