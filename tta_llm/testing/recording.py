"""Recorded runs: what went over the model boundary, written once and served again offline."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tta_llm.core import WorkflowContext
from tta_llm.errors import ProviderError, TTAError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Finish,
    StreamEvent,
    events_of,
    fold,
)
from tta_llm.providers import ChatModel, Price
from tta_llm.testing._nearest import difference, nearest
from tta_llm.testing._recorded import (
    JSON,
    canonical,
    error_from,
    error_json,
    event_from,
    events_json,
    request_json,
)

__all__ = ["RecordingModel", "ReplayModel", "UnrecordedRequestError", "record", "replay"]

_SCHEMA = 1


class UnrecordedRequestError(TTAError, LookupError):
    """A replayed model was asked what its recording doesn't hold."""


def record(model: ChatModel, path: str | Path) -> RecordingModel:
    """Give a model that asks the real one and writes down what was asked and answered.

    An existing file is replaced. Each line is JSON: the first tells whose recording it is, each of
    the others a request with the events of its answer, or the provider's error. Keys of models in
    this process, and environment variables named like keys, are masked; all else that was said
    stands there in plain text. A stream that its reader left early isn't recorded.

    Example:
        ```python
        from tta_llm.testing import FakeChatModel, record, replay

        recorded = record(FakeChatModel("Paris."), "capitals.jsonl")
        assert recorded.run("Capital of France?").text == "Paris."
        assert replay("capitals.jsonl").run("Capital of France?").text == "Paris."
        ```
    """
    return RecordingModel(model, path)


def replay(path: str | Path) -> ReplayModel:
    """Give a model that answers as the recording does, without network and key.

    A request that was recorded several times gets its answers in their order, and the last one from
    then on. A stream comes in the pieces it was recorded in, and a call that was recorded plain can
    be streamed too.

    Raises:
        FileNotFoundError: When there is no such recording.
        ValueError: When it isn't one.
    """
    return ReplayModel(path)


class RecordingModel(ChatModel):
    """What `record` gives."""

    def __init__(self, model: ChatModel, path: str | Path) -> None:
        super().__init__(
            model.model,
            provider=model.provider,
            price=model.price,
            info=model.info,
            timeouts=model.timeouts,
            max_tokens=model.max_tokens,
            reasks=model.reasks,
            name=model.name,
        )
        self.options: frozenset[str] = model.options
        self.tokens_within_budget: int = model.tokens_within_budget
        self._inner, self._path, self._lock = model, Path(path), threading.Lock()
        self._path.write_text(_line(_head(model)), "utf-8")

    def _served_at(self) -> str:
        return "recording:"

    async def aclose(self) -> None:
        """Close the connections of the recorded model."""
        await self._inner.aclose()

    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        try:
            response = await self._inner._complete(request, context)  # noqa: SLF001  # the boundary
        except ProviderError as error:
            self._write(request, [], error)
            raise
        self._write(request, list(events_of(response)))
        return response

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        events: list[StreamEvent] = []
        try:
            async with aclosing(self._inner._stream(request, context)) as stream:  # noqa: SLF001
                async for event in stream:
                    events.append(event)
                    # Written before it is passed on: nobody reads on after the end.
                    if isinstance(event, Finish):
                        self._write(request, events)
                    yield event
        except ProviderError as error:
            self._write(request, events, error)
            raise

    def _write(
        self, request: ChatRequest, events: list[StreamEvent], error: ProviderError | None = None
    ) -> None:
        told: JSON = {"request": request_json(request), "events": events_json(events)}
        if error is not None:
            told["error"] = error_json(error)
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(_line(told))


class ReplayModel(ChatModel):
    """What `replay` gives."""

    def __init__(self, path: str | Path) -> None:
        head, *calls = _read(Path(path))
        price = None if head["price"] is None else Price(**_price(head["price"]))
        super().__init__(
            head["model"],
            provider=head["provider"],
            price=price,
            max_tokens=head["max_tokens"],
            reasks=head["reasks"],
        )
        self._path = Path(path)
        self._requests = [call["request"] for call in calls]
        self._answers: dict[str, list[JSON]] = {}
        for call in calls:
            self._answers.setdefault(canonical(call["request"]), []).append(call)

    def _served_at(self) -> str:
        return "recording:"

    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        return fold(self._events(request))

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        for event in self._events(request):
            yield event

    def _events(self, request: ChatRequest) -> Iterator[StreamEvent]:
        call = self._next(request_json(request))
        for told in call["events"]:
            yield event_from(told)
        if "error" in call:
            raise error_from(call["error"])

    def _next(self, request: JSON) -> JSON:
        answers = self._answers.get(canonical(request))
        if answers is None:
            raise UnrecordedRequestError(self._refusal(request))
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _refusal(self, request: JSON) -> str:
        again = "record it again with record()"
        if (place := nearest(request, self._requests)) is None:
            return f"the recording {self._path} is empty: {again}"
        differs = "; ".join(difference(self._requests[place], request))
        return (
            f"the recording {self._path} has no answer to this request. The nearest one, in line "
            f"{place + 2}, differs in {differs}: change the request, or {again}"
        )


def _head(model: ChatModel) -> JSON:
    return {
        "recording": _SCHEMA,
        "provider": model.provider,
        "model": model.model,
        "max_tokens": model.max_tokens,
        "price": None if model.price is None else asdict(model.price),
        "reasks": model.reasks,
    }


def _line(told: JSON) -> str:
    return json.dumps(told, ensure_ascii=False) + "\n"


def _read(path: Path) -> list[Any]:
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except ValueError as error:
        raise ValueError(f"{path} is no recording: a line of it is no JSON") from error
    schema = lines[0].get("recording") if lines and isinstance(lines[0], dict) else None
    if schema != _SCHEMA:
        raise ValueError(
            f"{path} is no recording that this release reads (its schema is {schema!r}, not "
            f"{_SCHEMA}): record it again"
        )
    return lines


def _price(told: JSON) -> JSON:
    above = tuple((start, Price(**_price(price))) for start, price in told["above"])
    return told | {"above": above}
