# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two that are asked the same: a model pod at its OpenAI interface, and libllama in a plain program.

Both count alike: the prompt until the first token is there, the answer from its first token to its last; the pod's tokens
are there when their events reach the client. Processor time is the process's own, of the pod that of its control group.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from .node import Broken, cgroup, processor_ms

TIMEOUT_SECONDS = 300
# chatml, as SmolLM2 and the pod have it.
CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


class Peer(Protocol):
    """Who answers."""

    name: str

    def ask(self, prompt: str, tokens: int) -> dict[str, Any]:
        """Counts, milliseconds and the text of one answer."""


class Pod:
    """A model pod, asked at its own address."""

    name = "pod"

    def __init__(self, pod: dict[str, Any]) -> None:
        self._address = pod["status"]["podIP"]
        self._group = cgroup("cpuacct", pod["metadata"]["uid"])

    def ask(self, prompt: str, tokens: int) -> dict[str, Any]:
        """A streamed answer.

        :raises Broken: where none comes, or events do not stand for tokens.
        """
        body = {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        connection = http.client.HTTPConnection(self._address, 8080, timeout=TIMEOUT_SECONDS)
        try:
            connection.connect()
            marks = [self._mark()]
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise Broken(f"the pod answers with {response.status}: {response.read(300)!r}")
            lines: list[bytes] = []
            for line in iter(response.readline, b""):
                if line.startswith(b"data: {"):
                    lines.append(line)
                    marks.append(self._mark())
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"the pod at {self._address} does not answer: {error}") from error
        finally:
            connection.close()
        return figures(lines, marks)

    def _mark(self) -> tuple[float, float]:
        return time.monotonic() * 1e3, processor_ms(self._group)


def figures(lines: Iterable[bytes], marks: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Counts and times of a streamed answer.

    :param lines: its events.
    :param marks: milliseconds and processor milliseconds, at the request and then at each event.
    :raises Broken: where an event does not stand for a token.
    """
    texts: list[str] = []
    usage: dict[str, int] = {}
    last = 0
    for number, line in enumerate(lines, 1):
        event = json.loads(line.removeprefix(b"data: "))
        usage = event.get("usage") or usage
        text = "".join(choice["delta"].get("content") or "" for choice in event["choices"])
        if text:
            texts.append(text)
            last = number
    if not texts or len(texts) != usage.get("completion_tokens"):
        raise Broken(
            f"{len(texts)} events for {usage.get('completion_tokens')} tokens: pieces were held back, so their times are not "
            "those of the tokens; ask for an answer without such characters"
        )
    (start, start_cpu), (first, first_cpu), (end, end_cpu) = marks[0], marks[1], marks[last]
    return {
        "prompt_tokens": usage["prompt_tokens"],
        "tokens": len(texts),
        "prompt_ms": first - start,
        "generate_ms": end - first,
        "prompt_cpu_ms": first_cpu - start_cpu,
        "generate_cpu_ms": end_cpu - first_cpu,
        "text": "".join(texts),
    }


class Native:
    """The program, which waits between its answers."""

    name = "native"

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, prompt: str, tokens: int) -> dict[str, Any]:
        """An answer.

        :raises Broken: where the program ended.
        """
        text = CHATML.format(prompt.strip()).encode()
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(b"%d %d\n%b" % (tokens, len(text), text))
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise Broken(f"the native program ended ({self._process.poll()}); its words stand above") from error
        return answer

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)
