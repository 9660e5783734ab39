# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many chat completions at once, and what came of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from ansible_collections.wasinn.cluster.plugins.module_utils.openai_client import ChatError, ChatRequest, chat


@dataclass(frozen=True)
class Answer:
    """One request's end: the model that answered, or the sentence of the failure and what had come until then."""

    model: str = ""
    content: str = ""
    failure: str = ""


def ask(url: str, model: str = "", *, stream: bool = False, max_tokens: int = 1, timeout: float = 120) -> Answer:
    """Ask once, without a retry; the model is left open unless one is named."""
    request = ChatRequest(
        url=url,
        model=model,
        messages=[{"role": "user", "content": "Hello"}],
        max_tokens=max_tokens,
        temperature=0,
        stream=stream,
        timeout=timeout,
    )
    try:
        result = chat(request)
    except ChatError as exc:
        return Answer(content=exc.content, failure=str(exc))
    return Answer(result.model, result.content)


def ask_many(count: int, at_once: int, one: Callable[[int], Answer]) -> list[Answer]:
    """``one(0)`` to ``one(count - 1)``, so many of them at once."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(count)))


@contextmanager
def asking(at_once: int, one: Callable[[int], Answer]) -> Iterator[list[Answer]]:
    """Ask again and again until the block ends; the list is complete after it."""
    answers: list[Answer] = []
    over = threading.Event()

    def worker(number: int) -> None:
        while not over.is_set():
            answers.append(one(number))

    with ThreadPoolExecutor(at_once) as pool:
        for number in range(at_once):
            pool.submit(worker, number)
        try:
            yield answers
        finally:
            over.set()


def failures(answers: list[Answer]) -> list[str]:
    """The sentences of those that failed."""
    return [answer.failure for answer in answers if answer.failure]


def shares(answers: list[Answer]) -> dict[str, float]:
    """Share of the answers by model."""
    counted = Counter(answer.model for answer in answers)
    return {model: count / len(answers) for model, count in counted.items()}
