"""What is told of a call of a model, by the GenAI conventions: on its span, and in metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from tta_llm.errors import BudgetExceededError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Finish,
    ReasoningPart,
    StreamEvent,
    TextPart,
    ToolCall,
    ToolResult,
    Usage,
    UsageEvent,
)
from tta_llm.observability import conventions, names
from tta_llm.observability.telemetry import SpanDetails, configured, telemetry

__all__ = ["Called", "ModelCall", "model_call", "span_details", "tell_usage"]

_HOMES = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com"}
_PORTS = {"http": 80, "https": 443}
_EXTRA = {
    "frequency_penalty": conventions.FREQUENCY_PENALTY,
    "n": conventions.CHOICES,
    "presence_penalty": conventions.PRESENCE_PENALTY,
    "top_k": conventions.TOP_K,
}
_FINISH_REASONS = {"tool_calls": "tool_call"}
"""Those that the conventions call something else."""
_USED = {
    conventions.INPUT_TOKENS: "input_tokens",
    conventions.OUTPUT_TOKENS: "output_tokens",
    conventions.CACHE_READ: "cached_input_tokens",
    conventions.CACHE_WRITE: "cache_write_tokens",
    conventions.REASONING_TOKENS: "reasoning_tokens",
}
_TEXTS = (TextPart, ReasoningPart, ToolCall, ToolResult)


class Called(Protocol):
    """A model, or what stands before one."""

    @property
    def model(self) -> str:
        """The model, as its provider names it."""
        ...

    @property
    def provider(self) -> str:
        """Who answers."""
        ...

    def _served_at(self) -> str | None: ...


def span_details(operation: str, model: Called) -> SpanDetails:
    """Name the span of a call as the conventions do, and say what a sampler may go by."""
    return SpanDetails(f"{operation} {model.model}", SpanKind.CLIENT, _labels(operation, model))


class ModelCall:
    """One call of a model, told on the span that is current when it begins.

    Args:
        operation: `chat` or `embeddings`.
        model: Whom is asked.
        told: What else stands on the span.
    """

    def __init__(self, operation: str, model: Called, told: Mapping[str, Any]) -> None:
        self._instruments = telemetry().models
        self._operation = operation
        self._span = trace.get_current_span()
        self._labels = _bounded(_labels(operation, model))
        self._begun = self._latest = time.perf_counter()
        if self._span.is_recording():
            self._span.set_attributes(told)

    def __enter__(self) -> Self:
        return self

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

    def answered(self, response: ChatResponse) -> None:
        """Say what answered, and why it ended."""
        if not self._span.is_recording():
            return
        reason = _FINISH_REASONS.get(response.finish_reason, response.finish_reason)
        told: dict[str, Any] = {
            conventions.RESPONSE_MODEL: response.model,
            conventions.FINISH_REASONS: [reason],
        }
        if response.request_id is not None:
            told[conventions.RESPONSE_ID] = response.request_id
        self._span.set_attributes(told)

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
    left: Mapping[str, Any],
    request: ChatRequest | None = None,
    *,
    streams: bool = False,
) -> ModelCall:
    """Give the block that a model is asked in; one that does nothing when nobody listens.

    Args:
        operation: `chat` or `embeddings`.
        model: Whom is asked.
        left: What is left of the request's time and budget.
        request: What is asked.
        streams: Whether the answer comes in pieces.
    """
    if not configured():
        return _UNSEEN
    asked = {} if request is None else _asked(request, streams=streams)
    return ModelCall(operation, model, {**left, **asked})


def tell_usage(
    operation: str,
    model: Called,
    request: ChatRequest,
    *,
    usage: Usage,
    cost_usd: float | None,
    span: Span,
) -> None:
    """Add what a call used and cost to its span and to the metrics.

    Args:
        operation: `chat` or `embeddings`.
        model: Who was asked.
        request: What was asked.
        usage: The tokens; those that were guessed stand on the span only.
        cost_usd: None when the price is unknown.
        span: The call's. One span may cover several requests, whose figures add up.
    """
    labels, instruments = _bounded(_labels(operation, model)), telemetry().models
    if not usage.estimated:
        texts = all(isinstance(part, _TEXTS) for m in request.messages for part in m.parts)
        instruments.count_tokens(operation, usage, "text" if texts else "unknown", labels)
    known = telemetry().labels.bounded
    provider = known(names.PROVIDER, model.provider)
    instruments.count_dollars(provider, known(names.MODEL, model.model), cost_usd)
    if span.is_recording():
        span.set_attributes(_added(span, _used(operation, usage, cost_usd)))


def _used(operation: str, usage: Usage, cost_usd: float | None) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(usage, field) for name, field in _USED.items()}
    told = {name: count for name, count in told.items() if count or name in _ALWAYS[operation]}
    if usage.estimated:
        told[names.ESTIMATED] = True
    told |= {names.COST_UNKNOWN: True} if cost_usd is None else {names.COST: cost_usd}
    return told


_ALWAYS = {
    conventions.CHAT: (conventions.INPUT_TOKENS, conventions.OUTPUT_TOKENS),
    conventions.EMBEDDINGS: (conventions.INPUT_TOKENS,),
}


def _added(span: Span, told: dict[str, Any]) -> dict[str, Any]:
    """Add what stands on the span already, as far as its SDK lets it be read."""
    before = getattr(span, "attributes", None) or {}
    return {
        name: value if value is True else value + before.get(name, 0)
        for name, value in told.items()
    }


def _labels(operation: str, model: Called) -> dict[str, Any]:
    provider = model.provider
    return {
        conventions.OPERATION: operation,
        conventions.PROVIDER: conventions.PROVIDERS.get(provider, provider),
        conventions.MODEL: model.model,
        **_address(model._served_at() or _HOMES.get(provider, "")),  # noqa: SLF001 - of the same make
    }


def _bounded(labels: dict[str, Any]) -> dict[str, Any]:
    known = telemetry().labels.bounded
    return {
        name: known(name, value) if isinstance(value, str) else value
        for name, value in labels.items()
    }


@lru_cache(maxsize=256)
def _address(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return {}
    if host is None:
        return {}
    return {conventions.SERVER_ADDRESS: host, conventions.SERVER_PORT: port or 443}


def _asked(request: ChatRequest, *, streams: bool) -> dict[str, Any]:
    told = {
        conventions.MAX_TOKENS: request.max_tokens,
        conventions.TEMPERATURE: request.temperature,
        conventions.TOP_P: request.top_p,
        conventions.STOP: list(request.stop) or None,
        conventions.SEED: request.seed,
        conventions.REASONING: request.reasoning_effort,
        conventions.OUTPUT_TYPE: None if request.response_format is None else "json",
        conventions.STREAM: streams or None,
    }
    for field, name in _EXTRA.items():
        value = request.extra.get(field)
        told[name] = value if isinstance(value, (int, float)) else None
    return {name: value for name, value in told.items() if value is not None}
