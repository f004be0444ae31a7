"""What calls of models used and cost, on their spans and in metrics."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import Span

from tta_llm.messages import (
    ChatRequest,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
    Usage,
)
from tta_llm.observability import conventions, names
from tta_llm.observability.called import Called, bounded, labels_of
from tta_llm.observability.harmless import harmless
from tta_llm.observability.telemetry import telemetry

__all__ = ["tell_usage"]

_USED = {
    conventions.INPUT_TOKENS: "input_tokens",
    conventions.OUTPUT_TOKENS: "output_tokens",
    conventions.CACHE_READ: "cached_input_tokens",
    conventions.CACHE_WRITE: "cache_write_tokens",
    conventions.REASONING_TOKENS: "reasoning_tokens",
}
_ALWAYS = {
    conventions.CHAT: (conventions.INPUT_TOKENS, conventions.OUTPUT_TOKENS),
    conventions.EMBEDDINGS: (conventions.INPUT_TOKENS,),
}
"""Those that stand on a span even when they are none."""
_TEXTS = (TextPart, ReasoningPart, ToolCall, ToolResult)


@harmless
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
        operation: `chat`, `embeddings` or `rerank`.
        model: Who was asked.
        request: What was asked.
        usage: The tokens; those that were guessed stand on the span only.
        cost_usd: None when the price is unknown.
        span: The call's. One span may cover several requests, whose figures add up.
    """
    labels, instruments = bounded(labels_of(operation, model)), telemetry().models
    if not usage.estimated:
        texts = all(isinstance(part, _TEXTS) for m in request.messages for part in m.parts)
        instruments.count_tokens(operation, usage, "text" if texts else "unknown", labels)
    known = telemetry().labels.bounded
    provider = known(names.PROVIDER, model.provider)
    instruments.count_dollars(provider, known(names.MODEL, model.model), cost_usd)
    if span.is_recording():
        span.set_attributes(_added(span, _used(operation, usage, cost_usd)))


def _used(operation: str, usage: Usage, cost_usd: float | None) -> dict[str, Any]:
    counts = {name: getattr(usage, field) for name, field in _USED.items()}
    always = _ALWAYS.get(operation, ())
    told: dict[str, Any] = {
        name: count for name, count in counts.items() if count or name in always
    }
    if usage.estimated:
        told[names.ESTIMATED] = True
    told |= {names.COST_UNKNOWN: True} if cost_usd is None else {names.COST: cost_usd}
    return told


def _added(span: Span, told: dict[str, Any]) -> dict[str, Any]:
    """Add what stands on the span already, as far as its SDK lets it be read."""
    before = getattr(span, "attributes", None) or {}
    return {
        name: value if value is True else value + before.get(name, 0)
        for name, value in told.items()
    }
