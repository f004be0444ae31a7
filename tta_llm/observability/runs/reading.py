"""Runs as trees of spans, with the figures that lists, pictures and sums go by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tta_llm.observability import names
from tta_llm.observability.runs.figures import NO_FIGURES, Figures
from tta_llm.observability.runs.spans import RunState, SpanRecord

__all__ = ["Run", "SpanNode"]


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
    figures: Figures = NO_FIGURES
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
    inner = [child.figures for child in children if child.figures is not NO_FIGURES]
    below = sum(inner[1:], inner[0]) if inner else NO_FIGURES
    own = record.figures
    is_counted = bool(own.calls) and not below.calls
    if own.calls and not is_counted:
        own = replace(own, calls=0, input_tokens=0, output_tokens=0, cost_usd=None, unknown_costs=0)
    if own is NO_FIGURES or below is NO_FIGURES:
        return SpanNode(record, children, below if own is NO_FIGURES else own, is_counted)
    return SpanNode(record, children, own + below, is_counted)
