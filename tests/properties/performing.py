"""Running a drawn workflow in virtual time, and comparing what comes of it with the reference."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Any

import pytest

from tests.properties.building import AnyPrimitive
from tests.properties.reference import Bad
from tta_llm import WorkflowContext
from tta_llm.testing import VirtualClock

TEXT = "ada"


async def outcome(work: Awaitable[Any]) -> Any:
    """Give the result, or the exception; whatever it is, nothing may be left running."""
    before = asyncio.all_tasks()
    try:
        result = await work
    except Exception as error:
        result = error
    left = asyncio.all_tasks() - before
    assert not left, f"left running: {left}"
    return result


async def streamed(workflow: AnyPrimitive, value: Any, context: WorkflowContext) -> Any:
    """Stream to the end and join the pieces, which are text if there are several."""
    async with aclosing(workflow.stream(value, context)) as stream:
        pieces = [piece async for piece in stream]
    return pieces[0] if len(pieces) == 1 else "".join(pieces)


def perform(
    workflow: AnyPrimitive,
    clock: VirtualClock,
    *,
    stream: bool = False,
    timeout: float | None = None,
) -> tuple[float, Any]:
    """Run once; give when it ended, and the result or the exception."""
    context = WorkflowContext(clock=clock, timeout_seconds=timeout)
    work = streamed(workflow, TEXT, context) if stream else workflow.execute(TEXT, context)
    result = clock.run(outcome(work))
    return clock.now(), result


def require_same(actual: tuple[float, Any], expected: tuple[float, Any]) -> None:
    require_same_result(actual[1], expected[1])
    assert actual[0] == pytest.approx(expected[0], abs=1e-6)


def require_same_result(actual: Any, expected: Any) -> None:
    if isinstance(expected, Bad):
        require_same_error(actual, expected)
    elif isinstance(expected, (list, tuple)):
        assert type(actual) is type(expected) and len(actual) == len(expected), (actual, expected)
        for one, other in zip(actual, expected, strict=True):
            require_same_result(one, other)
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        require_same_result(list(actual.values()), list(expected.values()))
    else:
        cause = actual if isinstance(actual, Exception) else None
        if cause is not None:
            raise AssertionError(f"expected {expected!r}, got {actual!r}") from cause
        assert actual == expected


def require_same_error(actual: Any, expected: Bad) -> None:
    if type(actual).__name__ != expected.kind:
        cause = actual if isinstance(actual, Exception) else None
        raise AssertionError(f"expected {expected}, got {actual!r}") from cause
    assert str(actual).startswith(expected.told)
    path, notes = told_by(actual)
    assert path == ", ".join(expected.path)
    assert notes == expected.notes
    parts = getattr(actual, "exceptions", ())
    assert len(parts) == len(expected.parts)
    for one, other in zip(parts, expected.parts, strict=True):
        require_same_error(one, other)


def told_by(error: BaseException) -> tuple[str, frozenset[str]]:
    """Give the path that is noted on an error, and its other notes without their figures."""
    notes = list(getattr(error, "__notes__", ()))
    paths = [note for note in notes if note.startswith("in ")]
    assert len(paths) <= 1, notes
    others = frozenset(
        note.partition(":")[0].replace("1 try", "1 tries") for note in notes if note not in paths
    )
    return paths[0].removeprefix("in ") if paths else "", others
