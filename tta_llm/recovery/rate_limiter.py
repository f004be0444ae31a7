"""How many requests and tokens a target gets in a minute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from tta_llm.core._checks import positive
from tta_llm.core.context import WorkflowContext
from tta_llm.errors import CallRefusedError, RateLimitExceededError
from tta_llm.messages import RateLimits
from tta_llm.observability import tell, tell_wait
from tta_llm.recovery._bucket import Bucket
from tta_llm.recovery._hints import retry_after
from tta_llm.recovery._rate_hints import (
    is_per_minute,
    is_rate_limit,
    limits_of,
    seconds_until_some,
    status_of,
    used_by,
)
from tta_llm.recovery._rate_line import Permit, RateLine, Waiter

__all__ = ["RateLimiter"]

_LONGEST_BACKOFF_SECONDS = 60.0


class RateLimiter(RateLine):
    """How many requests and tokens a target gets in a minute; calls beyond that wait in line.

    Turns go strictly to who came first: small calls don't overtake a large one. A call of more
    tokens than may be sent at once waits until all of those may be, and the next one waits longer
    for it. A call whose turn would come after its deadline, or after `max_wait_seconds`, is refused
    before it waits, and one in line when a pause makes its wait too long.

    The provider teaches it: rates that nobody gave, how much of them is left, and for how long
    nothing is. When it refuses a call (429), all pause for as long as it asks, or else for 1
    second, then 2, up to 60, as long as it goes on. Without any rate, that is all.

    Args:
        requests_per_minute: The rate of requests; learned when missing.
        tokens_per_minute: The rate of tokens, input and output together; learned when missing.
        burst_seconds: After a quiet time, what so many seconds allow is sent at once, and one
            request in any case.
        max_wait_seconds: No call waits longer; without it only deadlines bound the wait.
        name: What health, metrics and errors call it; the target's name when missing.

    Example:
        ```python
        from tta_llm.recovery import RateLimiter, RateLimitPrimitive
        from tta_llm.testing import FakeChatModel

        limiter = RateLimiter(requests_per_minute=3, burst_seconds=60)
        model = RateLimitPrimitive(FakeChatModel("Paris."), limiter)
        assert model.run("Capital of France?").text == "Paris."
        assert limiter.status() == "2 of 3 requests"
        ```
    """

    kind: ClassVar[str] = "rate limit"

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        burst_seconds: float = 10.0,
        max_wait_seconds: float | None = None,
        name: str | None = None,
    ) -> None:
        positive(burst_seconds, "burst_seconds")
        if max_wait_seconds is not None:
            positive(max_wait_seconds, "max_wait_seconds")
        self.max_wait_seconds = max_wait_seconds
        self._backoff_seconds = 0.0
        self._limited_at = -math.inf
        super().__init__(
            Bucket(_rate(requests_per_minute, "requests_per_minute"), burst_seconds),
            Bucket(_rate(tokens_per_minute, "tokens_per_minute"), burst_seconds),
            name=name,
        )

    @property
    def requests_per_minute(self) -> float | None:
        """The rate of requests, given or learned."""
        return self._requests.per_minute or None

    @property
    def tokens_per_minute(self) -> float | None:
        """The rate of tokens, given or learned."""
        return self._tokens.per_minute or None

    async def acquire(self, context: WorkflowContext, tokens: float = 0) -> Permit:
        """Take a permit, or wait in line for one; `succeeded` or `failed` ends it.

        Args:
            context: Its deadline bounds the wait.
            tokens: How many the call will take, as far as that is known.

        Raises:
            RateLimitExceededError: When the wait would be too long.
        """
        if (permit := self.try_acquire(context.clock, tokens)) is not None:
            return permit
        waiter, since = Waiter(context, tokens, self.max_wait_seconds), context.clock.now()
        if (permit := await self._in_line(waiter)) is None:
            tell("refused", self.name, reason="rate limit")
            raise self._refusal(waiter)
        tell_wait(self.name, "rate", context.clock.now() - since)
        return permit

    def succeeded(self, permit: Permit, answer: Any, *, age_seconds: float = 0.0) -> None:
        """End a call that was answered.

        Args:
            permit: What it holds.
            answer: May tell of its `usage`, without which what was taken for it stands, and of
                the provider's `rate_limits`.
            age_seconds: How long ago the provider said that of its limits.
        """
        used = used_by(answer) if self._tokens.per_second else None
        limits = getattr(answer, "rate_limits", None)
        with self._lock:
            if permit.tokens or used:
                self._settle(permit, used)
            else:
                self._requests.in_flight -= 1
            if self._backoff_seconds and permit.began > self._limited_at:
                self._backoff_seconds = 0.0
            if isinstance(limits, RateLimits):
                self._learn(limits, age_seconds, may_pause=True)

    def failed(self, permit: Permit, error: BaseException) -> None:
        """End a call that raised an error.

        What a server answered with an error took no tokens, and what another guard refused was
        never sent. Of a call that was cancelled, or whose connection broke, nobody knows: what was
        taken for it stands.
        """
        limited, asked, limits = is_rate_limit(error), retry_after(error), limits_of(error)
        unsent, answered = isinstance(error, CallRefusedError), (status_of(error) or 0) >= 400
        with self._lock:
            self._settle(permit, 0 if unsent or answered else None, sent=not unsent)
            if limits is not None:
                self._learn(limits, 0.0, may_pause=asked is None)
            if limited:
                self._back_off(permit, asked)
        if limited:
            tell("rate_limited", self.name)

    def learn(self, limits: RateLimits) -> None:
        """Believe what the provider says of its limits, but never that there is more than given."""
        with self._lock:
            self._learn(limits, 0.0, may_pause=True)

    def _settle(self, permit: Permit, used: float | None, *, sent: bool = True) -> None:
        """Put in the place of the estimate what was used; None when nobody knows."""
        now = self._clock.now()
        self._requests.settle(now, 1, 1 if sent else 0)
        self._tokens.settle(now, permit.tokens, permit.tokens if used is None else used)
        if used is not None:
            self._changed()

    def _learn(self, limits: RateLimits, age_seconds: float, *, may_pause: bool) -> None:
        now = self._clock.now()
        limit = limits.requests_limit if is_per_minute(limits) else None
        self._requests.learn(now, limit, limits.requests_remaining, age_seconds)
        self._tokens.learn(now, limits.tokens_limit, limits.tokens_remaining, age_seconds)
        if may_pause:
            self._pause(now, seconds_until_some(limits) - age_seconds)
        self._changed()

    def _back_off(self, permit: Permit, asked_seconds: float | None) -> None:
        """Pause. Calls that were under way when the last pause began tell nothing new."""
        now = self._clock.now()
        if asked_seconds is None and permit.began > self._limited_at:
            doubled = 2 * self._backoff_seconds or 1.0
            self._backoff_seconds = min(doubled, _LONGEST_BACKOFF_SECONDS)
        self._limited_at = now
        self._pause(now, (self._backoff_seconds or 1.0) if asked_seconds is None else asked_seconds)

    def _refusal(self, waiter: Waiter) -> RateLimitExceededError:
        wait = waiter.refused_seconds or 0.0
        rates = ((self._requests, "requests"), (self._tokens, "tokens"))
        told = [f"{each.per_minute:,g} {what} a minute" for each, what in rates if each.per_minute]
        if self._paused_until > waiter.clock.now():
            told.append("it asked for a pause")
        return RateLimitExceededError(
            f"{self.name!r} has a turn for this call in {wait:.3g} s ({', '.join(told)}), and it "
            f"may wait {waiter.allowed_seconds:.3g} s: give it more time, ask another target, or "
            "raise the limit if the provider allows more",
            retry_after=wait,
        )

    def readings(self) -> Mapping[str, float]:
        """What may be sent at once, how many calls wait, and for how long all do."""
        with self._lock:
            now = self._clock.now()
            told = {
                "rate_limit_waiting": float(len(self._line)),
                "rate_limit_paused_seconds": max(0.0, self._paused_until - now),
            }
            for bucket, what in ((self._requests, "requests"), (self._tokens, "tokens")):
                if bucket.per_minute:
                    told[f"rate_limit_{what}_available"] = max(0.0, bucket.available(now))
            return told

    def status(self) -> str:
        """What may be sent at once, how many calls wait, and for how long all do."""
        told = self.readings()
        rates = [
            f"{math.floor(left):,} of {math.floor(bucket.capacity):,} {what}"
            for bucket, what in ((self._requests, "requests"), (self._tokens, "tokens"))
            if (left := told.get(f"rate_limit_{what}_available")) is not None
        ]
        parts = [", ".join(rates) or "no limit known"]
        if self._line:
            parts.append(f"{len(self._line)} waiting")
        if (paused := told["rate_limit_paused_seconds"]) > 0:
            parts.append(f"paused for {paused:.3g} s")
        return "; ".join(parts)


def _rate(per_minute: Any, name: str) -> float | None:
    if per_minute is None or (isinstance(per_minute, (int, float)) and 0 < per_minute < math.inf):
        return per_minute
    raise ValueError(f"{name} is a number above 0, or None to learn it, not {per_minute!r}")
