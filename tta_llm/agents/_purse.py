"""What a run may still take, in money, tokens and time, and what it took."""

from __future__ import annotations

from tta_llm.agents._run import Run
from tta_llm.agents.agent_response import StopReason
from tta_llm.agents.limits import AgentLimits
from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import AllFailedError, BudgetExceededError, DeadlineExceededError
from tta_llm.messages import ChatResponse, Usage

__all__ = ["Purse"]

_REASONS: dict[str, StopReason] = {"dollars": "cost", "tokens": "tokens"}


class Purse:
    """The limits of one run, beside those of the request that it is a part of.

    Args:
        limits: Of the agent.
        run: What it took already, in another process perhaps.
        context: The request.
    """

    def __init__(self, limits: AgentLimits, run: Run, context: WorkflowContext) -> None:
        self._run, self._before = run, (run.usage, run.cost_usd)
        self._answers: list[tuple[Usage, float | None]] = []
        self._budget = _budget(limits, run)
        self.context: WorkflowContext = context.metered(context.data).child(
            timeout_seconds=limits.timeout_seconds, budget=self._budget
        )
        """The request, within the limits of the run."""
        mine = self.context.deadline != context.deadline
        self._deadline = self.context.deadline if mine else None

    def reason_of(self, error: Exception) -> StopReason | None:
        """Say which limit of the run an error tells of; None when it is about something else."""
        if isinstance(error, AllFailedError):
            reasons = {self.reason_of(each) for each in error.exceptions}
            return reasons.pop() if len(reasons) == 1 else None
        if isinstance(error, DeadlineExceededError):
            mine = self._deadline is not None and error.deadline == self._deadline
            return "time" if mine else None
        if isinstance(error, BudgetExceededError) and self._budget is not None:
            mine = any(error.meter is each for each in self._budget._accounts[0].meters)  # noqa: SLF001
            return _REASONS[error.meter.unit] if mine else None
        return None

    def note(self, answer: ChatResponse) -> None:
        """Take note of an answer; it counts where the step that gave it keeps no books."""
        self._answers.append((answer.usage, answer.cost_usd))

    def note_total(self) -> None:
        """Write into the run what it took so far."""
        usage, cost = self._before
        for model_usage, dollars in self._booked():
            usage += model_usage
            cost = None if cost is None or dollars is None else cost + dollars
        self._run.usage, self._run.cost_usd = usage, cost

    def _booked(self) -> list[tuple[Usage, float | None]]:
        models = self.context.usage.by_model.values()
        if not models:
            return self._answers
        return [(each.usage, None if each.unpriced_calls else each.cost_usd) for each in models]


def _budget(limits: AgentLimits, run: Run) -> Budget | None:
    """Give what is left of the run's own limits; None when it has none."""
    dollars, tokens = limits.max_cost_usd, limits.max_tokens
    if dollars is None and tokens is None:
        return None
    if dollars is not None:
        dollars = max(0.0, dollars - (run.cost_usd or 0.0))
    if tokens is not None:
        tokens = max(0, tokens - run.usage.total_tokens)
    return Budget(dollars=dollars, tokens=tokens)
