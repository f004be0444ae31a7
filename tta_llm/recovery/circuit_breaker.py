"""The guard that leaves a target alone for a while after it failed too often."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from tta_llm.core._checks import at_least, is_number, positive
from tta_llm.core.clock import Clock
from tta_llm.errors import CircuitOpenError
from tta_llm.observability import tell
from tta_llm.recovery._blame import Blame
from tta_llm.recovery._circuit import STATES, Admission, Circuit, State
from tta_llm.recovery._guard import Guard
from tta_llm.recovery._mending import ErrorFilter, as_predicate, is_targets_fault
from tta_llm.recovery._outcomes import FAILED, GOOD, SLOW

__all__ = ["CircuitBreaker"]

_log = logging.getLogger("tta_llm.recovery")


class CircuitBreaker(Guard):
    """Refuses the calls of a target that fails or is slow too often, until trial calls succeed.

    Closed, it counts. It opens when the share of failures, or of slow calls, among the latest
    `window_calls` of the last `window_seconds` is too large, or too many of them failed one after
    the other. Open, it refuses at once. After `open_seconds` it is half open: `probes` calls are
    let through, and it closes when they all succeed, and opens again when one fails or too many are
    slow. A probe that has been under way for `open_seconds` gives up its place to another.

    Failures are what the target is to blame for: server errors, overload, lost connections,
    time-outs and broken answers, and calls that the deadline cut off while they waited for it. Not
    rate limits, which are a limiter's business, nor the caller's own errors and cancellations:
    these count neither way.

    Args:
        failure_rate: Opens at this share of failures, above 0 and up to 1. A target that fails
            three calls in ten is worth its retries; at 0.5 mere chance would open its circuit in
            one window of 21, at 0.75 it does in one of 23,000 (binomial, 20 calls a window).
        consecutive_failures: Opens when so many calls in a row failed, whatever the share; one
            that succeeded, slow or not, ends the row. After a healthy time an outage reaches 0.75
            of twenty calls with the fifteenth, and ten in a row with the tenth. A target that fails
            three calls in ten does that once in 240,000 calls (the chance is 0.7 * 0.3**10 a call).
            From `window_calls` on it makes no difference.
        slow_seconds: A success that took longer is slow (a stream: until its first piece). Once it
            is given, a wait that the deadline cut off earlier counts neither way.
        slow_rate: Opens at this share of slow calls, above 0 and up to 1.
        window_calls: So many of the latest calls are looked at.
        window_seconds: Calls that ended longer ago are not.
        minimum_calls: The shares say nothing as long as these are fewer.
        open_seconds: For how long it refuses all calls.
        probes: How many trial calls it lets through after that.
        counts: Which errors are failures of the target, in place of those above: exception types,
            or a function of the error.
        name: What health, metrics and errors call it; the target's name when missing.

    Example:
        ```python
        from tta_llm.recovery import CircuitBreaker, CircuitBreakerPrimitive
        from tta_llm.testing import MockPrimitive

        breaker = CircuitBreaker(minimum_calls=2, open_seconds=60)
        guarded = CircuitBreakerPrimitive(MockPrimitive(raises=ConnectionError, name="m"), breaker)
        for _ in range(2):
            try:
                guarded.run("a question")
            except ConnectionError:
                pass
        assert breaker.state == "open"
        print(breaker.status())  # open, 60 s until it is tried again; 2 of the last 2 calls failed
        ```
    """

    kind: ClassVar[str] = "circuit breaker"

    def __init__(
        self,
        *,
        failure_rate: float = 0.75,
        consecutive_failures: int = 10,
        slow_seconds: float | None = None,
        slow_rate: float = 0.8,
        window_calls: int = 20,
        window_seconds: float = 60.0,
        minimum_calls: int = 10,
        open_seconds: float = 30.0,
        probes: int = 3,
        counts: ErrorFilter | None = None,
        name: str | None = None,
    ) -> None:
        if at_least(1, minimum_calls, "minimum_calls") > at_least(1, window_calls, "window_calls"):
            raise ValueError(
                f"minimum_calls={minimum_calls} are never among the latest "
                f"window_calls={window_calls}: give a larger window or a smaller minimum"
            )
        if slow_seconds is not None:
            positive(slow_seconds, "slow_seconds")
        self._slow_seconds = slow_seconds
        self._blame = Blame(
            is_targets_fault if counts is None else as_predicate(counts), slow_seconds
        )
        self._circuit = Circuit(
            failure_rate=_rate(failure_rate, "failure_rate"),
            consecutive_failures=at_least(1, consecutive_failures, "consecutive_failures"),
            slow_rate=_rate(slow_rate, "slow_rate"),
            window_calls=window_calls,
            window_seconds=positive(window_seconds, "window_seconds"),
            minimum_calls=minimum_calls,
            open_seconds=positive(open_seconds, "open_seconds"),
            probes=at_least(1, probes, "probes"),
        )
        super().__init__(name=name)

    def admit(self, clock: Clock) -> Admission:
        """Let a call through; hand what this gives to one of the next two when it has ended.

        Raises:
            CircuitOpenError: When the call must not be made now.
        """
        circuit = self._circuit
        # The period is read before the state: a call that comes just when the circuit opens counts
        # as one from before, and changes nothing any more. So the good path needs no lock.
        admission = circuit.period, clock.now()
        return admission if circuit.state == "closed" else self._admit_probe(clock)

    def succeeded(
        self, admission: Admission, clock: Clock, *, began_at: float | None = None
    ) -> None:
        """Note that the call succeeded; `began_at` is when the first piece of its stream came."""
        now, outcome = clock.now(), GOOD
        if self._slow_seconds is not None:
            took = (now if began_at is None else began_at) - admission[1]
            outcome = SLOW if took > self._slow_seconds else GOOD
        # As in `raised`; a method for it would be an eighth of what the good path costs.
        with self._lock:
            self._clock = clock
            news = self._circuit.note(outcome, admission, now)
        if news is not None:
            self._announce(news)

    def raised(
        self,
        admission: Admission,
        error: BaseException,
        clock: Clock,
        *,
        deadline: float | None = None,
        began_at: float | None = None,
        waiting_since: float | None = None,
    ) -> None:
        """Note that the call raised, and judge whether its target is to blame.

        Args:
            admission: What `admit` gave.
            error: What was raised, be it a cancellation.
            clock: As for `admit`.
            deadline: Until when the call had time.
            began_at: When the first piece of its stream came.
            waiting_since: Since when it waited for the piece of its stream that did not come.
        """
        now, outcome = clock.now(), None
        try:
            if self._blame.falls_on_target(
                error,
                now,
                waiting_since=admission[1] if waiting_since is None else waiting_since,
                deadline=deadline,
                first_took=0.0 if began_at is None else began_at - admission[1],
            ):
                outcome = FAILED
        finally:
            with self._lock:
                self._clock = clock
                news = self._circuit.note(outcome, admission, now)
            if news is not None:
                self._announce(news)

    def _admit_probe(self, clock: Clock) -> Admission:
        now, circuit = clock.now(), self._circuit
        with self._lock:
            self._clock = clock
            news = circuit.half_open_when_due(now)
            refusal = None if circuit.takes_in(now) else self._refusal(now)
            admission = circuit.period, now
        if news is not None:
            self._announce(news)
        if refusal is None:
            return admission
        tell("refused", self.name, reason="circuit open")
        raise refusal

    def _refusal(self, now: float) -> CircuitOpenError:
        circuit = self._circuit
        refused = f"{self.name!r} was not called: {circuit.why}, "
        if circuit.state == "half_open":
            return CircuitOpenError(
                f"{refused}and {circuit.probes} other calls are trying whether it is well again; "
                "ask another target, or try again in a moment"
            )
        left = circuit.open_until - now
        return CircuitOpenError(
            f"{refused}and it is left alone for another {left:.3g} s; "
            "ask another target, or try again after that",
            retry_after=left,
        )

    def _announce(self, news: State) -> None:
        """Tell of a new state, without the lock: whoever listens may ask for the readings."""
        tell(f"circuit_{news}", self.name)
        if news == "open":
            why, seconds = self._circuit.why, self._circuit.open_seconds
            _log.warning("the circuit of %r is open for %g s: %s", self.name, seconds, why)
        else:
            _log.info("the circuit of %r is %s", self.name, news.replace("_", " "))

    @property
    def state(self) -> State:
        """Whether it lets calls through: "closed" all, "half_open" some, "open" none."""
        with self._lock:
            return self._circuit.look(self._clock.now())[0]

    def readings(self) -> Mapping[str, float]:
        """Its state, and the shares of failures and slow calls that it goes by."""
        with self._lock:
            state, outcomes = self._circuit.look(self._clock.now())
            return {
                "circuit_breaker_state": STATES.index(state),
                "circuit_breaker_failure_rate": outcomes.share(FAILED),
                "circuit_breaker_slow_rate": outcomes.share(SLOW),
            }

    def status(self) -> str:
        """Its state, and why."""
        with self._lock:
            return self._circuit.in_words(self._clock.now())


def _rate(value: Any, name: str) -> float:
    if not (is_number(value) and 0 < value <= 1):
        raise ValueError(f"{name} is a share above 0 and up to 1, such as 0.5, not {value!r}")
    return float(value)
