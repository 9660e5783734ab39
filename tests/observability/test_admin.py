# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ops and admin ports over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.observability.balancer import HOST, TOKEN, Answer, Balancer, ask
from tests.observability.upstream import Upstream


@pytest.fixture
def own(program: Path, tmp_path: Path) -> Iterator[Balancer]:
    """A balancer that the test may drain."""
    balancer = Balancer(program, tmp_path)
    try:
        balancer.start()
        yield balancer
    finally:
        balancer.stop()


@pytest.mark.parametrize(
    "path", ["/api/status", "/api/services", "/api/drain", "/api/register", "/api/unregister/x", "/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_nothing_without_the_token(balancer: Balancer, path: str, method: str) -> None:
    for token in ("", "wrong", TOKEN[:-1], TOKEN + "x"):
        answer = ask(balancer.on_admin(path), token=token, method=method)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["error"]["message"].endswith(".")
    assert ask(balancer.on_admin("/api/services"), token=TOKEN).status == 200


def test_a_new_token_counts_at_once_and_none_closes_the_api(own: Balancer) -> None:
    (own.home / "token").write_text("another")
    assert ask(own.on_admin("/api/status"), token=TOKEN).status == 401
    assert ask(own.on_admin("/api/status"), token="another").status == 200
    (own.home / "token").unlink()
    closed = ask(own.on_admin("/api/status"), token="another")
    assert (closed.status, closed.json()["error"]["code"]) == (503, "no_admin_token")


def test_the_seed_demos_api(own: Balancer, upstreams: Callable[[], Upstream]) -> None:
    upstream = upstreams()

    def services() -> Answer:
        return ask(own.on_admin("/api/services"), token=TOKEN)

    body = {"name": "llama-low", "weight": 3, "ip": HOST, "port": upstream.port}
    assert services().json() == []
    assert ask(own.on_admin("/api/register"), body, TOKEN).status == 200
    assert [{name: one[name] for name in body} for one in services().json()] == [body]
    assert own.chat("llama-low").status == 200
    assert ask(own.on_admin("/api/register"), body | {"weight": 5}, TOKEN).status == 200
    assert services().json()[0]["weight"] == 5
    refused = ask(own.on_admin("/api/register"), body | {"ip": "224.0.0.1"}, TOKEN)
    assert (refused.status, refused.json()["error"]["code"]) == (400, "invalid_registration")
    assert ask(own.on_admin("/api/register"), body, TOKEN, method="PUT").headers["Allow"] == "POST"
    assert ask(own.on_admin("/api/unregister/llama-low"), token=TOKEN, method="DELETE").status == 200
    assert ask(own.on_admin("/api/unregister/llama-low"), token=TOKEN, method="DELETE").status == 404
    assert services().json() == []


def test_drained_answers_when_the_last_request_has_ended(own: Balancer, upstreams: Callable[[], Upstream]) -> None:
    upstream = upstreams()
    own.register("m", upstream.port)
    upstream.go.clear()
    answers: list[int] = []
    request = threading.Thread(target=lambda: answers.append(own.chat("m").status))
    request.start()
    while own.status()["in_flight"] == 0:
        time.sleep(0.02)

    assert ask(own.on_ops("/readyz")).status == 200
    early = ask(own.on_ops("/drained?timeout=0.2"))
    assert (early.status, b"1 requests" in early.body) == (200, True)
    assert ask(own.on_ops("/readyz")).status == 200, "asking alone drains nothing"

    assert ask(own.on_admin("/api/drain"), token=TOKEN, method="POST").status == 200
    assert ask(own.on_ops("/readyz")).status == 503
    threading.Timer(0.4, upstream.go.set).start()
    began = time.monotonic()
    drained = ask(own.on_ops("/drained?timeout=9"))
    assert (drained.status, drained.body) == (200, b"drained\n")
    assert 4.5 < time.monotonic() - began < 8.5, "the last request ended after 0.4 s, but nodes get 5 s to hear of it"
    request.join()
    assert answers == [200]


def test_the_pages_policy_lets_nothing_else_in(balancer: Balancer) -> None:
    page = ask(balancer.on_admin("/"))
    policy = dict(rule.strip().partition(" ")[::2] for rule in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"].startswith("'sha256-") and policy["style-src"].startswith("'sha256-")
    assert (policy["frame-ancestors"], policy["connect-src"]) == ("'none'", "'self'")
    assert b"http://" not in page.body.replace(b"http://www.w3.org/2000/svg", b"") and b"https://" not in page.body
    for answer in (page, ask(balancer.on_ops("/healthz")), ask(balancer.on_admin("/api/status"))):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_ops_port_has_no_admin_api(balancer: Balancer) -> None:
    for path in ("/", "/api/status", "/api/services", "/v1/models"):
        assert ask(balancer.on_ops(path), token=TOKEN).status == 404
    assert ask(balancer.on_ops("/metrics"), method="POST").headers["Allow"] == "GET, HEAD"
    assert ask(balancer.on_ops("/drained?timeout=soon")).status == 400
