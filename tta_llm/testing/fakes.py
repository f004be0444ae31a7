"""A chat model and an embedder for tests: no key, no network, the same every time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from tta_llm.core import WorkflowContext
from tta_llm.errors import ConnectionFailedError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Message,
    StreamEvent,
    TextDelta,
    Usage,
    assistant,
    events_of,
)
from tta_llm.providers import ChatModel, Embedder, ModelInfo, Price, Timeouts, Vectors

__all__ = ["FakeAnswer", "FakeChatModel", "FakeEmbedder"]

FakeAnswer: TypeAlias = str | Message | ChatResponse | Exception
"""What a fake can be told to answer; an exception is raised."""


class FakeChatModel(ChatModel):
    """A chat model that says what it is told to.

    It goes through the same checks, budgets and ledgers as a real one. A token is a word: the usage
    counts the words of all messages as input and those of the answer as output. Streams come word
    by word.

    Args:
        responses: The answer to each call; or a sequence of answers, one a call; or a function of
            the ChatRequest. An answer is a text, a Message, a whole ChatResponse, or an exception
            to raise.
        model: What it is called.
        provider: Who it plays.
        delay: Seconds before it answers, on the context's clock.
        word_delay: Seconds before each word of a stream but the first.
        break_after: Break the stream's connection after so many words.
        price: What its tokens cost; without it `cost_usd` is None.
        info: Its limits.
        timeouts: How long it may take.
        max_tokens: The longest answer that a budget sets aside; nothing is cut.
        reasks: How often to ask again when an answer doesn't fit the `response_format`.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.testing import FakeChatModel

        model = FakeChatModel(["Paris.", "Rome."])
        assert model.run("Capital of France?").text == "Paris."
        assert model.run("Capital of Italy?").text == "Rome."
        assert model.call_count == 2 and model.calls[1].messages[0].text == "Capital of Italy?"
        ```
    """

    # Whoever tests where the marks stand finds them in `calls`.
    options: frozenset[str] = ChatModel.options | {"cache"}

    def __init__(
        self,
        responses: FakeAnswer
        | Sequence[FakeAnswer]
        | Callable[[ChatRequest], FakeAnswer] = "A fake answer.",
        *,
        model: str = "fake",
        provider: str = "fake",
        delay: float = 0.0,
        word_delay: float = 0.0,
        break_after: int | None = None,
        price: Price | None = None,
        info: ModelInfo | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        reasks: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(
            model,
            provider=provider,
            price=price,
            info=info,
            timeouts=timeouts,
            max_tokens=max_tokens,
            reasks=reasks,
            name=name,
        )
        self._responses = responses
        self._delay, self._word_delay, self._break_after = delay, word_delay, break_after
        self.calls: list[ChatRequest] = []

    @property
    def call_count(self) -> int:
        """How often it was asked, streams included."""
        return len(self.calls)

    def _served_at(self) -> str:
        return "fake:"

    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        self.calls.append(request)
        await _pause(self._delay, context)
        return self._response(request, self._answer(request))

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        self.calls.append(request)
        await _pause(self._delay, context)
        words = 0
        for event in _by_words(self._response(request, self._answer(request))):
            if isinstance(event, TextDelta):
                if words == self._break_after:
                    raise ConnectionFailedError("the fake connection broke, as it was told to")
                await _pause(self._word_delay if words else 0.0, context)
                words += 1
            yield event

    def _answer(self, request: ChatRequest) -> FakeAnswer:
        told = self._responses
        if isinstance(told, (str, Message, ChatResponse, Exception)):
            return told
        if callable(told):
            return told(request)
        if self.call_count > len(told):
            raise AssertionError(
                f"FakeChatModel was given {len(told)} responses and is asked for one more: "
                "give it more, or a function"
            )
        return told[self.call_count - 1]

    def _response(self, request: ChatRequest, answer: FakeAnswer) -> ChatResponse:
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, ChatResponse):
            return answer
        message = assistant(answer) if isinstance(answer, str) else answer
        read = sum(len(each.text.split()) for each in request.messages)
        return ChatResponse(
            message=message,
            finish_reason="tool_calls" if message.tool_calls else "stop",
            usage=Usage(read, len(message.text.split())),
            model=self.model,
            provider=self.provider,
        )


class FakeEmbedder(Embedder):
    """An embedder whose vectors come from a hash of the text: equal texts alike, others unrelated.

    Args:
        dimensions: How many numbers a vector has.
        model: What it is called; another name gives other vectors.
        batch_size: At most this many texts a call.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.testing import FakeEmbedder

        embedder = FakeEmbedder(dimensions=8)
        first, again, other = embedder.run(["a", "a", "b"])
        assert (first == again).all() and not (first == other).all()
        assert embedder.call_count == 1 and embedder.calls == [("a", "a", "b")]
        ```
    """

    def __init__(
        self,
        dimensions: int = 32,
        *,
        model: str = "fake-embedder",
        batch_size: int = 128,
        name: str | None = None,
    ) -> None:
        super().__init__(model=model, dimensions=dimensions, batch_size=batch_size, name=name)
        self.calls: list[tuple[str, ...]] = []

    @property
    def call_count(self) -> int:
        """How many batches it embedded."""
        return len(self.calls)

    async def _embed(
        self,
        texts: Sequence[str],
        context: WorkflowContext,
    ) -> Vectors:
        self.calls.append(tuple(texts))
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Vectors:
        seed = f"{self.model}\0{text}".encode()
        numbers = hashlib.shake_256(seed).digest(4 * self.dimensions)
        return np.frombuffer(numbers, "<u4").astype(np.float32) / np.float32(2**31) - np.float32(1)


def _by_words(response: ChatResponse) -> Iterator[StreamEvent]:
    for event in events_of(response):
        if isinstance(event, TextDelta):
            yield from (
                TextDelta(word) for word in re.findall(r"\s*\S+(?:\s+\Z)?|\s+\Z", event.text)
            )
        else:
            yield event


async def _pause(seconds: float, context: WorkflowContext) -> None:
    if seconds:
        await context.clock.sleep(seconds)
