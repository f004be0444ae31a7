"""Models that stream exactly what a test says, and consumers that look at all of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import ConnectionFailedError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Finish,
    FinishReason,
    ResponseBuilder,
    StreamEvent,
    StreamRestart,
    TextDelta,
    Usage,
    UsageEvent,
    fold,
)
from tta_llm.providers import ChatModel, ModelInfo


def broken() -> ConnectionFailedError:
    return ConnectionFailedError("the connection broke")


def texts(*pieces: str) -> list[StreamEvent]:
    return [TextDelta(piece) for piece in pieces]


def end(reason: FinishReason = "stop") -> Finish:
    return Finish(finish_reason=reason, model="whoever", provider="scripted")


class Scripted(ChatModel):
    """Streams these events; an exception among them is raised.

    Args:
        name: What it is called.
        events: All of it; a finish is added where the last is neither an end nor an error.
        prefill: Whether it takes the beginning of its answer.
    """

    def __init__(self, name: str, *events: Any, prefill: bool = False, window: int = 1000) -> None:
        info = ModelInfo(context_window=window, prefill=prefill)
        super().__init__(name, provider="scripted", info=info, name=name)
        last = events[-1] if events else None
        self.events: list[Any] = [
            *events,
            *([] if isinstance(last, (Finish, Exception)) else [end()]),
        ]
        self.calls: list[ChatRequest] = []
        self.closed = 0

    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        events = [event async for event in self._stream(request, context)]
        return fold([UsageEvent(Usage(1, 1)), *events])

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        self.calls.append(request)
        try:
            for event in self.events:
                await context.clock.sleep(0)
                if isinstance(event, Exception):
                    raise event.with_traceback(None)
                yield event if not isinstance(event, Finish) else self._own(event)
        finally:
            self.closed += 1

    def _own(self, finish: Finish) -> Finish:
        return Finish(finish_reason=finish.finish_reason, model=self.model, provider="scripted")


@dataclass
class Reader:
    """Consumes a stream as a user interface does."""

    seen: list[Any] = field(default_factory=list)
    shown: str = ""
    answer: ChatResponse | None = None
    error: Exception | None = None

    @property
    def restarts(self) -> list[StreamRestart]:
        return [each for each in self.seen if isinstance(each, StreamRestart)]


async def read(
    workflow: WorkflowPrimitive[Any, Any], asked: Any = "Count.", context: Any = None
) -> Reader:
    """Read a stream of a model's events, however it ends."""
    reader, builder = Reader(), ResponseBuilder()
    try:
        async with aclosing(workflow.stream(asked, context or WorkflowContext())) as events:
            async for event in events:
                reader.seen.append(event)
                builder.add(event)
        reader.answer = builder.build()
    except Exception as error:
        reader.error = error
    reader.shown = builder.text
    return reader


def all_closed(models: Iterable[Scripted]) -> bool:
    return all(model.closed == len(model.calls) for model in models)
