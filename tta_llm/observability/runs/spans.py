"""A span as it is recorded, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tta_llm.observability import conventions, names
from tta_llm.observability.runs.figures import NO_FIGURES, Figures

__all__ = ["EventRecord", "RunState", "SpanRecord"]

RunState: TypeAlias = Literal["done", "failed", "cancelled", "unfinished"]

_HITS = frozenset(names.CACHE_ANSWERS) - {"miss"}
# What any figure comes from, beside events; most spans have none of it.
_FIGURED = frozenset(
    (
        conventions.MODEL,
        conventions.RESPONSE_MODEL,
        names.COST_UNKNOWN,
        names.CACHE,
        names.SAVED_USD,
        names.SAVED_SECONDS,
        names.ROUTE_SAVED_USD,
    )
)


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened during a span, such as `tta.retry`."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span as it was exported.

    ```python
    from tta_llm.observability.runs import SpanRecord

    span = SpanRecord("0af7", "b7ad", None, "chat gpt", 0, 2_500_000_000, {"tta.step": "writer"})
    assert (span.step, span.seconds, span.state) == ("writer", 2.5, "done")
    ```

    Args:
        parent_id: None on a run's first span here; that it has a parent in another process, a
            caller's, is not told.
        end_ns: Of a span that has not ended: the last that is known of it.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[EventRecord, ...] = ()
    error: bool = False
    finished: bool = True

    def text(self, attribute: str) -> str:
        """Give an attribute's text; without it, an empty one."""
        value = self.attributes.get(attribute)
        return "" if value is None else str(value)

    def number(self, attribute: str) -> float:
        """Give an attribute's number; without it, or when it is none, 0."""
        value = self.attributes.get(attribute)
        return value if isinstance(value, (int, float)) else 0

    @property
    def step(self) -> str:
        """The name of the primitive."""
        return self.text(names.PRIMITIVE_NAME) or self.name

    @property
    def seconds(self) -> float:
        """How long it took, or was seen to take."""
        return max(0, self.end_ns - self.start_ns) / 1e9

    @property
    def state(self) -> RunState:
        """How it ended."""
        if not self.finished:
            return "unfinished"
        if self.error:
            return "failed"
        return "cancelled" if self.attributes.get(names.CANCELLED) else "done"

    @property
    def model(self) -> str:
        """The model that was asked, when it is a model's or an embedder's call."""
        return self.text(conventions.MODEL) or self.text(conventions.RESPONSE_MODEL)

    @property
    def provider(self) -> str:
        """Whose model it is."""
        return self.text(conventions.PROVIDER)

    @property
    def cache(self) -> str:
        """How a cache answered: `hit`, `stale`, `coalesced`, `miss`, or nothing."""
        return self.text(names.CACHE)

    @property
    def figures(self) -> Figures:
        """What it says of itself, without the spans inside it."""
        if not self.events and _FIGURED.isdisjoint(self.attributes):
            return NO_FIGURES
        calls = int(bool(self.model))
        cost = self.attributes.get(names.COST) if calls else None
        known = cost if isinstance(cost, (int, float)) else None
        read = int(self.number(conventions.INPUT_TOKENS)) if calls else 0
        written = int(self.number(conventions.OUTPUT_TOKENS)) if calls else 0
        # One that failed, or that a model on this machine answered, tells of no tokens.
        is_unpriced = self._is_unpriced or (known is None and read + written > 0)
        return Figures(
            calls,
            read,
            written,
            known,
            int(is_unpriced),
            self._count("tta.retry"),
            self._count("tta.fallback"),
            int(self.cache in _HITS),
            self.number(names.SAVED_USD),
            self.number(names.SAVED_SECONDS),
            self.number(names.ROUTE_SAVED_USD),
        )

    @property
    def _is_unpriced(self) -> bool:
        return bool(self.attributes.get(names.COST_UNKNOWN))

    def _count(self, event: str) -> int:
        return sum(each.name == event for each in self.events)
