"""What runs cost, added up by model, provider, workflow or day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, TypeAlias

from tta_llm.observability import names
from tta_llm.observability.runs.figures import Figures
from tta_llm.observability.runs.reading import Run, SpanNode
from tta_llm.observability.runs.spans import SpanRecord

__all__ = ["NO_CALL", "CostBy", "costs"]

CostBy: TypeAlias = Literal["model", "provider", "workflow", "day"]

_SAVINGS = frozenset({names.SAVED_USD, names.SAVED_SECONDS, names.ROUTE_SAVED_USD})

NO_CALL = "(no call)"
"""What stands for the model and the provider of what a cache saved: none was called."""


def costs(runs: Iterable[Run], by: CostBy) -> dict[str, Figures]:
    """Add up calls and savings.

    ```python
    from tta_llm.observability.runs import Run, SpanRecord
    from tta_llm.observability.runs.costs import costs

    told = {"gen_ai.request.model": "gpt", "gen_ai.usage.input_tokens": 90, "tta.cost_usd": 0.01}
    run = Run.of([SpanRecord("0af7", "b7ad", None, "chat gpt", 0, 9, told)])
    assert costs([run, run], "model")["gpt"].cost_usd == 0.02
    ```

    Args:
        runs: What happened.
        by: A day is one of the place where this runs.

    Returns:
        The sums by their names, the dearest first; days in their order.
    """
    sums: dict[str, Figures] = {}
    for run in runs:
        for key, figures in _entries(run, by):
            sums[key] = sums.get(key, Figures()) + figures
    if by == "day":
        return dict(sorted(sums.items()))
    return dict(sorted(sums.items(), key=lambda each: (-(each[1].cost_usd or 0), each[0])))


def _entries(run: Run, by: CostBy) -> Iterator[tuple[str, Figures]]:
    for _, node in run.root.walk():
        span = node.record
        if node.is_counted:
            yield _key(run, span, by), span.figures
        elif not _SAVINGS.isdisjoint(span.attributes):
            yield _saver(run, node, by), span.figures.savings


def _key(run: Run, span: SpanRecord, by: CostBy) -> str:
    match by:
        case "model":
            return span.model
        case "provider":
            return span.provider or "(unknown)"
        case "workflow":
            return run.workflow
        case "day":
            return datetime.fromtimestamp(span.start_ns / 1e9).astimezone().date().isoformat()


def _saver(run: Run, node: SpanNode, by: CostBy) -> str:
    """Whose saving it is: a router's that of the model that it took."""
    if by in ("workflow", "day"):
        return _key(run, node.record, by)
    called = {_key(run, each.record, by) for _, each in node.walk() if each.is_counted}
    return called.pop() if len(called) == 1 else NO_CALL
