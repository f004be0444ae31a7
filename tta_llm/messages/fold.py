"""How the pieces of a streamed answer add up, and how a whole one falls into pieces."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import Any, Literal

from tta_llm.errors import InvalidResponseError
from tta_llm.messages.events import (
    Finish,
    ProgressEvent,
    ReasoningDelta,
    StreamEvent,
    StreamRestart,
    TextDelta,
    ToolCallDelta,
    UsageEvent,
)
from tta_llm.messages.message import Message, joined
from tta_llm.messages.parts import Part, ReasoningPart, TextPart, ToolCall
from tta_llm.messages.response import UNKNOWN_USAGE, ChatResponse, Usage

__all__ = ["ResponseBuilder", "collect", "events_of", "fold", "parse_arguments"]


class ResponseBuilder:
    """Adds up a stream's events, and tells at any time what has arrived.

    Example:
        ```python
        from tta_llm.messages import Finish, ResponseBuilder, TextDelta

        builder = ResponseBuilder()
        for event in (TextDelta("Hel"), TextDelta("lo")):
            builder.add(event)
        assert builder.text == "Hello" and builder.finish is None
        builder.add(Finish(finish_reason="stop", model="m", provider="p"))
        assert builder.build().text == "Hello"
        ```
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self._blocks: list[_Block] = []
        self._calls: dict[int, _Block] = {}

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(block.text for block in self._blocks if block.kind == "text")

    @property
    def written(self) -> str:
        """All that the model wrote so far: text, reasoning and arguments of tools."""
        return "".join(block.text for block in self._blocks)

    def add(self, event: StreamEvent) -> None:
        """Take the next event.

        Raises:
            TypeError: When it is not an event.
        """
        match event:
            case TextDelta():
                self._open("text").pieces.append(event.text)
            case ReasoningDelta():
                self._add_reasoning(event)
            case ToolCallDelta():
                self._add_call(event)
            case UsageEvent():
                self.usage = event.usage
            case Finish():
                self.finish = event
            case StreamRestart():
                self._begin()
            case ProgressEvent():
                pass
            case _:
                raise TypeError(f"{type(event).__name__} is no stream event")

    def message(self) -> Message:
        """Give the message so far.

        Raises:
            InvalidResponseError: When a tool call has no name or its arguments are broken.
        """
        return Message("assistant", joined(block.part() for block in self._blocks))

    def build(self, raw: Any = None) -> ChatResponse:
        """Give the whole answer, with the provider's own when there is one.

        Raises:
            InvalidResponseError: When the Finish event is missing or a tool call is broken.
        """
        if (finish := self.finish) is None:
            raise InvalidResponseError(
                f"the stream ended without its finish event, after {len(self.written)} characters"
            )
        return ChatResponse(
            message=self.message(),
            finish_reason=finish.finish_reason,
            usage=UNKNOWN_USAGE if self.usage is None else self.usage,
            model=finish.model,
            provider=finish.provider,
            parsed=finish.parsed,
            cost_usd=finish.cost_usd,
            request_id=finish.request_id,
            failed_attempts=finish.failed_attempts,
            rate_limits=finish.rate_limits,
            cache_match=finish.cache_match,
            raw=raw,
        )

    def _open(self, kind: _Kind) -> _Block:
        """Give the last block if it is of this kind, else a new one."""
        if not self._blocks or self._blocks[-1].kind != kind:
            self._blocks.append(_Block(kind))
        return self._blocks[-1]

    def _add_reasoning(self, event: ReasoningDelta) -> None:
        block = self._open("reasoning")
        if block.signature is not None:
            block = _Block("reasoning")
            self._blocks.append(block)
        block.pieces.append(event.text)
        block.signature = event.signature

    def _add_call(self, event: ToolCallDelta) -> None:
        block = self._calls.get(event.index)
        if block is None:
            block = self._calls[event.index] = _Block("call")
            self._blocks.append(block)
        block.pieces.append(event.arguments)
        block.id = block.id or event.id
        block.name = block.name or event.name
        block.signature = block.signature or event.signature


_Kind = Literal["text", "reasoning", "call"]


class _Block:
    """One part of the message, in the pieces that it came in."""

    __slots__ = ("id", "kind", "name", "pieces", "signature")

    def __init__(self, kind: _Kind) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.id: str | None = None
        self.name: str | None = None
        self.signature: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def part(self) -> Part:
        if self.kind == "text":
            return TextPart(self.text)
        if self.kind == "reasoning":
            return ReasoningPart(self.text, self.signature)
        if not self.name or not self.id:
            raise InvalidResponseError("the stream holds a tool call without its name or id")
        return ToolCall(self.id, self.name, parse_arguments(self.text, self.name), self.signature)


def parse_arguments(text: str, tool: str) -> dict[str, Any]:
    """Read the JSON object that a model wrote as a tool's arguments; no text is no arguments.

    Raises:
        InvalidResponseError: When it is not a JSON object.
    """
    try:
        arguments = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise InvalidResponseError(
            f"the arguments of the call to {tool!r} are no JSON ({len(text)} characters)"
        ) from error
    if not isinstance(arguments, dict):
        raise InvalidResponseError(
            f"the arguments of the call to {tool!r} are {type(arguments).__name__}, not an object"
        )
    return arguments


def fold(events: Iterable[StreamEvent], raw: Any = None) -> ChatResponse:
    """Add up a stream's events to the response that a plain call gives.

    Args:
        events: All of them.
        raw: What the response is to keep as the provider's own.

    Raises:
        InvalidResponseError: When the Finish event is missing or a tool call is broken.

    Example:
        ```python
        from tta_llm.messages import Finish, TextDelta, fold

        end = Finish(finish_reason="stop", model="m", provider="p")
        assert fold([TextDelta("Hel"), TextDelta("lo"), end]).text == "Hello"
        ```
    """
    builder = ResponseBuilder()
    for event in events:
        builder.add(event)
    return builder.build(raw)


async def collect(events: AsyncIterable[StreamEvent]) -> ChatResponse:
    """Read a stream to its end and add up its events, as `fold` does.

    Raises:
        InvalidResponseError: When the Finish event is missing or a tool call is broken.
    """
    builder = ResponseBuilder()
    async for event in events:
        builder.add(event)
    return builder.build()


def events_of(response: ChatResponse) -> Iterator[StreamEvent]:
    """Give the events that add up to this response, one for each part of its message."""
    calls = 0
    for part in response.message.parts:
        match part:
            case TextPart():
                yield TextDelta(part.text)
            case ReasoningPart():
                yield ReasoningDelta(part.text, part.signature)
            case ToolCall():
                arguments = json.dumps(dict(part.arguments), ensure_ascii=False)
                yield ToolCallDelta(calls, arguments, part.id, part.name, part.signature)
                calls += 1
            case _:
                raise TypeError(f"a model's answer can't hold {type(part).__name__}")
    yield UsageEvent(response.usage)
    yield Finish(
        finish_reason=response.finish_reason,
        model=response.model,
        provider=response.provider,
        parsed=response.parsed,
        cost_usd=response.cost_usd,
        request_id=response.request_id,
        failed_attempts=response.failed_attempts,
        rate_limits=response.rate_limits,
        cache_match=response.cache_match,
    )
