# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenAI's own Python client has to be able to do, whatever stands behind the address.

A module of tests takes the cases over and says where they go::

    class TestOpenAIClient(OpenAICases):
        @pytest.fixture
        def openai_target(self) -> Target: ...
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

TIMEOUT = 120.0  # seconds; a test machine generates slowly, and requests wait for each other
QUESTION: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "What is the capital of France?"}]


@dataclass(frozen=True)
class Target:
    """Where to ask, and what is there.

    :ivar base_url: with ``/v1``.
    :ivar key: a bearer key without limits.
    :ivar limited_key: one with ``requests_per_minute`` of 1 to 3.
    :ivar chat: a chat model's name.
    :ivar embedding: an embedding model's name.
    :ivar answer: what the answer to "What is the capital of France?" holds.
    """

    base_url: str
    key: str
    limited_key: str
    chat: str
    embedding: str
    answer: str = "Paris"

    def client(self, key: str | None = None) -> openai.OpenAI:
        """A client that reports each failure at once."""
        return openai.OpenAI(base_url=self.base_url, api_key=key or self.key, max_retries=0, timeout=TIMEOUT)


class OpenAICases:
    """The cases; ``openai_target`` is the fixture that a subclass gives."""

    @pytest.fixture
    def client(self, openai_target: Target) -> Iterator[openai.OpenAI]:
        with openai_target.client() as client:
            yield client

    def test_models_are_listed(self, client: openai.OpenAI, openai_target: Target) -> None:
        names = [model.id for model in client.models.list()]
        assert {openai_target.chat, openai_target.embedding} <= set(names)
        assert len(names) == len(set(names))

    def test_chat(self, client: openai.OpenAI, openai_target: Target) -> None:
        answer = client.chat.completions.create(
            model=openai_target.chat, messages=QUESTION, max_tokens=16, temperature=0
        )
        assert answer.object == "chat.completion"
        assert answer.model == openai_target.chat
        assert answer.choices[0].message.role == "assistant"
        assert openai_target.answer in (answer.choices[0].message.content or "")
        assert answer.choices[0].finish_reason in ("stop", "length")
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0

    def test_chat_streams(self, client: openai.OpenAI, openai_target: Target) -> None:
        stream = client.chat.completions.create(
            model=openai_target.chat,
            messages=QUESTION,
            max_tokens=16,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        assert openai_target.answer in "".join(text or "" for text in texts)
        assert len(texts) > 2, "it came in one piece"
        assert {chunk.model for chunk in chunks} == {openai_target.chat}
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens > 0

    def test_a_stream_that_is_left_frees_the_model(self, client: openai.OpenAI, openai_target: Target) -> None:
        """Whole, the answer would take far longer than the next one may."""
        story: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Tell a very long story of a ship."}]
        with client.chat.completions.create(model=openai_target.chat, messages=story, stream=True) as stream:
            next(iter(stream))
        began = time.monotonic()
        client.chat.completions.create(model=openai_target.chat, messages=QUESTION, max_tokens=1)
        assert time.monotonic() - began < TIMEOUT / 4

    def test_many_at_once(self, openai_target: Target) -> None:
        async def ask_all() -> list[str]:
            async with openai.AsyncOpenAI(
                base_url=openai_target.base_url, api_key=openai_target.key, max_retries=0, timeout=TIMEOUT
            ) as client:
                asked = [
                    client.chat.completions.create(
                        model=openai_target.chat, messages=QUESTION, max_tokens=8, temperature=0
                    )
                    for _number in range(10)
                ]
                return [answer.choices[0].message.content or "" for answer in await asyncio.gather(*asked)]

        answers = asyncio.run(ask_all())
        assert [openai_target.answer in answer for answer in answers] == [True] * 10

    def test_completion(self, client: openai.OpenAI, openai_target: Target) -> None:
        answer = client.completions.create(
            model=openai_target.chat, prompt="The capital of France is", max_tokens=8, temperature=0
        )
        assert answer.object == "text_completion"
        assert answer.choices[0].text

    def test_a_model_left_open_is_chosen(self, client: openai.OpenAI, openai_target: Target) -> None:
        names = {model.id for model in client.models.list()}
        answer = client.chat.completions.create(model="default", messages=QUESTION, max_tokens=2)
        assert answer.model in names - {openai_target.embedding}

    @pytest.mark.parametrize("encoding", ["float", None])
    def test_embeddings(self, client: openai.OpenAI, openai_target: Target, encoding: str | None) -> None:
        """Without an encoding the client asks for base64 and takes numbers as well."""
        texts = ["A cat sits on the mat.", "The weather in Oslo.", "A cat sits on the mat."]
        answer = client.embeddings.create(
            model=openai_target.embedding,
            input=texts,
            encoding_format="float" if encoding else openai.omit,
        )
        first, other, again = (entry.embedding for entry in answer.data)
        assert [entry.index for entry in answer.data] == [0, 1, 2]
        assert len(first) == len(other) >= 8
        assert first == again != other
        assert all(math.isfinite(number) for number in first)
        assert answer.model == openai_target.embedding
        assert answer.usage.prompt_tokens > 0

    def test_an_unknown_model_is_named(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="no-such-model", messages=QUESTION)
        assert caught.value.code == "model_not_found"
        assert caught.value.type == "invalid_request_error"
        assert "no-such-model" in caught.value.message

    def test_a_wrong_key_is_refused(self, openai_target: Target) -> None:
        with openai_target.client("sk-not-ours") as client, pytest.raises(openai.AuthenticationError) as caught:
            client.models.list()
        assert caught.value.code == "invalid_api_key"
        assert "sk-not-ours" not in caught.value.message

    def test_no_key_is_refused(self, openai_target: Target) -> None:
        with openai_target.client() as client, pytest.raises(openai.AuthenticationError):
            client.models.list(extra_headers={"Authorization": openai.omit})

    def test_a_key_beyond_its_limit_has_to_wait(self, openai_target: Target) -> None:
        def ask_until_refused(client: openai.OpenAI) -> None:
            for _number in range(4):
                client.chat.completions.create(model=openai_target.chat, messages=QUESTION, max_tokens=1)

        with openai_target.client(openai_target.limited_key) as client, pytest.raises(openai.RateLimitError) as caught:
            ask_until_refused(client)
        assert caught.value.code == "rate_limit_exceeded"
        assert 0 < int(caught.value.response.headers["retry-after"]) <= 60

    def test_a_body_that_is_no_json_is_refused(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError):
            client.post("/chat/completions", content=b'{"model":', cast_to=object)

    def test_an_unknown_route_is_an_api_error(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.APIStatusError) as caught:
            client.get("/no/such/route", cast_to=object)
        assert caught.value.status_code == 404
