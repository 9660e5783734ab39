# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against a real HTTP server that answers as told."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import socket
import threading
import time
import typing as t

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.openai_client import (
    ChatError,
    ChatRequest,
    chat,
    check_expectation,
)

ANSWER = {
    "object": "chat.completion",
    "model": "default",
    "choices": [{"message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 36, "completion_tokens": 2, "total_tokens": 38},
}


def chunk(text: str, **more: t.Any) -> str:
    content = {"object": "chat.completion.chunk", "model": "m", "choices": [{"delta": {"content": text}, **more}]}
    return f"data: {json.dumps(content)}\n\n"


class Server(http.server.ThreadingHTTPServer):
    """``status``, ``kind`` and ``parts`` (written one by one, ``pause`` seconds between) are the next answers."""

    status = 200
    kind = "application/json"
    pause = 0.0
    parts: t.Sequence[str] = (json.dumps(ANSWER),)
    seen: t.Any = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def request(self, **more: t.Any) -> ChatRequest:
        url = f"http://127.0.0.1:{self.server_address[1]}"
        return ChatRequest(url, "default", [{"role": "user", "content": "Capital?"}], **more)

    def stream(self, *parts: str) -> None:
        self.kind, self.parts = "text/event-stream", parts


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: t.Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen = (self.path, dict(self.headers), body)
        self.send_response(self.server.status)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have gone
            for part in self.server.parts:
                self.wfile.write(f"{len(part.encode()):x}\r\n{part}\r\n".encode())
                self.wfile.flush()
                time.sleep(self.server.pause)
            self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def server() -> t.Iterator[Server]:
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


def test_answer_and_request(server: Server) -> None:
    result = chat(server.request(max_tokens=5, temperature=0.0, api_key="secret", headers={"X-Test": "1"}))
    assert (result.content, result.finish_reason, result.model, result.status) == ("Paris.", "stop", "default", 200)
    assert result.usage["total_tokens"] == 38
    assert result.latency_s >= 0
    assert result.ttft_s is None
    path, headers, body = server.seen
    assert path == "/v1/chat/completions"
    assert (headers["Authorization"], headers["X-Test"]) == ("Bearer secret", "1")
    assert body == {
        "model": "default",
        "messages": [{"role": "user", "content": "Capital?"}],
        "stream": False,
        "max_tokens": 5,
        "temperature": 0.0,
    }


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/chat/completions"])
def test_endpoint(url: str) -> None:
    assert ChatRequest(url, "m", []).endpoint == "http://h:1/v1/chat/completions"


def test_stream(server: Server) -> None:
    end = (
        chunk("", finish_reason="stop")
        + 'data: {"object":"chat.completion.chunk","choices":[],"usage":{"total_tokens":9}}\n\n'
    )
    whole = ": a comment\n\n" + chunk("Par") + chunk("is 🥖") + end + "data: [DONE]\n\n"
    # Cut at odd places, in the middle of a line as well.
    server.stream(whole[:20], whole[20:90], whole[90:])
    server.pause = 0.05
    result = chat(server.request(stream=True))
    assert (result.content, result.finish_reason, result.usage) == ("Paris 🥖", "stop", {"total_tokens": 9})
    assert result.chunks == 4
    assert result.ttft_s is not None
    assert 0.05 <= result.ttft_s <= result.latency_s


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((chunk("Par"),), r"ended after 1 chunks without \[DONE\]"),
        (('data: {"object":"x"}\n\n',), "which is no completion chunk"),
        (("data: {oops\n\n",), "which is not JSON"),
        (
            (chunk("Par"), 'data: {"error":{"message":"out of memory"}}\n\n'),
            "broke the stream off with .*out of memory",
        ),
    ],
)
def test_broken_streams(server: Server, parts: tuple[str, ...], sentence: str) -> None:
    server.stream(*parts)
    with pytest.raises(ChatError, match=sentence):
        chat(server.request(stream=True))


def test_a_server_that_does_not_stream(server: Server) -> None:
    with pytest.raises(ChatError, match="asked for a stream but answered application/json") as caught:
        chat(server.request(stream=True))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "sentence", "retryable"),
    [
        (404, "answered 404 Not Found: .*; correct the URL or the model's name", True),
        (401, "give the right api_key", False),
        (400, "correct the request", False),
        (503, "no model is ready behind this URL", True),
        (500, "see the server's log", True),
    ],
)
def test_statuses(server: Server, status: int, sentence: str, retryable: bool) -> None:
    server.status = status
    with pytest.raises(ChatError, match=sentence) as caught:
        chat(server.request())
    assert (caught.value.status, caught.value.retryable) == (status, retryable)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("<html>hello</html>", "answered '<html>hello</html>', which is not JSON"),
        ("[1]", "which is no JSON object"),
        ('{"choices": []}', "which is no chat completion"),
    ],
)
def test_other_answers(server: Server, body: str, sentence: str) -> None:
    server.parts = (body,)
    with pytest.raises(ChatError, match=sentence):
        chat(server.request())


@pytest.mark.parametrize("stream", [False, True])
def test_timeout_is_for_the_whole_answer(server: Server, stream: bool) -> None:
    parts = [chunk("x")] * 20 if stream else [" "] * 20
    server.kind, server.parts, server.pause = "text/event-stream" if stream else "application/json", parts, 0.1
    started = time.monotonic()
    with pytest.raises(ChatError, match=r"did not answer within 0.5 s"):
        chat(server.request(stream=stream, timeout=0.5))
    assert time.monotonic() - started < 1.5


def test_nothing_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ChatError, match="refused the connection: nothing listens there"):
        chat(ChatRequest(f"http://127.0.0.1:{port}", "m", []))


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://h:port"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(ChatError, match="correct it"):
        chat(ChatRequest(url, "m", []))


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_ipv6_without_a_port(monkeypatch: pytest.MonkeyPatch, scheme: str, port: int) -> None:
    asked = []

    def connect(address: tuple[str, int], *args: t.Any, **more: t.Any) -> t.Any:
        asked.append(address)
        raise OSError("nobody")

    monkeypatch.setattr("socket.create_connection", connect)
    with pytest.raises(ChatError):
        chat(ChatRequest(f"{scheme}://[fd00::abcd]", "m", []))
    assert asked == [("fd00::abcd", port)]


def test_plain_http_where_tls_is_expected(server: Server) -> None:
    url = f"https://127.0.0.1:{server.server_address[1]}"
    with pytest.raises(ChatError, match=r"the TLS handshake .* failed"):
        chat(ChatRequest(url, "m", [], timeout=5))


def test_expectation(server: Server) -> None:
    result = chat(server.request())
    check_expectation(result, r"\bparis\b")
    with pytest.raises(ChatError, match=r"the model answered 'Paris.', which does not match 'Rome'") as caught:
        check_expectation(result, "Rome")
    assert caught.value.content == "Paris."
    assert not caught.value.retryable


def test_without_a_model_the_server_chooses(server: Server) -> None:
    request = dataclasses.replace(server.request(), model="")
    chat(request)
    assert "model" not in server.seen[2]


def test_a_stream_is_asked_for_its_token_counts(server: Server) -> None:
    server.stream(chunk("Paris."), "data: [DONE]\n\n")
    chat(server.request(stream=True))
    assert server.seen[2]["stream_options"] == {"include_usage": True}


def test_a_broken_stream_has_a_status_and_a_cause(server: Server) -> None:
    server.stream(chunk("Par"))
    with pytest.raises(ChatError) as caught:
        chat(server.request(stream=True))
    assert (caught.value.status, caught.value.cause) == (200, "broken stream")


def test_a_read_waits_no_longer_than_the_answer_may_take(server: Server) -> None:
    """Each read used to get the whole timeout again."""
    server.stream(*[chunk("a")] * 40)
    server.pause = 0.4
    began = time.monotonic()
    with pytest.raises(ChatError) as caught:
        chat(server.request(stream=True, timeout=1.0))
    assert caught.value.cause == "timeout"
    assert time.monotonic() - began < 10  # not the 16 s that all of it takes
    assert not caught.value.retry_after


def test_a_server_that_asks_to_wait_is_heard(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.status = 429
    send = Handler.send_header

    def with_wait(self: Handler, name: str, value: str) -> None:
        send(self, name, value)
        if name == "Content-Type":
            send(self, "Retry-After", "7")

    monkeypatch.setattr(Handler, "send_header", with_wait)
    with pytest.raises(ChatError) as caught:
        chat(server.request())
    assert (caught.value.retry_after, caught.value.cause) == (7.0, "status 429")
