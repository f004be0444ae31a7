"""What is left of a request's limits, as attributes of a span."""

from __future__ import annotations

from tta_llm.core.context import WorkflowContext
from tta_llm.observability import names

__all__ = ["limits_left"]


def limits_left(context: WorkflowContext) -> dict[str, float]:
    """Give what is left of the time and of the budget, for those that have a limit."""
    left: dict[str, float | None] = {names.DEADLINE_LEFT: context.remaining_seconds()}
    if context.budget is not None:
        remaining = context.budget.remaining
        left[names.BUDGET_LEFT_USD] = remaining.dollars
        left[names.BUDGET_LEFT_TOKENS] = remaining.tokens
        left[names.BUDGET_LEFT_CALLS] = remaining.calls
    return {name: figure for name, figure in left.items() if figure is not None}
