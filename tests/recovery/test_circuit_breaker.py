"""Leaving a target alone for a while after it failed too often."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.observability.recorder import Spans
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.core import SystemClock
from tta_llm.errors import (
    AllFailedError,
    AuthenticationError,
    BudgetExceededError,
    CircuitOpenError,
    ConcurrencyLimitError,
    ConnectionFailedError,
    ContextLengthError,
    DeadlineExceededError,
    InvalidResponseError,
    OverloadedError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
)
from tta_llm.messages import ReasoningDelta, TextDelta, Usage, UsageEvent
from tta_llm.recovery import (
    CircuitBreaker,
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)
from tta_llm.testing import MockPrimitive, VirtualClock, cancel_at_every_await

Guarded = CircuitBreakerPrimitive[Any, Any]


class Target(WorkflowPrimitive[Any, Any]):
    """Does what its input says: takes so many seconds, and gives or raises something."""

    def __init__(self) -> None:
        super().__init__(name="target")
        self.calls = self.closed = 0

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        self.calls += 1
        return await self.give(input_data, context)

    async def stream(self, input_data: Any, context: WorkflowContext) -> AsyncGenerator[Any, None]:
        self.calls += 1
        try:
            for each in input_data:
                yield await self.give(each, context)
        finally:
            self.closed += 1

    async def give(self, told: tuple[float, Any], context: WorkflowContext) -> Any:
        seconds, outcome = told
        if seconds:
            await context.clock.sleep(seconds)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def guarded(**options: Any) -> Guarded:
    """One that opens after two failures of the last four calls, unless told otherwise."""
    usual: dict[str, Any] = {"window_calls": 4, "minimum_calls": 2, "open_seconds": 30, "probes": 2}
    return CircuitBreakerPrimitive(Target(), CircuitBreaker(**usual | options))


def call(
    guard: Guarded, clock: VirtualClock, outcome: Any = "ok", *, seconds: float = 0, **limits: Any
) -> Any:
    return clock.run(guard.execute((seconds, outcome), WorkflowContext(clock=clock, **limits)))


def fail(guard: Guarded, clock: VirtualClock, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ServerError):
            call(guard, clock, ServerError("oops"))


def wait(clock: VirtualClock, seconds: float) -> None:
    clock.run(clock.sleep(seconds))


def opened(clock: VirtualClock, **options: Any) -> Guarded:
    guard = guarded(**options)
    fail(guard, clock, 2)
    assert state(guard) == "open"
    return guard


def half_open(clock: VirtualClock, **options: Any) -> Guarded:
    guard = opened(clock, **options)
    wait(clock, 30)
    assert state(guard) == "half_open"
    return guard


def state(guard: Guarded) -> str:
    return guard.breaker.state


def places_held(breaker: CircuitBreaker) -> int:
    return len(breaker._circuit._probing)


# --------------------------------------------------------------------------------- closed, and open


def test_a_target_that_is_well_is_called() -> None:
    guard, clock = guarded(), VirtualClock()
    assert [call(guard, clock, number) for number in range(50)] == [*range(50)]
    assert state(guard) == "closed"


def test_it_opens_when_the_share_of_failures_is_reached() -> None:
    guard, clock = guarded(failure_rate=0.3, window_calls=10, minimum_calls=10), VirtualClock()
    fail(guard, clock, 2)
    for _ in range(8):
        call(guard, clock)
    assert state(guard) == "closed"
    fail(guard, clock, 1)
    assert state(guard) == "closed", "the first failure is no longer among the latest ten"
    fail(guard, clock, 1)
    assert state(guard) == "closed"
    fail(guard, clock, 1)
    assert state(guard) == "open"


def test_a_few_calls_tell_nothing() -> None:
    guard, clock = guarded(minimum_calls=4), VirtualClock()
    fail(guard, clock, 3)
    assert state(guard) == "closed"
    call(guard, clock)
    assert state(guard) == "open", "three of four failed, whatever the fourth did"


def test_what_is_long_ago_is_forgotten() -> None:
    guard, clock = guarded(window_seconds=60), VirtualClock()
    fail(guard, clock)
    wait(clock, 60.5)
    fail(guard, clock)
    assert state(guard) == "closed"
    wait(clock, 60)
    fail(guard, clock)
    assert state(guard) == "open"


def test_open_it_refuses_at_once_and_says_why_and_until_when() -> None:
    clock = VirtualClock()
    guard = opened(clock)
    wait(clock, 18)
    calls = guard.primitive.calls  # type: ignore[attr-defined]
    with pytest.raises(CircuitOpenError) as told:
        call(guard, clock, seconds=60)
    assert str(told.value) == (
        "'target' was not called: 2 of the last 2 calls failed, and it is left alone for another "
        "12 s; ask another target, or try again after that"
    )
    assert told.value.retry_after == 12
    assert clock.now() == 18
    assert guard.primitive.calls == calls  # type: ignore[attr-defined]


def test_a_stream_is_refused_too() -> None:
    clock = VirtualClock()
    guard = opened(clock)
    with pytest.raises(CircuitOpenError):
        stream(guard, clock, (0, "a"))


def test_what_is_refused_is_not_retried_and_falls_through_at_once() -> None:
    clock = VirtualClock()
    guard = opened(clock)
    with pytest.raises(CircuitOpenError):
        clock.run(RetryPrimitive(guard).execute((0, "ok"), WorkflowContext(clock=clock)))
    fallback = FallbackPrimitive(guard, [lambda _: "second"])
    assert clock.run(fallback.execute((0, "ok"), WorkflowContext(clock=clock))) == "second"
    assert clock.now() == 0


@given(st.lists(st.sampled_from(["good", "bad", "neither"]), max_size=60))
def test_a_total_outage_opens_it_within_ten_calls_whatever_came_before(past: list[str]) -> None:
    guard, clock = CircuitBreakerPrimitive(Target()), VirtualClock()
    errors = {"bad": ServerError("oops"), "neither": ValueError("a bug")}
    for each in past:
        with suppress(ServerError, ValueError, CircuitOpenError):
            call(guard, clock, errors.get(each, "ok"))
    for _ in range(10):
        if state(guard) == "open":
            break
        fail(guard, clock)
    assert state(guard) == "open"


def in_a_row(number: int = 3) -> Guarded:
    """One that opens only after so many failures in a row."""
    return guarded(
        consecutive_failures=number,
        failure_rate=1,
        window_calls=99,
        minimum_calls=99,
        slow_seconds=5,
        window_seconds=60,
    )


def test_it_opens_after_so_many_failures_in_a_row_whatever_the_share() -> None:
    guard, clock = in_a_row(), VirtualClock()
    for _ in range(50):
        call(guard, clock)
    fail(guard, clock, 2)
    assert state(guard) == "closed"
    fail(guard, clock)
    assert guard.breaker.status() == "open, 30 s until it is tried again; 3 calls in a row failed"
    with pytest.raises(CircuitOpenError, match="3 calls in a row failed, and it is left alone"):
        call(guard, clock)


@pytest.mark.parametrize("seconds", [0, 6], ids=["quick", "slow"])
def test_a_success_ends_the_row(seconds: float) -> None:
    guard, clock = in_a_row(), VirtualClock()
    for _ in range(5):
        fail(guard, clock, 2)
        call(guard, clock, seconds=seconds)
    assert state(guard) == "closed"
    fail(guard, clock, 3)
    assert state(guard) == "open"


def test_what_counts_neither_way_does_not_end_the_row() -> None:
    guard, clock = in_a_row(), VirtualClock()
    for _ in range(3):
        assert state(guard) == "closed"
        with pytest.raises(RateLimitError):
            call(guard, clock, RateLimitError("slow down"))
        fail(guard, clock)
    assert state(guard) == "open"


def test_a_row_is_forgotten_from_its_beginning() -> None:
    guard, clock = in_a_row(), VirtualClock()
    for _ in range(10):
        fail(guard, clock)
        wait(clock, 31)
    assert state(guard) == "closed", "no three of them within a minute"
    fail(guard, clock, 2)
    assert state(guard) == "open"


def test_a_row_before_it_opened_counts_no_more_once_it_is_closed() -> None:
    guard, clock = in_a_row(), VirtualClock()
    fail(guard, clock, 3)
    wait(clock, 30)
    call(guard, clock)
    call(guard, clock)
    fail(guard, clock, 2)
    assert state(guard) == "closed"


# ---------------------------------------------------------------------------------------- half open


def test_after_a_while_it_is_tried_and_closes() -> None:
    clock = VirtualClock()
    guard = opened(clock)
    wait(clock, 29.75)
    with pytest.raises(CircuitOpenError):
        call(guard, clock)
    wait(clock, 0.25)
    call(guard, clock)
    assert state(guard) == "half_open"
    call(guard, clock)
    assert state(guard) == "closed"


def test_it_closes_with_nothing_held_against_the_target() -> None:
    clock = VirtualClock()
    guard = half_open(clock)
    call(guard, clock)
    call(guard, clock)
    fail(guard, clock)
    assert state(guard) == "closed"
    assert guard.breaker.readings()["circuit_breaker_failure_rate"] == 1


async def test_probes_that_succeeded_and_those_under_way_are_counted_together() -> None:
    clock = VirtualClock(auto_advance=True)
    guard, context = guarded(), WorkflowContext(clock=clock)
    for _ in range(2):
        with pytest.raises(ServerError):
            await guard.execute((0, ServerError("oops")), context)
    await clock.sleep(30)
    await guard.execute((0, "ok"), context)
    second = asyncio.ensure_future(guard.execute((1, "ok"), context))
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpenError):
        await guard.execute((0, "ok"), context)
    assert await second == "ok"
    assert state(guard) == "closed"


def test_a_failing_probe_opens_it_again_for_as_long() -> None:
    clock = VirtualClock()
    guard = half_open(clock)
    call(guard, clock)
    fail(guard, clock)
    assert state(guard) == "open"
    wait(clock, 29.75)
    with pytest.raises(CircuitOpenError, match="a probe failed") as told:
        call(guard, clock)
    assert told.value.retry_after == 0.25


@pytest.mark.parametrize("probes", [1, 3, 49])
async def test_of_fifty_at_the_same_time_it_tries_as_many_as_it_may(probes: int) -> None:
    clock = VirtualClock(auto_advance=True)
    guard = guarded(probes=probes, minimum_calls=1)
    with pytest.raises(ServerError):
        await guard.execute((0, ServerError("oops")), WorkflowContext(clock=clock))
    await clock.sleep(30)
    calls = [guard.execute((1, "ok"), WorkflowContext(clock=clock)) for _ in range(50)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers.count("ok") == probes
    refused = [each for each in answers if isinstance(each, CircuitOpenError)]
    assert len(refused) == 50 - probes
    assert guard.primitive.calls == 1 + probes  # type: ignore[attr-defined]
    assert state(guard) == "closed"
    assert str(refused[0]) == (
        f"'target' was not called: 1 of the last 1 calls failed, and {probes} other calls are "
        "trying whether it is well again; ask another target, or try again in a moment"
    )
    assert refused[0].retry_after is None


NEITHER = [ValueError("a bug"), RateLimitError("slow down"), asyncio.CancelledError()]


@pytest.mark.parametrize("error", NEITHER, ids=repr)
def test_a_probe_that_tells_nothing_gives_its_place_back(error: BaseException) -> None:
    clock = VirtualClock()
    guard = half_open(clock)
    for _ in range(5):
        with pytest.raises(type(error)):
            call(guard, clock, error)
        assert state(guard) == "half_open"
    call(guard, clock)
    call(guard, clock)
    assert state(guard) == "closed"


async def test_a_probe_that_hangs_does_not_keep_it_shut_for_ever() -> None:
    clock = VirtualClock(auto_advance=True)
    guard = guarded()
    for _ in range(2):
        with pytest.raises(ServerError):
            await guard.execute((0, ServerError("oops")), WorkflowContext(clock=clock))
    await clock.sleep(30)
    context = WorkflowContext(clock=clock)
    hanging = [asyncio.ensure_future(guard.execute((90, n), context)) for n in range(2)]
    await clock.sleep(29.5)
    with pytest.raises(CircuitOpenError):
        await guard.execute((0, "ok"), context)
    await clock.sleep(0.5)
    assert await guard.execute((0, "ok"), context) == "ok"
    assert state(guard) == "half_open"
    assert await hanging[0] == 0
    assert state(guard) == "closed", "late is better than never"
    assert await hanging[1] == 1


async def test_calls_from_before_change_nothing_afterwards() -> None:
    clock = VirtualClock(auto_advance=True)
    guard, context = guarded(), WorkflowContext(clock=clock)

    def begin(seconds: float, outcome: Any) -> asyncio.Future[Any]:
        return asyncio.ensure_future(guard.execute((seconds, outcome), context))

    late = [begin(40, ServerError("oops")), begin(40, "ok"), begin(99, ServerError("oops"))]
    for _ in range(2):
        with pytest.raises(ServerError):
            await begin(0, ServerError("oops"))
    await clock.sleep(30)
    first = begin(20, "ok")
    await asyncio.wait(late[:2])
    assert state(guard) == "half_open", "neither failed by the one nor passed by the other"
    assert places_held(guard.breaker) == 1
    await begin(0, "ok")
    await first
    assert state(guard) == "closed"
    await asyncio.wait(late)
    assert guard.breaker.readings()["circuit_breaker_failure_rate"] == 0
    assert [type(each.exception()) for each in late] == [ServerError, type(None), ServerError]


# -------------------------------------------------------------------------------------- what counts


class SdkError(Exception):
    """As vendors' SDKs do it."""

    def __init__(self, status_code: int) -> None:
        super().__init__(status_code)
        self.status_code = status_code


TARGETS = [
    ServerError("oops"),
    OverloadedError("busy"),
    ConnectionFailedError("reset"),
    ProviderTimeoutError("late"),
    InvalidResponseError("cut short"),
    DeadlineExceededError("late"),
    ConnectionRefusedError(),
    TimeoutError(),
    SdkError(503),
    SdkError(529),
    AllFailedError("all", [RateLimitError("slow down"), ServerError("oops")]),
]
OTHERS = [
    RateLimitError("slow down"),
    SdkError(429),
    ExceptionGroup("several", [RateLimitError("slow down"), ValueError("a bug")]),
    SdkError(400),
    ValueError("a bug"),
    AuthenticationError("bad key"),
    ContextLengthError("too long"),
    BudgetExceededError("too dear"),
    ConcurrencyLimitError("too many"),
    CircuitOpenError("of another inside"),
]


@pytest.mark.parametrize("error", TARGETS, ids=repr)
def test_what_the_target_is_to_blame_for_counts(error: Exception) -> None:
    guard, clock = guarded(), VirtualClock()
    for _ in range(2):
        with pytest.raises(type(error)) as told:
            call(guard, clock, error)
        assert told.value is error
    assert state(guard) == "open"


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_what_others_are_to_blame_for_counts_neither_way(error: Exception) -> None:
    guard, clock = guarded(), VirtualClock()
    for _ in range(20):
        with pytest.raises(type(error)):
            call(guard, clock, error)
    assert guard.breaker.status() == "closed; 0 of the last 0 calls failed"


@pytest.mark.parametrize("counts", [KeyError, (KeyError, IndexError), lambda e: "k" in str(e)])
def test_what_counts_can_be_said(counts: Any) -> None:
    guard, clock = guarded(counts=counts), VirtualClock()
    fail(guard, clock, 5)
    assert state(guard) == "closed"
    for _ in range(2):
        with pytest.raises(KeyError):
            call(guard, clock, KeyError("k"))
    assert state(guard) == "open"


def test_a_bug_in_what_counts_holds_nothing() -> None:
    def picky(error: Exception) -> bool:
        assert str(error) == "oops", "a bug"
        return True

    clock = VirtualClock()
    guard = half_open(clock, counts=picky)
    with pytest.raises(AssertionError, match="a bug"):
        call(guard, clock, ValueError("no"))
    assert places_held(guard.breaker) == 0


def test_a_slow_target_opens_it_too() -> None:
    guard, clock = guarded(slow_seconds=5, slow_rate=1), VirtualClock()
    call(guard, clock, seconds=5)
    for _ in range(2):
        call(guard, clock, seconds=5.25)
    assert state(guard) == "closed"
    assert guard.breaker.readings()["circuit_breaker_slow_rate"] == 2 / 3
    assert guard.breaker.status() == "closed; 0 of the last 3 calls failed, 2 were slow"
    for _ in range(2):
        call(guard, clock, seconds=5.25)
    assert state(guard) == "open"
    assert guard.breaker.status().endswith("4 of the last 4 calls were slow")


def test_probes_that_are_slow_open_it_again() -> None:
    clock = VirtualClock()
    guard = half_open(clock, slow_seconds=5)
    call(guard, clock, seconds=6)
    call(guard, clock, seconds=6)
    assert guard.breaker.status() == "open, 30 s until it is tried again; 2 of 2 probes were slow"
    wait(clock, 30)
    call(guard, clock, seconds=6)
    call(guard, clock, seconds=1)
    assert state(guard) == "closed", "half of them may be"


# --------------------------------------------------------------------------- cancelled, and cut off


async def test_cancellation_is_no_failure() -> None:
    guard, context = guarded(), WorkflowContext(clock=VirtualClock(auto_advance=True))
    for _ in range(20):
        task = asyncio.ensure_future(guard.execute((60, "ok"), context))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert guard.breaker.status() == "closed; 0 of the last 0 calls failed"


def cut_off(guard: Guarded, clock: VirtualClock, seconds: float) -> None:
    with pytest.raises(DeadlineExceededError):
        call(guard, clock, seconds=600, timeout_seconds=seconds)


def test_a_target_that_hangs_until_the_deadline_fails() -> None:
    guard, clock = guarded(), VirtualClock()
    cut_off(guard, clock, 10)
    cut_off(guard, clock, 0.25)
    assert state(guard) == "open"


def test_a_time_limit_inside_or_outside_tells_the_same() -> None:
    clock = VirtualClock()
    breaker = CircuitBreaker(window_calls=2, minimum_calls=2)
    inside = CircuitBreakerPrimitive(TimeoutPrimitive(Target(), 5), breaker)
    outside = TimeoutPrimitive(CircuitBreakerPrimitive(Target(), breaker), 5)
    for each in (inside, outside):
        with pytest.raises(DeadlineExceededError):
            clock.run(each.execute((600, "ok"), WorkflowContext(clock=clock)))
    assert breaker.status() == "open, 30 s until it is tried again; 2 of the last 2 calls failed"


def test_with_too_little_time_it_is_no_fault_of_the_target() -> None:
    guard, clock = guarded(slow_seconds=5), VirtualClock()
    for _ in range(20):
        cut_off(guard, clock, 4.75)
    assert guard.breaker.status() == "closed; 0 of the last 0 calls failed"
    cut_off(guard, clock, 5)
    cut_off(guard, clock, 6)
    assert state(guard) == "open"


def judge(
    deadline: float | None,
    stopped_at: float,
    error: BaseException | None = None,
    slow_seconds: float | None = None,
) -> str:
    """Stop a call that began at 10, and give what the breaker makes of it."""
    breaker = CircuitBreaker(window_calls=1, minimum_calls=1, slow_seconds=slow_seconds)
    clock = VirtualClock(10)
    admission = breaker.admit(clock)
    wait(clock, stopped_at - 10)
    breaker.raised(admission, error or asyncio.CancelledError(), clock, deadline=deadline)
    return breaker.state


def test_what_the_deadline_did_not_stop_does_not_count() -> None:
    assert judge(None, 20) == "closed"
    assert judge(20.5, 20) == "closed", "somebody else did"
    assert judge(20, 20) == "open"
    assert judge(10, 20) == "closed", "it had no time at all"


def test_a_timer_may_be_a_little_early() -> None:
    assert judge(20, 19.99) == "open"


def test_a_clients_own_time_out_at_the_deadline_is_judged_as_the_deadline() -> None:
    late, broken = ProviderTimeoutError("late"), ServerError("oops")
    assert judge(11, 11, late) == "open"
    assert judge(11, 11, late, slow_seconds=5) == "closed", "it got the little time that was left"
    assert judge(11, 10.5, late, slow_seconds=5) == "open", "it is its own"
    assert judge(11, 11, broken, slow_seconds=5) == "open"


# ------------------------------------------------------------------------------------------ streams


def stream(
    guard: Guarded, clock: VirtualClock, *pieces: tuple[float, Any], take: int = 99, **limits: Any
) -> list[Any]:
    """Read so many pieces, and close it."""
    seen: list[Any] = []

    async def work() -> None:
        context = WorkflowContext(clock=clock, **limits)
        async with aclosing(guard.stream(pieces, context)) as given:
            async for piece in given:
                seen.append(piece)
                if len(seen) == take:
                    break

    clock.run(work())
    return seen


def shares(guard: Guarded) -> tuple[float, float, int]:
    """Of failures and of slow calls, and among how many."""
    readings = guard.breaker.readings()
    return (
        readings["circuit_breaker_failure_rate"],
        readings["circuit_breaker_slow_rate"],
        len(guard.breaker._circuit.outcomes),
    )


def quiet(**options: Any) -> Guarded:
    return guarded(window_calls=99, minimum_calls=99, **options)


def test_the_time_to_the_first_piece_that_shows_makes_a_stream_slow() -> None:
    guard, clock = quiet(slow_seconds=5), VirtualClock()
    assert len(stream(guard, clock, (1, "a"), (60, "b"))) == 2
    assert shares(guard) == (0, 0, 1)
    silent = [UsageEvent(usage=Usage()), TextDelta(text=""), ReasoningDelta(text="")]
    stream(guard, clock, *((2, each) for each in silent), (2, TextDelta(text="a")))
    assert shares(guard) == (0, 1 / 2, 2)
    stream(guard, clock, *((1, each) for each in silent), (1, TextDelta(text="a")))
    assert shares(guard) == (0, 1 / 3, 3)


def test_a_stream_without_pieces_is_a_success() -> None:
    guard, clock = quiet(), VirtualClock()
    assert stream(guard, clock) == []
    assert shares(guard) == (0, 0, 1)


@pytest.mark.parametrize("delivered", [0, 1, 5])
def test_an_error_anywhere_in_a_stream_is_a_failure(delivered: int) -> None:
    guard, clock = quiet(slow_seconds=5), VirtualClock()
    with pytest.raises(ConnectionError):
        stream(guard, clock, *[(0, "a")] * delivered, (0, ConnectionError("reset")))
    assert shares(guard) == (1, 0, 1)


def test_a_stream_closed_after_its_first_piece_is_a_success() -> None:
    guard, clock = quiet(slow_seconds=5), VirtualClock()
    assert stream(guard, clock, (1, "a"), (1, "b"), take=1) == ["a"]
    assert stream(guard, clock, (6, "a"), (1, "b"), take=1) == ["a"]
    assert shares(guard) == (0, 1 / 2, 2)
    assert guard.primitive.closed == 2  # type: ignore[attr-defined]


def test_a_stream_closed_before_its_first_piece_is_nothing() -> None:
    clock = VirtualClock()
    guard = half_open(clock)
    assert len(stream(guard, clock, (0, TextDelta(text="")), (0, "b"), take=1)) == 1
    assert shares(guard)[2] == 0
    assert places_held(guard.breaker) == 0


def test_a_stream_that_the_deadline_cuts_off_before_its_first_piece_is_a_failure() -> None:
    guard, clock = quiet(), VirtualClock()
    with pytest.raises(DeadlineExceededError):
        stream(guard, clock, (1, TextDelta(text="")), (60, "a"), timeout_seconds=10)
    assert shares(guard) == (1, 0, 1)


@pytest.mark.parametrize("slow_seconds", [None, 5])
def test_a_long_answer_that_the_deadline_cuts_off_is_no_failure(slow_seconds: float | None) -> None:
    guard, clock = quiet(slow_seconds=slow_seconds), VirtualClock()
    with pytest.raises(DeadlineExceededError):
        stream(guard, clock, (2, "a"), *[(1, "b")] * 60, timeout_seconds=10.5)
    assert shares(guard)[2] == 0


@pytest.mark.parametrize("slow_seconds", [None, 5])
def test_an_answer_that_does_not_go_on_is_a_failure(slow_seconds: float | None) -> None:
    guard, clock = quiet(slow_seconds=slow_seconds), VirtualClock()
    with pytest.raises(DeadlineExceededError):
        stream(guard, clock, (1, "a"), (1, "b"), (60, "c"), timeout_seconds=10)
    assert shares(guard) == (1, 0, 1)


def test_a_consumer_who_takes_all_the_time_is_no_failure() -> None:
    guard, clock = quiet(), VirtualClock()

    async def work() -> None:
        context = WorkflowContext(clock=clock, timeout_seconds=10)
        async with aclosing(guard.stream([(2, "a"), (2, "b")], context)) as pieces:
            async for _ in pieces:
                await clock.sleep(7)

    with pytest.raises(DeadlineExceededError):
        clock.run(work())
    assert shares(guard) == (0, 0, 0)


# ---------------------------------------------------------------------------------- nothing is held


async def hold_nothing(work: Any, guard: Guarded) -> None:
    points = await cancel_at_every_await(work, lambda: places_held(guard.breaker) == 0 or 1 / 0)
    assert points
    assert state(guard) in ("half_open", "closed")


async def test_a_cancelled_probe_holds_nothing_wherever_it_waits() -> None:
    clock = VirtualClock(auto_advance=True)
    guard = guarded(probes=99, minimum_calls=1)
    with pytest.raises(ServerError):
        await guard.execute((0, ServerError("oops")), WorkflowContext(clock=clock))
    await clock.sleep(30)

    async def execute() -> Any:
        return await guard.execute((1, "ok"), WorkflowContext(clock=clock))

    async def read() -> Any:
        context = WorkflowContext(clock=clock)
        async with aclosing(guard.stream([(1, "a"), (1, "b"), (1, "c")], context)) as pieces:
            return [piece async for piece in pieces]

    await hold_nothing(execute, guard)
    await hold_nothing(read, guard)
    assert len(guard.breaker._circuit.outcomes) == 2, "the two that were not cancelled"


def test_a_call_that_is_dropped_holds_nothing() -> None:
    clock = VirtualClock()
    guard = half_open(clock)

    async def begin_and_drop() -> None:
        dropped = guard.execute((60, "ok"), WorkflowContext(clock=clock))
        dropped.send(None)
        assert places_held(guard.breaker) == 1

    clock.run(begin_and_drop())
    gc.collect()
    assert places_held(guard.breaker) == 0


class CollectingClock(SystemClock):
    """The garbage collector may run at any time, also while the breaker holds its lock."""

    @staticmethod
    def now() -> float:
        gc.collect()
        return 0.0


@pytest.mark.timeout(20)
async def test_what_the_garbage_collector_gives_up_does_not_block_it() -> None:
    guard, clock = guarded(), CollectingClock()
    dropped = guard.execute((60, "ok"), WorkflowContext(clock=clock))
    dropped.send(None)
    gc.disable()
    await guard.execute((0, "ok"), WorkflowContext(clock=clock))
    cycle: list[Any] = [dropped]
    cycle.append(cycle)
    del dropped, cycle
    assert state(guard) == "closed"
    gc.enable()


@pytest.mark.parametrize("attempt", range(5))
def test_loops_in_several_threads_share_it(attempt: int) -> None:
    breaker = CircuitBreaker(window_calls=4, minimum_calls=4, open_seconds=0.001, probes=3)
    under_way, most, lock = set[int](), [0], threading.Lock()

    async def probe(number: int) -> None:
        with lock:
            under_way.add(number)
            if breaker._circuit.state == "half_open":
                most[0] = max(most[0], places_held(breaker))
        await asyncio.sleep(0)
        with lock:
            under_way.discard(number)
        if number % 3:
            raise ServerError("oops")

    guard = CircuitBreakerPrimitive(probe, breaker)

    async def work(base: int) -> None:
        for number in range(base, base + 200):
            with suppress(ServerError, CircuitOpenError):
                await guard.execute(number, WorkflowContext())

    threads = [
        threading.Thread(target=asyncio.run, args=(work(1000 * number),)) for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 3
    assert not under_way
    assert places_held(breaker) == 0
    outcomes = breaker._circuit.outcomes
    assert sum(outcomes._counts) == len(outcomes._troubles) <= len(outcomes) <= 4


# ------------------------------------------------------------------------------------ what it tells


def test_its_status_is_said_in_words() -> None:
    guard, clock = guarded(window_calls=10, minimum_calls=10), VirtualClock()
    assert guard.breaker.status() == "closed; 0 of the last 0 calls failed"
    call(guard, clock)
    fail(guard, clock, 4)
    assert guard.breaker.status() == "closed; 4 of the last 5 calls failed"
    fail(guard, clock, 5)
    wait(clock, 18)
    assert guard.breaker.status() == (
        "open, 12 s until it is tried again; 9 of the last 10 calls failed"
    )
    wait(clock, 12)
    words = "half open, {} of 2 probes succeeded; 9 of the last 10 calls failed"
    assert guard.breaker.status() == words.format(0)
    call(guard, clock)
    assert guard.breaker.status() == words.format(1)
    call(guard, clock)
    assert guard.breaker.status() == "closed; 0 of the last 0 calls failed"
    fail(guard, clock)
    wait(clock, 61)
    assert guard.breaker.status() == "closed; 0 of the last 0 calls failed"


async def test_its_changes_and_refusals_are_told(
    spans: Spans, metric_reader: InMemoryMetricReader
) -> None:
    clock = VirtualClock(auto_advance=True)
    guard, context = guarded(), WorkflowContext(clock=clock)
    for _ in range(3):
        with suppress(ServerError, CircuitOpenError):
            await guard.execute((0, ServerError("a secret")), context)
    await clock.sleep(30)
    for _ in range(2):
        await guard.execute((0, "ok"), context)
    told = [
        (event.name, dict(event.attributes or {}))
        for span in spans
        if span.name == "CircuitBreakerPrimitive"
        for event in span.events
        if event.name != "exception"
    ]
    target = {"target": "target"}
    assert told == [
        ("tta.circuit_open", target),
        ("tta.refused", {**target, "reason": "circuit open"}),
        ("tta.circuit_half_open", target),
        ("tta.circuit_closed", target),
    ]
    assert figures(metric_reader, "target", "recovery_events") == {
        "circuit_open": 1,
        "refused": 1,
        "circuit_half_open": 1,
        "circuit_closed": 1,
    }


def figures(reader: InMemoryMetricReader, target: str, name: str) -> dict[str, float]:
    """The figures of a metric about a target, by event or alone."""
    data: Any = reader.get_metrics_data()
    return {
        point.attributes.get("event", ""): point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
        if point.attributes["target"] == target
    }


def test_its_figures_can_be_read(metric_reader: InMemoryMetricReader) -> None:
    clock, name = VirtualClock(), "the one whose figures are read"
    guard = guarded(failure_rate=0.5, window_calls=20, minimum_calls=4, slow_seconds=1, name=name)
    for _ in range(2):
        call(guard, clock, seconds=2)
    call(guard, clock)
    fail(guard, clock)
    figure = {each: figures(metric_reader, name, each) for each in guard.breaker.readings()}
    assert figure == {
        "circuit_breaker_state": {"": 0},
        "circuit_breaker_failure_rate": {"": 0.25},
        "circuit_breaker_slow_rate": {"": 0.5},
    }
    fail(guard, clock, 2)
    assert figures(metric_reader, name, "circuit_breaker_state") == {"": 2}
    assert figures(metric_reader, name, "circuit_breaker_failure_rate") == {"": 0.5}
    wait(clock, 30)
    assert figures(metric_reader, name, "circuit_breaker_state") == {"": 1}


def test_its_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    with caplog.at_level(logging.INFO, "tta_llm"):
        guard = half_open(clock)
        call(guard, clock)
        call(guard, clock)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the circuit of 'target' is open for 30 s: 2 of the last 2 calls failed"),
        ("INFO", "the circuit of 'target' is half open"),
        ("INFO", "the circuit of 'target' is closed"),
    ]


# -------------------------------------------------------------------------------------- whose it is


def test_all_that_guard_a_target_share_its_breaker() -> None:
    model = MockPrimitive(name="the model")
    first = CircuitBreakerPrimitive(model)
    second = CircuitBreakerPrimitive(TimeoutPrimitive(model, 5))
    assert first.breaker is second.breaker
    assert first.guards == (first.breaker,)
    assert first.breaker.name == "the model"
    assert CircuitBreakerPrimitive(MockPrimitive()).breaker is not first.breaker


def test_a_breaker_can_be_given_a_name_and_several_targets() -> None:
    breaker, clock = CircuitBreaker(name="the region", minimum_calls=1), VirtualClock()
    here, there = (CircuitBreakerPrimitive[Any, Any](Target(), breaker) for _ in range(2))
    fail(here, clock)
    with pytest.raises(CircuitOpenError, match="'the region' was not called"):
        call(there, clock)


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("option", ["failure_rate", "slow_rate"])
@pytest.mark.parametrize("share", [0, -0.1, 1.1, 50, True, float("nan"), "0.5", None])
def test_a_bad_share_is_refused(option: str, share: Any) -> None:
    with pytest.raises(ValueError, match=f"{option} is a share above 0 and up to 1, .*, not"):
        guarded(**{option: share})


@pytest.mark.parametrize("option", ["slow_seconds", "window_seconds", "open_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, float("inf"), "3"])
def test_a_bad_time_is_refused(option: str, seconds: Any) -> None:
    with pytest.raises(ValueError, match=f"{option} must be a number of seconds above 0"):
        guarded(**{option: seconds})


@pytest.mark.parametrize(
    "option", ["consecutive_failures", "window_calls", "minimum_calls", "probes"]
)
@pytest.mark.parametrize("number", [0, -1, 1.5, None])
def test_a_bad_number_is_refused(option: str, number: Any) -> None:
    with pytest.raises(ValueError, match=f"{option} must be a whole number of at least 1"):
        guarded(**{option: number})


def test_a_minimum_that_is_never_reached_is_refused() -> None:
    with pytest.raises(ValueError, match="minimum_calls=21 are never among the latest window_cal"):
        CircuitBreaker(minimum_calls=21)


def test_cancellation_can_not_be_asked_for() -> None:
    with pytest.raises(TypeError, match="cancellation and exit are never caught"):
        CircuitBreaker(counts=asyncio.CancelledError)  # type: ignore[arg-type]
