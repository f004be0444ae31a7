"""Runs as trees of spans, with the figures that lists, pictures and sums go by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from tta_llm.observability import conventions, names
from tta_llm.observability.runs.figures import Figures

__all__ = ["EventRecord", "Run", "RunState", "SpanNode", "SpanRecord"]

RunState: TypeAlias = Literal["done", "failed", "cancelled", "unfinished"]

_HITS = frozenset(names.CACHE_ANSWERS) - {"miss"}


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
        return self._usage + Figures(
            retries=self._count("tta.retry"),
            fallbacks=self._count("tta.fallback"),
            cache_hits=int(self.cache in _HITS),
            cache_saved_usd=self.number(names.SAVED_USD),
            cache_saved_seconds=self.number(names.SAVED_SECONDS),
            route_saved_usd=self.number(names.ROUTE_SAVED_USD),
        )

    @property
    def _usage(self) -> Figures:
        if not self.model:
            return Figures()
        cost = self.attributes.get(names.COST)
        is_known = isinstance(cost, (int, float))
        used = Figures(
            calls=1,
            input_tokens=int(self.number(conventions.INPUT_TOKENS)),
            output_tokens=int(self.number(conventions.OUTPUT_TOKENS)),
            cost_usd=cost if is_known else None,
        )
        # One that failed, or that a model on this machine answered, tells of no tokens.
        is_unpriced = self._is_unpriced or (used.tokens > 0 and not is_known)
        return replace(used, unknown_costs=int(is_unpriced))

    @property
    def _is_unpriced(self) -> bool:
        return bool(self.attributes.get(names.COST_UNKNOWN))

    def _count(self, event: str) -> int:
        return sum(each.name == event for each in self.events)


@dataclass(frozen=True, slots=True)
class SpanNode:
    """A span and those begun inside it, in the order they were begun.

    Args:
        figures: Of the span and all inside it.
        is_counted: Whether the span is a call whose usage is in the figures: a call inside a call,
            as when a client's own instrumentation tells of it too, counts once.
    """

    record: SpanRecord
    children: tuple[SpanNode, ...] = ()
    figures: Figures = field(default_factory=Figures)
    is_counted: bool = False

    def walk(self) -> Iterator[tuple[int, SpanNode]]:
        """Give it and all inside it, each with how deep it lies, from the first to the last."""
        waiting = [(0, self)]
        while waiting:
            depth, node = waiting.pop()
            yield depth, node
            waiting += [(depth + 1, child) for child in reversed(node.children)]


@dataclass(frozen=True, slots=True)
class Run:
    """The spans of one trace, as a tree.

    ```python
    from tta_llm.observability.runs import Run, SpanRecord

    whole = SpanRecord("0af7", "b7ad", None, "answer", 0, 3_000_000_000)
    call = SpanRecord("0af7", "00f0", "b7ad", "chat gpt", 0, 2_000_000_000, {
        "gen_ai.request.model": "gpt", "gen_ai.usage.input_tokens": 90, "tta.cost_usd": 0.01,
    })
    run = Run.of([call, whole])
    assert (run.workflow, run.state, run.figures.tokens, run.figures.cost_usd) == (
        "answer", "done", 90, 0.01
    )
    ```

    Args:
        left_out: How many spans the store had no room for.
    """

    trace_id: str
    root: SpanNode
    left_out: int = 0

    @classmethod
    def of(cls, records: Iterable[SpanRecord], *, left_out: int = 0) -> Run:
        """Make the tree.

        Raises:
            ValueError: There is no span.
        """
        known = {record.span_id: record for record in records}
        if not known:
            raise ValueError("a run has at least one span, and there is none")
        latest = max(record.end_ns for record in known.values())
        inside: dict[str | None, list[SpanRecord]] = {}
        for record in sorted(known.values(), key=lambda each: each.start_ns):
            if not record.finished:
                record = replace(record, end_ns=latest)  # noqa: PLW2901 - the same span, told better
            parent = record.parent_id if record.parent_id in known else None
            inside.setdefault(parent, []).append(record)
        root = _only(inside.get(None, []), inside, latest)
        return cls(root.trace_id, _tree(root, inside), left_out)

    @property
    def workflow(self) -> str:
        """The workflow's id where the context has one, else the name of the first step."""
        return self.root.record.text(names.WORKFLOW_ID) or self.root.record.step

    @property
    def start_ns(self) -> int:
        """When it began, in nanoseconds since 1970."""
        return self.root.record.start_ns

    @property
    def seconds(self) -> float:
        """How long it took, or was seen to take."""
        return self.root.record.seconds

    @property
    def state(self) -> RunState:
        """How it ended."""
        return self.root.record.state

    @property
    def figures(self) -> Figures:
        """Of all its spans."""
        return self.root.figures


def _only(
    tops: list[SpanRecord], inside: dict[str | None, list[SpanRecord]], latest: int
) -> SpanRecord:
    """Give the one span that holds all others, made up where there is none.

    There is none when a caller's trace has several requests, or when the first span was lost.
    """
    firsts = [record for record in tops if record.parent_id is None]
    if len(firsts) == 1:
        (root,) = firsts
        inside.setdefault(root.span_id, []).extend(each for each in tops if each is not root)
        return root
    if not tops:  # each says that it is inside another: nobody records that, but a file may say it
        tops = [record for records in inside.values() for record in records]
        inside.clear()
    inside[""] = tops
    return SpanRecord(
        tops[0].trace_id,
        "",
        None,
        "trace",
        min(record.start_ns for record in tops),
        latest,
        finished=len(firsts) == len(tops) and all(record.finished for record in tops),
        error=any(record.error for record in tops),
    )


def _tree(root: SpanRecord, inside: Mapping[str | None, list[SpanRecord]]) -> SpanNode:
    """Build from the leaves up, without recursion: workflows may be nested deeply."""
    order = [root]
    for record in order:  # grows while it is walked: each span before those inside it
        order += inside.get(record.span_id, ())
    nodes: dict[str, SpanNode] = {}
    for record in reversed(order):
        children = tuple(nodes.pop(each.span_id) for each in inside.get(record.span_id, ()))
        nodes[record.span_id] = _node(record, children)
    return nodes[root.span_id]


def _node(record: SpanRecord, children: tuple[SpanNode, ...]) -> SpanNode:
    below = Figures()
    for child in children:
        below += child.figures
    own = record.figures
    is_counted = bool(own.calls) and not below.calls
    if own.calls and not is_counted:
        own = replace(own, calls=0, input_tokens=0, output_tokens=0, cost_usd=None, unknown_costs=0)
    return SpanNode(record, children, own + below, is_counted)
