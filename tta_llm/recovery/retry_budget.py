"""How many retries and hedges a target is sent beyond its calls, so that an outage stays one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from tta_llm.core._checks import amount, is_number
from tta_llm.core.clock import Clock
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.recovery._guard import Guard

__all__ = ["RetryBudget"]

# Ten tenths are a little less than one in floats.
_ROUNDING = 1e-9


class RetryBudget(Guard):
    """A bucket of tokens: each call puts in a part of one, each retry or hedge takes one out.

    While a target fails, it so gets at most `ratio` more calls than it would without retries, once
    the `burst` is used up. The idea and the order of the figures are Finagle's and Envoy's (a fifth
    of the calls); "Addressing Cascading Failures" in Google's SRE book asks for a tenth.

    All that retry or hedge calls of the same target share one by default; where one of them is
    inside another, a call counts once. Pass the same object (`RetryPrimitive(…, retry_budget=…)`)
    to share it among several targets, and `RetryBudget.unlimited()` to do without.

    Args:
        ratio: Retries for each call, from 0 to 1.
        per_second: Retries for each second besides, so that what is seldom called can be retried.
        burst: How many the bucket holds; it begins full.
        name: What health and metrics call it; the target's name when missing.

    Example:
        ```python
        from tta_llm.core import SystemClock
        from tta_llm.recovery import RetryBudget

        budget = RetryBudget(ratio=0.5, per_second=0, burst=1)
        assert budget.withdraw(SystemClock()) and not budget.withdraw(SystemClock())
        budget.deposit(), budget.deposit()  # two calls
        assert budget.withdraw(SystemClock())
        ```
    """

    kind: ClassVar[str] = "retry budget"

    def __init__(
        self,
        *,
        ratio: float = 0.2,
        per_second: float = 0.1,
        burst: float = 100.0,
        name: str | None = None,
    ) -> None:
        if not (is_number(ratio) and 0 <= ratio <= 1):
            raise ValueError(f"ratio is from 0 to 1, such as 0.2 for a fifth, not {ratio!r}")
        amount(per_second, "retries per second")
        if burst != math.inf:
            amount(burst, "retries at once")
        self.ratio: float = ratio
        self.per_second: float = per_second
        self.burst: float = burst
        self._tokens = burst
        self._refilled_at: float | None = None
        super().__init__(name=name)

    @classmethod
    def unlimited(cls) -> Self:
        """Give one that never says no."""
        return cls(burst=math.inf)

    def counts(self, primitive: WorkflowPrimitive[Any, Any]) -> bool:
        """Tell whether a wrapper in there notes each call already, so that it is noted once."""
        while isinstance(primitive, WrapperPrimitive):
            if getattr(primitive, "retry_budget", None) is self:
                return True
            primitive = primitive.primitive
        return False

    def deposit(self) -> None:
        """Note a call."""
        # Most of the time the bucket is full, and a call costs no more than this look.
        if self._tokens < self.burst:
            with self._lock:
                self._tokens = min(self.burst, self._tokens + self.ratio)

    def withdraw(self, clock: Clock, *, counted: bool = False) -> bool:
        """Take out one retry or hedge, if there is one.

        Args:
            clock: Tells how much time has paid in since.
            counted: Whether what is taken out will be noted as a call (see `counts`): a retry is
                none, so the deposit is taken out with it.
        """
        with self._lock:
            self._clock = clock
            self._refill(clock.now())
            if self._tokens < 1 - _ROUNDING:
                return False
            self._tokens -= 1 + self.ratio if counted else 1
            return True

    def available(self) -> float:
        """How many retries or hedges there are now."""
        with self._lock:
            self._refill(self._clock.now())
            return max(0.0, self._tokens)

    def _refill(self, now: float) -> None:
        since = now if self._refilled_at is None else self._refilled_at
        self._tokens = min(self.burst, self._tokens + self.per_second * max(0.0, now - since))
        self._refilled_at = now

    def readings(self) -> Mapping[str, float]:
        """How many there are now."""
        return {"retry_budget_available": self.available()}

    def status(self) -> str:
        """How many there are now, of how many."""
        available = self.available()
        if available == math.inf:
            return "unlimited"
        return f"{math.floor(available + _ROUNDING)} of {self.burst:g} retries left"
