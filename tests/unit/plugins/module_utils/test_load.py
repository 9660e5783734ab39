# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load against a real HTTP server whose models take turns, fail and hang as told."""

from __future__ import annotations

import http.server
import json
import threading
import time
import typing as t

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.load import (
    Limits,
    Phase,
    judge,
    percentiles,
    run_all,
    run_phase,
    summary,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.openai_client import ChatRequest


class Server(http.server.ThreadingHTTPServer):
    """Answers the n-th request with ``statuses[n % len]`` by the model it named, or ``models[n % len]``."""

    statuses: t.Sequence[int] = (200,)
    models: t.Sequence[str] = ("a",)
    pause = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.bodies: list[dict[str, t.Any]] = []
        self.at_once = self.most_at_once = 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def request(self, model: str = "", stream: bool = False, timeout: float = 20) -> ChatRequest:
        url = f"http://127.0.0.1:{self.server_address[1]}"
        return ChatRequest(url, model, [{"role": "user", "content": "Capital?"}], stream=stream, timeout=timeout)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: t.Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.bodies)
            self.server.bodies.append(body)
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        time.sleep(self.server.pause)
        with self.server.lock:
            self.server.at_once -= 1
        status = self.server.statuses[number % len(self.server.statuses)]
        model = body.get("model") or self.server.models[number % len(self.server.models)]
        usage = {"completion_tokens": 3}
        if body["stream"] and status == 200:
            whole = {"object": "chat.completion.chunk", "model": model, "usage": usage}
            chunk = {**whole, "choices": [{"delta": {"content": "Paris."}}]}
            kind, text = "text/event-stream", f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
        else:
            message = {"role": "assistant", "content": "Paris."}
            kind, text = (
                "application/json",
                json.dumps({"model": model, "choices": [{"message": message}], "usage": usage}),
            )
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def server() -> t.Iterator[Server]:
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


def soon(seconds: float = 60) -> float:
    return time.monotonic() + seconds


def test_a_phase_sends_so_many_so_many_at_a_time(server: Server) -> None:
    server.pause = 0.05
    run = run_phase(Phase("concurrent", 12, 4), [server.request("a"), server.request("b")], soon())
    figures = summary(run)
    assert (figures["succeeded"], figures["failed"], figures["unsent"]) == (12, 0, 0)
    assert 1 < server.most_at_once <= 4
    assert figures["models"] == {"a": 6, "b": 6}
    assert figures["tokens"] == 36
    assert figures["tokens_per_second"] > 0
    assert figures["first_token_ms"] == {}


def test_streams_have_a_first_token(server: Server) -> None:
    figures = summary(run_phase(Phase("one", 3), [server.request(stream=True)], soon()))
    assert set(figures["first_token_ms"]) == {"p50", "p95", "p99", "max"}
    assert figures["first_token_ms"]["p50"] <= figures["latency_ms"]["max"]
    assert all("model" not in body and body["stream_options"] == {"include_usage": True} for body in server.bodies)


def test_failures_are_grouped_and_not_timed(server: Server) -> None:
    server.statuses = (200, 503, 429, 503)
    result = run_all([Phase("p", 8)], [server.request()], 60, {}, Limits())
    (phase,) = result["phases"]
    assert [(each["status"], each["cause"], each["count"]) for each in phase["failures"]] == [
        (503, "status 503", 4),
        (429, "status 429", 2),
    ]
    assert phase["succeeded"] == 2
    (found,) = result["findings"]
    assert found["check"] == "load_failed"
    assert found["cause"] == "6 of 8 requests of phase p failed: 4 by status 503, 2 by status 429."
    assert not result["passed"]
    assert run_all([Phase("p", 8)], [server.request()], 60, {}, Limits(success=0.25))["passed"]


def test_nothing_is_sent_after_the_time_limit(server: Server) -> None:
    server.pause = 0.3
    result = run_all([Phase("p", 50), Phase("q", 5)], [server.request()], 1, {}, Limits(success=0))
    first, second = result["phases"]
    assert 0 < first["unsent"] < 50
    assert second["unsent"] == 5
    assert second["latency_ms"] == {}
    assert [found["check"] for found in result["findings"]] == ["load_unsent", "load_unsent"]


def test_a_server_that_is_gone_is_a_cause(server: Server) -> None:
    request = ChatRequest("http://127.0.0.1:1", "", [], timeout=5)
    (failure,) = summary(run_phase(Phase("p", 2), [request], soon()))["failures"]
    assert (failure["status"], failure["cause"], failure["count"]) == (0, "connection refused", 2)


def test_shares_are_compared_with_weights(server: Server) -> None:
    server.models = ("a", "a", "b")
    phases, requests = [Phase("p", 30)], [server.request()]
    result = run_all(phases, requests, 60, {"a": 2, "b": 1}, Limits())
    assert result["shares"] == [
        {"model": "a", "answers": 20, "share": 0.667, "expected": 0.667, "within": True},
        {"model": "b", "answers": 10, "share": 0.333, "expected": 0.333, "within": True},
    ]
    result = run_all(phases, requests, 60, {"a": 0, "b": 1, "c": 0}, Limits())
    assert [(row["model"], row["within"]) for row in result["shares"]] == [("a", False), ("b", False), ("c", True)]
    assert {found["check"] for found in result["findings"]} == {"load_share"}


def test_few_answers_and_named_models_say_nothing_about_shares(server: Server) -> None:
    assert run_all([Phase("p", 19)], [server.request()], 60, {"b": 1}, Limits())["shares"] == []
    assert run_all([Phase("p", 25)], [server.request("a")], 60, {"b": 1}, Limits())["shares"] == []


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles([]) == {}
    assert percentiles(value / 1000 for value in range(1, 101)) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert percentiles([0.0071]) == {"p50": 7.1, "p95": 7.1, "p99": 7.1, "max": 7.1}


def test_a_slow_phase_is_a_finding() -> None:
    phase = {"name": "p", "requests": 1, "succeeded": 1, "failed": 0, "unsent": 0, "latency_ms": {"p95": 900.0}}
    (found,) = judge([phase], [], Limits(p95=500))
    assert found["check"] == "load_slow"
    assert judge([phase], [], Limits(p95=1000)) == []
