"""Ask a pipeline all questions at once, and keep what each gave."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias, TypeVar

from tta_llm.core import BatchItem, WorkflowContext, WorkflowPrimitive
from tta_llm.rag.evaluation.cases import EvaluationCase

__all__ = ["OnCase", "ask_all", "told"]

T = TypeVar("T")

OnCase: TypeAlias = Callable[[int, int], object]
"""Is told after each case how many are done, and how many there are."""


async def ask_all(
    pipeline: WorkflowPrimitive[str, T],
    cases: Sequence[EvaluationCase],
    *,
    context: WorkflowContext | None,
    max_concurrency: int,
    on_case: OnCase | None,
) -> AsyncGenerator[tuple[EvaluationCase, BatchItem[T]], None]:
    """Yield each case with its outcome, in the order of the cases."""
    outcomes = pipeline.batch(
        [case.question for case in cases], context, max_concurrency=max_concurrency, ordered=True
    )
    async with aclosing(outcomes):
        async for outcome in outcomes:
            yield cases[outcome.index], outcome
            if on_case is not None:
                on_case(outcome.index + 1, len(cases))


def told(error: Exception) -> str:
    """Write an error on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
