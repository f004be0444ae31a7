"""Closing what a workflow holds open, when nobody asks it any more."""

from __future__ import annotations

from typing import Any

from tta_llm.core import WorkflowPrimitive

__all__ = ["close_steps"]


async def close_steps(*workflows: WorkflowPrimitive[Any, Any]) -> None:
    """Close the connections of all steps that have an `aclose`, such as models; each once.

    Raises:
        ExceptionGroup: When some could not be closed; the others are.
    """
    waiting, seen, problems = list(workflows), set[int](), list[Exception]()
    while waiting:
        step = waiting.pop()
        if id(step) in seen:
            continue
        seen.add(id(step))
        waiting += [inner for _, inner in step.children()]
        if (close := getattr(step, "aclose", None)) is not None:
            try:
                await close()
            except Exception as error:
                problems.append(error)
    if problems:
        raise ExceptionGroup("some steps could not be closed", problems)
