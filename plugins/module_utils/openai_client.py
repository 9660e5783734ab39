# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One chat completion against an OpenAI-compatible endpoint, streamed or not, on http.client alone.

Direct connections only: model services live inside the cluster, where no proxy is wanted.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
import typing as t
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_BODY_LIMIT = 64 << 20
_PATH = "/chat/completions"


class ChatError(Exception):
    """One sentence; ``retryable`` if the same request may succeed a moment later.

    ``cause`` is the same few words for all failures of a kind, to count them by; ``retry_after`` the seconds that the
    server asked to wait (RFC 9110, section 10.2.3; its form with a date is passed over).
    """

    def __init__(
        self,
        message: str,
        retryable: bool = True,
        status: int = 0,
        content: str = "",
        cause: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.cause = cause or (f"status {status}" if status not in (0, 200) else "wrong content")
        self.retry_after = retry_after
        self.status = status
        self.content = content
        self.attempts = 1


@dataclass(frozen=True)
class ChatRequest:
    """What to ask; ``timeout`` in seconds for the whole answer.

    Without a ``model`` the server chooses. ``tls`` saves many requests from reading the CA certificates each.
    """

    url: str
    model: str
    messages: t.Sequence[t.Mapping[str, t.Any]]
    max_tokens: int | None = None
    temperature: float | None = None
    stream: bool = False
    timeout: float = 60
    headers: t.Mapping[str, str] = field(default_factory=dict)
    api_key: str = ""
    validate_certs: bool = True
    ca_path: str = ""
    tls: ssl.SSLContext | None = None

    @property
    def endpoint(self) -> str:
        """The full address: a service's own (``http://host:8080``), or one that ends in ``/v1`` or the full path."""
        url = self.url.rstrip("/")
        if url.endswith(_PATH):
            return url
        return url + (_PATH if url.endswith("/v1") else "/v1" + _PATH)

    def body(self) -> bytes:
        """The JSON body (UTF-8)."""
        content: dict[str, t.Any] = {"messages": list(self.messages), "stream": self.stream}
        if self.model:
            content["model"] = self.model
        if self.stream:
            content["stream_options"] = {"include_usage": True}
        if self.max_tokens is not None:
            content["max_tokens"] = self.max_tokens
        if self.temperature is not None:
            content["temperature"] = self.temperature
        return json.dumps(content).encode()


@dataclass
class ChatResult:
    """The answer; times in seconds, ``ttft_s`` (time to first token) only when streamed."""

    content: str
    status: int
    latency_s: float
    ttft_s: float | None = None
    model: str = ""
    finish_reason: str = ""
    usage: dict[str, t.Any] = field(default_factory=dict)
    chunks: int = 0


def chat(request: ChatRequest) -> ChatResult:
    """Asks once.

    :raises ChatError: where no complete, well-formed answer came.
    """
    started = time.monotonic()
    deadline = started + request.timeout
    connection = _connect(request)
    status = 0
    try:
        connection.connect()
        clock = _Clock(connection.sock, deadline)
        _send(connection, request)
        clock.wait()
        response = connection.getresponse()
        status = response.status
        if status != 200:
            raise _status_error(request, response, _read(response, clock))
        if request.stream:
            return _streamed(request, response, started, clock)
        return _whole(request, response, started, clock)
    except ChatError as exc:
        exc.status = exc.status or status
        raise
    except (socket.timeout, TimeoutError) as exc:
        raise ChatError(
            f"{request.endpoint} did not answer within {request.timeout:g} s; "
            "the model may be loading or the node overloaded: see the pod's log, or raise the timeout",
            status=status,
            cause="timeout",
        ) from exc
    except ssl.SSLError as exc:
        raise ChatError(
            f"the TLS handshake with {request.endpoint} failed ({exc.reason or exc}); give the right CA in ca_path "
            "or set validate_certs to false",
            retryable=False,
            cause="TLS",
        ) from exc
    except socket.gaierror as exc:
        raise ChatError(
            f"the name in {request.endpoint} cannot be resolved ({exc.strerror}); correct the URL or the DNS",
            cause="name not resolved",
        ) from exc
    except ConnectionRefusedError as exc:
        raise ChatError(
            f"{request.endpoint} refused the connection: nothing listens there; see whether the pods are ready and the "
            "port is right",
            cause="connection refused",
        ) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise ChatError(
            f"the connection to {request.endpoint} broke ({exc or type(exc).__name__}); "
            "see the log of the pod that answered",
            status=status,
            cause="broken connection",
        ) from exc
    finally:
        connection.close()


def check_expectation(result: ChatResult, pattern: str) -> None:
    """Whether the answer matches the regular expression anywhere, without regard to case.

    :raises ChatError: with what came instead.
    """
    if not re.search(pattern, result.content, re.IGNORECASE | re.DOTALL):
        raise ChatError(
            f"the model answered {_short(result.content)!r}, which does not match {pattern!r}; "
            "see whether the right model is served, with its own chat template, and whether the question suits it (verify_question, verify_expect)",
            retryable=False,
            status=result.status,
            content=result.content,
        )


def tls_context(ca_path: str = "", validate_certs: bool = True) -> ssl.SSLContext:
    """How servers are verified: by the certificates in a file, the system's, or not at all.

    :raises ChatError: where the file is none.
    """
    try:
        context = ssl.create_default_context(cafile=ca_path or None)
    except OSError as exc:
        raise ChatError(
            f"{ca_path} is no file of CA certificates ({exc}); correct ca_path", retryable=False, cause="TLS"
        ) from exc
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Clock:
    """Lets each read wait no longer than the whole answer may still take."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._sock.fileno() >= 0:  # a response read to its end has closed it
            self._sock.settimeout(left)


def _connect(request: ChatRequest) -> http.client.HTTPConnection:
    parts = urlsplit(request.endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ChatError(f"{request.url!r} is no http or https address; correct it", retryable=False)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)  # http.client takes an IPv6 address' end for one
    except ValueError as exc:
        raise ChatError(f"{request.url!r} has no valid port; correct it", retryable=False) from exc
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, port, timeout=request.timeout)
    context = request.tls or tls_context(request.ca_path, request.validate_certs)
    return http.client.HTTPSConnection(parts.hostname, port, timeout=request.timeout, context=context)


def _send(connection: http.client.HTTPConnection, request: ChatRequest) -> None:
    parts = urlsplit(request.endpoint)
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream" if request.stream else "application/json",
    }
    if request.api_key:
        headers["Authorization"] = f"Bearer {request.api_key}"
    headers.update(request.headers)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection.request("POST", target, body=request.body(), headers=headers)


def _whole(request: ChatRequest, response: http.client.HTTPResponse, started: float, clock: _Clock) -> ChatResult:
    content = _object(_read(response, clock), request.endpoint)
    try:
        choice = content["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError) as exc:
        raise ChatError(
            f"{request.endpoint} answered {_short(json.dumps(content))}, which is no chat completion; "
            "see what serves this URL"
        ) from exc
    return ChatResult(
        content=text or "",
        status=response.status,
        latency_s=round(time.monotonic() - started, 3),
        model=content.get("model") or "",
        finish_reason=choice.get("finish_reason") or "",
        usage=content.get("usage") or {},
    )


def _streamed(request: ChatRequest, response: http.client.HTTPResponse, started: float, clock: _Clock) -> ChatResult:
    kind = response.getheader("Content-Type") or "no type"
    if not kind.startswith("text/event-stream"):
        body = _read(response, clock)
        raise ChatError(
            f"{request.endpoint} was asked for a stream but answered {kind}: {_short(body)}; "
            "this server does not stream",
            retryable=False,
        )
    result = ChatResult(content="", status=response.status, latency_s=0.0)
    for data in _events(response, clock):
        if data == "[DONE]":
            result.latency_s = round(time.monotonic() - started, 3)
            return result
        chunk = _object(data, request.endpoint)
        if "error" in chunk:
            raise ChatError(
                f"{request.endpoint} broke the stream off with {_short(json.dumps(chunk['error']))}; see its log",
                cause="broken stream",
            )
        _add_chunk(result, chunk, request.endpoint)
        if result.content and result.ttft_s is None:
            result.ttft_s = round(time.monotonic() - started, 3)
    raise ChatError(
        f"the stream of {request.endpoint} ended after {result.chunks} chunks without [DONE]; "
        "see the log of the pod that answered",
        content=result.content,
        cause="broken stream",
    )


def _add_chunk(result: ChatResult, chunk: dict[str, t.Any], endpoint: str) -> None:
    if chunk.get("object") != "chat.completion.chunk" or not isinstance(chunk.get("choices"), list):
        raise ChatError(
            f"{endpoint} streamed {_short(json.dumps(chunk))}, which is no completion chunk; see what serves this URL"
        )
    result.chunks += 1
    result.model = chunk.get("model") or result.model
    result.usage = chunk.get("usage") or result.usage  # the last chunk may have it and no choices
    for choice in chunk["choices"][:1]:
        result.content += (choice.get("delta") or {}).get("content") or ""
        result.finish_reason = choice.get("finish_reason") or result.finish_reason


def _events(response: http.client.HTTPResponse, clock: _Clock) -> t.Iterator[str]:
    """The data of each server-sent event (WHATWG HTML, section 9.2.6)."""
    data: list[str] = []
    while True:
        clock.wait()
        line = response.readline(_BODY_LIMIT)
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text[5:].removeprefix(" "))
        elif not text and data:
            yield "\n".join(data)
            data = []


def _read(response: http.client.HTTPResponse, clock: _Clock) -> str:
    blocks: list[bytes] = []
    while sum(map(len, blocks)) < _BODY_LIMIT:
        clock.wait()
        block = response.read1(65536)  # what has come, or the deadline would wait for a full block
        if not block:
            break
        blocks.append(block)
    return b"".join(blocks).decode("utf-8", "replace")


def _object(text: str, endpoint: str) -> dict[str, t.Any]:
    try:
        content = json.loads(text)
    except ValueError as exc:
        raise ChatError(f"{endpoint} answered {_short(text)!r}, which is not JSON; see what serves this URL") from exc
    if not isinstance(content, dict):
        raise ChatError(f"{endpoint} answered {_short(text)!r}, which is no JSON object; see what serves this URL")
    return content


def _status_error(request: ChatRequest, response: http.client.HTTPResponse, body: str) -> ChatError:
    status = response.status
    wait = response.getheader("Retry-After") or ""
    said = f": {_short(body)}" if body.strip() else ""
    remedies = {
        400: "correct the request",
        401: "give the right api_key",
        403: "give an api_key that may use this model",
        404: "correct the URL or the model's name",
        429: "fewer requests at a time, or more replicas",
        503: "no model is ready behind this URL, see the pods",
    }
    remedy = remedies.get(status, "see the server's log" if status >= 500 else "see what serves this URL")
    return ChatError(
        f"{request.endpoint} answered {status} {http.client.responses.get(status, '')}{said}; {remedy}",
        retryable=status >= 500 or status in (404, 408, 425, 429),
        status=status,
        content=body,
        retry_after=float(wait) if wait.isdigit() else None,
    )


def _short(text: str, limit: int = 300) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[:limit] + "…"
