"""Whether a target is to blame for a call that raised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Blame"]

# A timer may fire this much before its time: the clock of Windows ticks every 15.6 ms (until Python
# 3.13), and uvloop rounds to 1 ms.
_EARLY_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Blame:
    """Judges by the error, and if the deadline ended the call, by the wait that it ended.

    With the time limit outside, such a call is cancelled, and that is all there is to see of a
    target that hangs. But it is no fault of the target when it got no time at all, or less than it
    may take; nor when the pieces of a long answer came until the end, each in less time than the
    first.
    """

    counts: Callable[[Exception], bool]
    """Which errors are the target's."""
    slow_seconds: float | None
    """How long it may take."""

    def falls_on_target(
        self,
        error: BaseException,
        now: float,
        *,
        waiting_since: float,
        deadline: float | None,
        first_took: float,
    ) -> bool:
        """Judge a call that raised now, after it waited for an answer or for a piece of it."""
        is_cancelled = isinstance(error, asyncio.CancelledError)
        if not is_cancelled and not (isinstance(error, Exception) and self.counts(error)):
            return False
        if deadline is None or deadline > now + _EARLY_SECONDS:
            return not is_cancelled
        if not is_cancelled and not isinstance(error, TimeoutError):
            return True
        patience = first_took if self.slow_seconds is None else self.slow_seconds
        return waiting_since < deadline and now - waiting_since >= patience
