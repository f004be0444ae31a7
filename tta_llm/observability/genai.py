"""What is told of a call of a model, by the GenAI conventions: on its span, and in metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from opentelemetry import trace

from tta_llm.errors import BudgetExceededError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Finish,
    StreamEvent,
    UsageEvent,
)
from tta_llm.observability import conventions, names
from tta_llm.observability.called import Called, bounded, labels_of, request_attributes
from tta_llm.observability.contents import Capture, Contents, as_json, shown
from tta_llm.observability.events import emit_details
from tta_llm.observability.harmless import harmless, log_failure
from tta_llm.observability.telemetry import configured, telemetry

__all__ = ["ModelCall", "model_call"]

_FINISH_REASONS = {"tool_calls": "tool_call"}
"""Those that the conventions call something else."""


class ModelCall:
    """One call of a model, told on the span that is current when it begins.

    Args:
        operation: `chat` or `embeddings`.
        model: Whom is asked.
        told: What else stands on the span.
        request: What is asked, where it may be shown.
    """

    def __init__(
        self,
        operation: str,
        model: Called,
        told: Mapping[str, Any],
        request: ChatRequest | None = None,
    ) -> None:
        self._instruments = telemetry().models
        self._operation = operation
        self._span = trace.get_current_span()
        self._capture = telemetry().capture
        if not self._span.is_recording():
            self._capture &= Capture.EVENT
        self._labels = bounded(labels_of(operation, model))
        self._begun = self._latest = time.perf_counter()
        self._told: dict[str, Any] = {}
        self._contents = Contents()
        self._said: dict[str, Any] = {}
        said = {}
        if request is not None and self._capture:
            said = shown(self._contents.asked, request.messages)
        self._tell(told, said)

    def _tell(self, told: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        """Put it on the span, contents only where they may stand there; keep it for the event."""
        self._told |= told
        self._said |= said
        if self._span.is_recording():
            self._span.set_attributes(told)
            if Capture.SPAN in self._capture:
                self._span.set_attributes(as_json(said))

    def __enter__(self) -> Self:
        return self

    @harmless
    def arrived(self, event: StreamEvent) -> None:
        """Measure when a piece of a stream came."""
        if isinstance(event, (UsageEvent, Finish)):
            return
        now, latest = time.perf_counter(), self._latest
        self._latest = now
        if latest == self._begun:
            self._instruments.first_chunk.record(now - latest, self._labels)
            self._span.set_attribute(conventions.FIRST_CHUNK, now - latest)
        else:
            self._instruments.per_chunk.record(now - latest, self._labels)

    @harmless
    def answered(self, response: ChatResponse) -> None:
        """Say what answered, and why it ended."""
        reason = _FINISH_REASONS.get(response.finish_reason, response.finish_reason)
        told: dict[str, Any] = {
            conventions.RESPONSE_MODEL: response.model,
            conventions.FINISH_REASONS: [reason],
        }
        if response.request_id is not None:
            told[conventions.RESPONSE_ID] = response.request_id
        said = {}
        if self._capture:
            said = shown(self._contents.answered, response.message, reason)
        self._tell(told, said)

    @harmless
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, BudgetExceededError):  # it was not sent
            return
        labels = self._labels
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            labels = {**labels, names.ERROR_TYPE: "cancelled"}
        elif error is not None:
            labels = {**labels, names.ERROR_TYPE: type(error).__qualname__}
        seconds = time.perf_counter() - self._begun
        self._instruments.durations[self._operation].record(seconds, labels)
        if Capture.EVENT in self._capture and self._said:
            emit_details({**labels, **self._told, **self._said}, self._span)


class _Unseen(ModelCall):
    """Stands for a call that nobody listens to."""

    def __init__(self) -> None:
        pass

    def arrived(self, event: StreamEvent) -> None:
        pass

    def answered(self, response: ChatResponse) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


_UNSEEN = _Unseen()


def model_call(
    operation: str,
    model: Called,
    told: Callable[[], Mapping[str, Any]],
    request: ChatRequest | None = None,
    *,
    streams: bool = False,
) -> ModelCall:
    """Give the block that a model is asked in; one that does nothing when nobody listens.

    Args:
        operation: `chat` or `embeddings`.
        model: Whom is asked.
        told: Gives what else is to stand on the span, when somebody listens.
        request: What is asked.
        streams: Whether the answer comes in pieces.
    """
    if not configured():
        return _UNSEEN
    try:
        asked = {} if request is None else request_attributes(request, streams=streams)
        return ModelCall(operation, model, {**told(), **asked}, request)
    except Exception as error:
        log_failure(error)
        return _UNSEEN
