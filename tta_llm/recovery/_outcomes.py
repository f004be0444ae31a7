"""The latest outcomes of the calls of a target, and how many of them were what."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["FAILED", "GOOD", "SLOW", "Outcomes"]

GOOD, FAILED, SLOW = range(3)


class Outcomes:
    """The latest `size` outcomes, as far as they are no older than `seconds`.

    Each outcome comes and goes once, so a call costs the same whatever the size. Good ones are most
    of them, and cost least: only when they came is kept.
    """

    __slots__ = ("_added", "_counts", "_row", "_seconds", "_times", "_troubles")

    def __init__(self, size: int, seconds: float = math.inf) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=size)
        self._added = 0
        # Their numbers as they were added, from 1, and what they were.
        self._troubles: deque[tuple[int, int]] = deque()
        self._counts = [0, 0, 0]
        # How many failed one after the other, up to the latest that failed.
        self._row = 0

    def __len__(self) -> int:
        return len(self._times)

    def add(self, outcome: int, now: float) -> bool:
        """Take in the outcome of a call that ended now, and tell whether any is not good."""
        times = self._times
        times.append(now)
        self._added += 1
        if outcome:
            if outcome == FAILED:
                self._row = self._row + 1 if self._ends_with_failure(self._added - 1) else 1
            self._troubles.append((self._added, outcome))
            self._counts[outcome] += 1
        if self._troubles or times[0] < now - self._seconds:
            self.forget_old(now)
        return bool(self._troubles)

    def forget_old(self, now: float) -> None:
        """Drop what has become too old."""
        times, troubles, oldest = self._times, self._troubles, now - self._seconds
        while times and times[0] < oldest:
            times.popleft()
        while troubles and troubles[0][0] <= self._added - len(times):
            self._counts[troubles.popleft()[1]] -= 1

    def count(self, outcome: int) -> int:
        """How many were this; good ones are not counted."""
        return self._counts[outcome]

    def share(self, outcome: int) -> float:
        """Which part of them was this, from 0 to 1."""
        return self._counts[outcome] / len(self._times) if self._times else 0.0

    def failed_in_a_row(self) -> int:
        """How many of them failed since the latest that did not."""
        row = self._row if self._ends_with_failure(self._added) else 0
        return min(row, len(self._times))  # its oldest part may be forgotten

    def _ends_with_failure(self, number: int) -> bool:
        return bool(self._troubles) and self._troubles[-1] == (number, FAILED)
