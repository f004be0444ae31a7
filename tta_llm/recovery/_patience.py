"""Whether, and after which wait, a call that failed is made again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import tenacity

from tta_llm.core._paths import note_once
from tta_llm.core.context import WorkflowContext
from tta_llm.observability import tell
from tta_llm.recovery._hints import retry_after
from tta_llm.recovery.retry_budget import RetryBudget

__all__ = ["Patience", "error_of"]


@dataclass(slots=True, kw_only=True)
class Patience:
    """What tenacity asks between the tries of one call.

    Its older releases ask whether to stop before they ask how long to wait, newer ones after it; so
    the wait is drawn once for each try, whoever asks first.
    """

    target: str
    retries: int
    backoff: Callable[[tenacity.RetryCallState], float]
    jitter: float
    until: float
    budget: RetryBudget
    is_counted: bool
    context: WorkflowContext
    _drawn: tuple[int, float] = field(default=(0, 0.0), init=False)

    def wait(self, state: tenacity.RetryCallState) -> float:
        """Give the seconds before the next try."""
        if self._drawn[0] != state.attempt_number:
            self._drawn = (state.attempt_number, self._draw(state))
        return self._drawn[1]

    def _draw(self, state: tenacity.RetryCallState) -> float:
        error, backoff = error_of(state), self.backoff(state)
        asked = None if error is None else retry_after(error)
        if asked is None or asked <= backoff:
            return backoff
        return asked + random.uniform(0, self.jitter)  # noqa: S311  # nobody attacks a wait

    def is_over(self, state: tenacity.RetryCallState) -> bool:
        """Tell whether it is given up, and note on the error why."""
        error, tries = error_of(state), state.attempt_number
        is_last = tries > self.retries
        reason = None if is_last else self._objection(self.wait(state))
        if not is_last and reason is None:
            tell("retry", self.target, reason="result" if error is None else type(error).__name__)
            return False
        if error is not None and reason is not None:
            note_once(error, f"not tried again: {reason}")
        return True

    def _objection(self, wait: float) -> str | None:
        remaining, now = self.context.remaining_seconds(), self.context.clock.now()
        if remaining is not None and wait >= remaining:
            return f"that takes a wait of {wait:.3g} s, and {remaining:.3g} s are left"
        if now + wait > self.until:
            left = max(0.0, self.until - now)
            return f"that takes a wait of {wait:.3g} s, and {left:.3g} s are left for all tries"
        if not self.budget.withdraw(self.context.clock, counted=self.is_counted):
            tell("retry_refused", self.target)
            return f"the retry budget of {self.budget.name!r} is used up"
        return None


def error_of(state: tenacity.RetryCallState) -> BaseException | None:
    """Give the error of the latest try; None when it gave a result."""
    return None if state.outcome is None else state.outcome.exception()
