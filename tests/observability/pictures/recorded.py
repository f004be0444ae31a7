"""Workflows that were really run, as they are recorded."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.observability.recorder import Spans
from tta_llm import WorkflowPrimitive, step
from tta_llm.core._outline import outline_of
from tta_llm.observability.pictures.matching import Seen, match
from tta_llm.observability.runs import Run
from tta_llm.observability.runs.exporter import _record
from tta_llm.testing import MockPrimitive


def mock(name: str) -> MockPrimitive:
    return MockPrimitive(name=name)


@step
async def broken(data: Any) -> Any:
    raise ConnectionError("down")


def flaky(failures: int, name: str = "flaky") -> MockPrimitive:
    return MockPrimitive(values=[*[ConnectionError("down")] * failures, "well"], name=name)


def run_of(spans: Spans) -> Run:
    return Run.of(map(_record, spans))


def ran(spans: Spans, workflow: WorkflowPrimitive[Any, Any], data: Any = "in") -> Run:
    """Run it, whether it fails or not."""
    with contextlib.suppress(ConnectionError):
        workflow.run(data)
    return run_of(spans)


def seen(workflow: WorkflowPrimitive[Any, Any], run: Run) -> dict[str, Seen]:
    """What happened at each part, by kind, or by name where that is another."""
    outline = outline_of(workflow)
    parts = zip(outline.walk(), match(outline, run), strict=True)
    return {part.name: each for (_, part), each in parts}
