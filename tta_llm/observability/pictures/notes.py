"""What the page of a run says of a span, beside its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tta_llm.observability import names
from tta_llm.observability.runs import EventRecord, SpanNode, SpanRecord
from tta_llm.observability.runs.wording import dollars_told, seconds_told

__all__ = ["event_told", "failure", "happened", "notes"]

# OpenTelemetry's own names. The text is there where contents are captured.
_ERROR = "exception"
_ERROR_TEXT = "exception.message"


def notes(node: SpanNode) -> Iterator[str]:
    """Say what its step chose, what a cache and the recovery did, and why it ended early."""
    span = node.record
    if (attempt := span.number(names.ATTEMPT)) > 1:
        yield f"try {attempt:.0f}"
    if choice := span.text(names.CHOICE):
        yield f"took {choice}"
    if span.cache:
        yield f"cache {span.cache}"
    if saved := span.number(names.SAVED_USD) + span.number(names.ROUTE_SAVED_USD):
        yield f"saved {dollars_told(saved)}"
    for told, times in Counter(map(event_told, happened(span))).items():
        yield told if times == 1 else f"{told}, {times} times"
    if span.state == "failed":
        yield failure(node)


def happened(span: SpanRecord) -> list[EventRecord]:
    """Give the events, but for the error, of which more is told."""
    return [event for event in span.events if event.name != _ERROR]


def event_told(event: EventRecord) -> str:
    """Say what happened, such as "retry of search (ServerError)"."""
    told = event.name.removeprefix("tta.").replace("_", " ")
    if target := event.attributes.get(names.TARGET):
        told += f" of {target}"
    if reason := event.attributes.get("reason"):
        told += f" ({reason})"
    return told


def failure(node: SpanNode) -> str:
    """Say what error it was, and more of it at the span where it arose."""
    span = node.record
    kind = span.text(names.ERROR_TYPE) or "failed"
    if any(child.record.state == "failed" for child in node.children):
        return kind
    texts = [text for each in span.events if (text := each.attributes.get(_ERROR_TEXT))]
    left = " and ".join(_left(span))
    return f"{': '.join([kind, *map(str, texts)])}{f', {left} left' if left else ''}"


def _left(span: SpanRecord) -> Iterator[str]:
    known = span.attributes
    if names.DEADLINE_LEFT in known:
        yield seconds_told(max(0.0, span.number(names.DEADLINE_LEFT)))
    if names.BUDGET_LEFT_USD in known:
        yield dollars_told(span.number(names.BUDGET_LEFT_USD))
    if names.BUDGET_LEFT_TOKENS in known:
        yield f"{span.number(names.BUDGET_LEFT_TOKENS):,.0f} tokens"
    if names.BUDGET_LEFT_CALLS in known:
        yield f"{span.number(names.BUDGET_LEFT_CALLS):,.0f} calls"
