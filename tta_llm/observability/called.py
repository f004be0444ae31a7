"""Which model is called, and with what parameters, as the GenAI conventions tell it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind

from tta_llm.messages import ChatRequest
from tta_llm.observability import conventions
from tta_llm.observability.spans import SpanDetails
from tta_llm.observability.telemetry import telemetry

__all__ = ["Called", "bounded", "labels_of", "request_attributes", "span_details"]

_HOMES = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com"}
_PORTS = {"http": 80, "https": 443}
# Parameters that a ChatRequest has no field for, by the names that most vendors have for them.
_EXTRA = {
    "frequency_penalty": conventions.FREQUENCY_PENALTY,
    "n": conventions.CHOICES,
    "presence_penalty": conventions.PRESENCE_PENALTY,
    "top_k": conventions.TOP_K,
}

# What stops an answer is short, but nothing here makes sure of it.
_MOST_STOPS, _LONGEST_STOP = 16, 100


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
    return SpanDetails(f"{operation} {model.model}", SpanKind.CLIENT, labels_of(operation, model))


def labels_of(operation: str, model: Called) -> dict[str, Any]:
    """Give what a call is known by, on its span and in metrics."""
    provider = model.provider
    return {
        conventions.OPERATION: operation,
        conventions.PROVIDER: conventions.PROVIDERS.get(provider, provider),
        conventions.MODEL: model.model,
        **_address(model._served_at() or _HOMES.get(provider, "")),  # noqa: SLF001 - of the same make
    }


def bounded(labels: dict[str, Any]) -> dict[str, Any]:
    """Give them as metrics may have them."""
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


def request_attributes(request: ChatRequest, *, streams: bool) -> dict[str, Any]:
    """Give the parameters that a request sets."""
    told = {
        conventions.MAX_TOKENS: request.max_tokens,
        conventions.TEMPERATURE: request.temperature,
        conventions.TOP_P: request.top_p,
        conventions.STOP: [each[:_LONGEST_STOP] for each in request.stop[:_MOST_STOPS]] or None,
        conventions.SEED: request.seed,
        conventions.REASONING: request.reasoning_effort,
        conventions.OUTPUT_TYPE: None if request.response_format is None else "json",
        conventions.STREAM: streams or None,
    }
    for field, name in _EXTRA.items():
        value = request.extra.get(field)
        told[name] = value if isinstance(value, (int, float)) else None
    return {name: value for name, value in told.items() if value is not None}
