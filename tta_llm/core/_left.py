"""What is left of a request's time and budget, for spans."""

from __future__ import annotations

from tta_llm.core.context import WorkflowContext
from tta_llm.observability import names

__all__ = ["what_is_left"]


def what_is_left(context: WorkflowContext) -> dict[str, float]:
    """Give it as attributes of a span; what has no limit is left out."""
    left: dict[str, float | None] = {names.DEADLINE_LEFT: context.remaining_seconds()}
    if context.budget is not None:
        remaining = context.budget.remaining
        left[names.BUDGET_LEFT_USD] = remaining.dollars
        left[names.BUDGET_LEFT_TOKENS] = remaining.tokens
        left[names.BUDGET_LEFT_CALLS] = remaining.calls
    return {name: amount for name, amount in left.items() if amount is not None}
