"""A rate, and how much of it may be spent at once."""

from __future__ import annotations

import math

__all__ = ["Bucket"]

_MINUTE = 60.0


class Bucket:
    """Holds what a rate brings in some seconds, and is known by the moment when it is full again.

    That is the "generic cell rate algorithm" (ITU-T I.371): nobody has to fill it, taking from it
    is one addition, and the moment when there is enough for a call is known beforehand. One without
    a rate has enough for everything.

    Args:
        per_minute: What flows in; None until a provider tells it.
        burst_seconds: It holds what flows in so long, and no less than 1.
    """

    __slots__ = (
        "_burst_seconds",
        "_full_at",
        "capacity",
        "in_flight",
        "is_given",
        "per_minute",
        "per_second",
    )

    def __init__(self, per_minute: float | None, burst_seconds: float) -> None:
        self.is_given: bool = per_minute is not None
        self._burst_seconds = burst_seconds
        self._full_at = -math.inf
        self.per_minute: float = 0.0
        """What flows in; 0 stands for no limit."""
        self.per_second: float = 0.0
        self.capacity: float = 0.0
        self.in_flight: float = 0
        """What was taken for calls that are under way."""
        if per_minute is not None:
            self._set_rate(per_minute)

    def ready_at(self, amount: float) -> float:
        """Tell when there is enough; for what is more than it holds, when it is full."""
        if not self.per_second or not amount:
            return -math.inf
        spare = self.capacity - amount
        return self._full_at - spare / self.per_second if spare > 0 else self._full_at

    def try_take(self, now: float, amount: float) -> bool:
        """Take for a call, if there is enough."""
        # Each call comes here: that is why it doesn't call the others.
        if per_second := self.per_second:
            full_at, spare = self._full_at, self.capacity - amount
            if now < (full_at - spare / per_second if spare > 0 else full_at):
                return False
            since = full_at if full_at > now else now  # noqa: FURB136  # max() would cost a tenth
            self._full_at = since + amount / per_second
        self.in_flight += amount
        return True

    def take(self, now: float, amount: float) -> None:
        """Take for a call, although there may not be enough: then the bucket is in debt."""
        self.in_flight += amount
        if self.per_second:
            self._full_at = max(self._full_at, now) + amount / self.per_second

    def settle(self, now: float, taken: float, used: float) -> None:
        """Take more, or give back, when the call has ended."""
        self.in_flight -= taken
        if self.per_second and used != taken:
            self._full_at = max(self._full_at, now) + (used - taken) / self.per_second

    def available(self, now: float) -> float:
        """How much may be taken now; below 0 when it is in debt."""
        return self.capacity - max(0.0, self._full_at - now) * self.per_second

    def learn(
        self, now: float, limit: float | None, remaining: float | None, age_seconds: float
    ) -> None:
        """Believe a provider, but never that there is more than the user said."""
        if limit and not self.is_given and limit != self.per_minute:
            available = self.available(now) if self.per_second else math.inf
            self._set_rate(limit)
            self._lower(now, available)
        if remaining is not None and self.per_second:
            since_then = age_seconds * self.per_second
            self._lower(now, max(0.0, remaining + since_then - self.in_flight))

    def _set_rate(self, per_minute: float) -> None:
        self.per_minute, self.per_second = per_minute, per_minute / _MINUTE
        self.capacity = max(1.0, self.per_second * self._burst_seconds)
        self._full_at = -math.inf

    def _lower(self, now: float, available: float) -> None:
        self._full_at = max(self._full_at, now + (self.capacity - available) / self.per_second)
