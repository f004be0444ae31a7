"""No more calls and tokens than a provider lets through, and turns to who came first."""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm import WorkflowContext
from tta_llm.errors import (
    CircuitOpenError,
    ConnectionFailedError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    RateLimitExceededError,
    ServerError,
)
from tta_llm.messages import (
    UNKNOWN_USAGE,
    RateLimits,
    Usage,
)
from tta_llm.recovery import RateLimiter
from tta_llm.testing import (
    VirtualClock,
)


def answer(tokens: int | None = None, limits: RateLimits | None = None) -> Any:
    """Whatever has a usage, and tells of limits."""
    usage = None if tokens is None else Usage(tokens)
    return SimpleNamespace(usage=usage, rate_limits=limits)


def available(limiter: RateLimiter) -> tuple[float | None, float | None]:
    told = limiter.readings()
    return told.get("rate_limit_requests_available"), told.get("rate_limit_tokens_available")


def is_idle(limiter: RateLimiter) -> bool:
    return not limiter.waiting and not limiter._requests.in_flight + limiter._tokens.in_flight


@dataclass
class Calls:
    """Calls to a limiter in one run of a virtual clock, and the moments of their turns."""

    limiter: RateLimiter
    clock: VirtualClock = field(default_factory=VirtualClock)
    turns: list[tuple[Any, float]] = field(default_factory=list)
    """With their moments."""
    refused: list[tuple[Any, float | None]] = field(default_factory=list)
    """With the wait that was told."""

    async def call(
        self,
        name: Any,
        tokens: int = 0,
        *,
        at: float = 0.0,
        within: float | None = None,
        lasts: float = 0.0,
        ends: Any = None,
    ) -> None:
        await self.clock.sleep(at - self.clock.now())
        context = WorkflowContext(clock=self.clock, timeout_seconds=within)
        try:
            permit = await self.limiter.acquire(context, tokens)
        except RateLimitExceededError as error:
            self.refused.append((name, error.retry_after))
            return
        self.turns.append((name, self.clock.now()))
        await self.clock.sleep(lasts)
        if isinstance(ends, BaseException):
            self.limiter.failed(permit, ends)
        else:
            self.limiter.succeeded(permit, ends)

    def run(self, *calls: Any) -> list[tuple[Any, float]]:
        async def all_of_them() -> None:
            await asyncio.gather(*calls)

        self.clock.run(all_of_them())
        assert is_idle(self.limiter)
        return self.turns


# ---------------------------------------------------------------------------------- rates and turns


def test_a_burst_goes_at_once_and_the_rest_as_the_rate_allows() -> None:
    calls = Calls(RateLimiter(requests_per_minute=60, burst_seconds=3))
    turns = calls.run(*(calls.call(n) for n in range(6)))
    assert turns == [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 3)]


def test_one_request_goes_at_once_however_low_the_rate() -> None:
    calls = Calls(RateLimiter(requests_per_minute=1, burst_seconds=1))
    assert calls.run(*(calls.call(n) for n in range(3))) == [(0, 0), (1, 60), (2, 120)]


def test_tokens_are_limited_too() -> None:
    calls = Calls(RateLimiter(tokens_per_minute=6000))
    turns = calls.run(*(calls.call(n, 500) for n in range(4)))
    assert turns == [(0, 0), (1, 0), (2, 5), (3, 10)]


def test_the_scarcer_of_both_decides() -> None:
    calls = Calls(RateLimiter(requests_per_minute=60, tokens_per_minute=6000, burst_seconds=1))
    turns = calls.run(calls.call("a", 100), calls.call("b", 400), calls.call("c"), calls.call("d"))
    assert turns == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]


def test_a_call_larger_than_the_bucket_waits_for_a_full_one_and_leaves_it_in_debt() -> None:
    calls = Calls(RateLimiter(tokens_per_minute=6000, burst_seconds=10))
    turns = calls.run(calls.call("a", 100), calls.call("large", 3000), calls.call("b", 1))
    assert turns == [("a", 0), ("large", 1), ("b", pytest.approx(1 + 20.01))]


def test_small_calls_do_not_overtake_a_large_one() -> None:
    calls = Calls(RateLimiter(tokens_per_minute=60, burst_seconds=10))
    small = (calls.call(n, 1, at=n / 4) for n in range(1, 40))
    turns = calls.run(calls.call("first", 10), calls.call("large", 10), *small)
    assert [name for name, _ in turns] == ["first", "large", *range(1, 40)]
    assert dict(turns)["large"] == 10


def test_a_debt_of_tokens_does_not_hold_back_who_needs_none() -> None:
    calls = Calls(RateLimiter(requests_per_minute=60, tokens_per_minute=60))
    assert calls.run(calls.call("large", 1000), calls.call("none")) == [("large", 0), ("none", 0)]


def test_without_rates_nobody_waits() -> None:
    calls = Calls(RateLimiter())
    assert {at for _, at in calls.run(*(calls.call(n, 10**9) for n in range(100)))} == {0}


@given(
    rate=st.floats(0.5, 6000),
    burst=st.floats(0.1, 60),
    gaps=st.lists(st.floats(0, 30), min_size=2, max_size=60),
)
def test_no_window_holds_more_than_the_burst_and_what_the_rate_brings(
    rate: float, burst: float, gaps: list[float]
) -> None:
    calls = Calls(RateLimiter(requests_per_minute=rate, burst_seconds=burst))
    arrivals = itertools.accumulate(gaps)
    turns = calls.run(*(calls.call(n, at=at) for n, at in enumerate(arrivals)))
    moments = [at for _, at in turns]
    at_once = max(1.0, rate / 60 * burst)
    for first, begin in enumerate(moments):
        for number, end in enumerate(moments[first:], 1):
            assert number <= at_once + rate / 60 * (end - begin) + 1e-6
    assert [name for name, _ in turns] == sorted(range(len(gaps)))


# ---------------------------------------------------------------------------------------- refusals


def test_a_wait_past_the_deadline_is_refused_at_once() -> None:
    calls = Calls(RateLimiter(requests_per_minute=6, burst_seconds=1))
    turns = calls.run(
        calls.call("a"),
        calls.call("b"),
        calls.call("no time", within=20),  # its turn is at 20
        calls.call("in time", within=20.1),
        calls.call("behind", within=30),
    )
    assert turns == [("a", 0), ("b", 10), ("in time", 20)]
    assert calls.refused == [("no time", 20), ("behind", 30)]


def test_nobody_waits_longer_than_max_wait_seconds() -> None:
    calls = Calls(RateLimiter(requests_per_minute=6, burst_seconds=1, max_wait_seconds=10))
    assert calls.run(*(calls.call(n) for n in range(3))) == [(0, 0), (1, 10)]
    assert calls.refused == [(2, 20)]


def test_the_refusal_names_target_limit_and_wait() -> None:
    limiter = RateLimiter(
        requests_per_minute=6, tokens_per_minute=9000, burst_seconds=1, name="openai:gpt-x"
    )

    async def work() -> None:
        clock = VirtualClock()
        assert limiter.try_acquire(clock)
        await limiter.acquire(WorkflowContext(clock=clock, timeout_seconds=3))

    with pytest.raises(RateLimitExceededError) as caught:
        asyncio.run(work())
    assert str(caught.value) == (
        "'openai:gpt-x' has a turn for this call in 10 s (6 requests a minute, 9,000 tokens a "
        "minute), and it may wait 3 s: give it more time, ask another target, or raise the limit "
        "if the provider allows more"
    )
    assert caught.value.retry_after == 10
    assert available(limiter) == (0, 150)


def test_the_wait_counts_the_queue_ahead_and_a_pause() -> None:
    limiter = RateLimiter(requests_per_minute=60, burst_seconds=1)
    calls = Calls(limiter)

    async def pause() -> None:
        await calls.clock.sleep(0.5)
        limiter.learn(RateLimits(requests_remaining=0, requests_reset_seconds=100))

    turns = calls.run(
        calls.call("a"),
        pause(),
        calls.call("b", at=1),
        calls.call("c", at=1, within=100.5),  # its turn is at 101.5
        calls.call("d", at=1, within=100.6),
    )
    assert turns == [("a", 0), ("b", 100.5), ("d", 101.5)]
    assert calls.refused == [("c", 100.5)]


def test_a_pause_refuses_whom_it_makes_too_late_and_nobody_else() -> None:
    limiter = RateLimiter(requests_per_minute=60, burst_seconds=1)
    calls = Calls(limiter)
    turns = calls.run(
        calls.call("a", lasts=0.5, ends=RateLimitError("slow down", retry_after=10)),
        calls.call("b", within=9),
        calls.call("c", within=11),  # its turn was at 2, and without b it is at 10.5
        calls.call("d"),
    )
    assert turns == [("a", 0), ("c", 10.5), ("d", 11.5)]
    assert calls.refused == [("b", 10)]


# ------------------------------------------------------------------------------------ cancellation


async def test_who_is_cancelled_leaves_the_line_and_the_others_move_up() -> None:
    clock = VirtualClock()
    limiter = RateLimiter(requests_per_minute=60, burst_seconds=1)
    calls = Calls(limiter, clock)
    tasks = [asyncio.create_task(calls.call(n)) for n in range(4)]
    await clock.advance(0.5)
    tasks[1].cancel()
    tasks[2].cancel()
    await clock.advance(0)
    assert limiter.waiting == 1
    await clock.advance(10)
    assert calls.turns == [(0, 0), (3, 1)]
    await asyncio.wait(tasks)
    assert is_idle(limiter)


# ----------------------------------------------------------------------------------------- settling


def test_what_was_not_used_is_given_back_and_the_next_goes_early() -> None:
    calls = Calls(RateLimiter(tokens_per_minute=600))
    turns = calls.run(
        calls.call("a", 100, lasts=2, ends=answer(30)),
        calls.call("b", 60),
        calls.call("c", 60),
    )
    # At 2, 20 have flowed in and 70 come back.
    assert turns == [("a", 0), ("b", 2), ("c", 5)]


def test_what_was_used_beyond_the_estimate_is_taken() -> None:
    calls = Calls(RateLimiter(tokens_per_minute=600))
    turns = calls.run(calls.call("a", 100, lasts=1, ends=answer(130)), calls.call("b", 60))
    assert turns == [("a", 0), ("b", 9)]


@pytest.mark.parametrize(
    "unknown",
    [
        answer(),
        "a text",
        None,
        SimpleNamespace(usage=UNKNOWN_USAGE),
        asyncio.CancelledError(),
        GeneratorExit(),
        TimeoutError(),
        ConnectionFailedError("broken"),
        ValueError("a bug"),
        RateLimitError("in its stream", status=200, retry_after=0),
    ],
    ids=repr,
)
def test_what_nobody_knows_keeps_the_estimate(unknown: Any) -> None:
    calls = Calls(RateLimiter(requests_per_minute=60, tokens_per_minute=600))
    calls.run(calls.call("a", 60, ends=unknown))
    assert available(calls.limiter) == (9, 40)


@pytest.mark.parametrize(
    "error",
    [
        ServerError("oops", status=500),
        OverloadedError("busy", status=529),
        RateLimitError("slow", status=429, retry_after=0),
        SimpleNamespace(status_code=503),
        SimpleNamespace(response=SimpleNamespace(status_code=400)),
        SimpleNamespace(code=404, status="NOT_FOUND"),
    ],
    ids=repr,
)
def test_what_the_server_answered_with_an_error_took_no_tokens(error: Any) -> None:
    if not isinstance(error, BaseException):
        foreign = Exception("foreign")
        foreign.__dict__.update(vars(error))
        error = foreign
    calls = Calls(RateLimiter(requests_per_minute=60, tokens_per_minute=600))
    calls.run(calls.call("a", 60, ends=error))
    assert available(calls.limiter) == (9, 100)


def test_what_another_guard_refused_was_never_sent() -> None:
    calls = Calls(RateLimiter(requests_per_minute=60, tokens_per_minute=600))
    calls.run(calls.call("a", 60, ends=CircuitOpenError("open")))
    assert available(calls.limiter) == (10, 100)


def test_it_never_holds_more_than_its_burst() -> None:
    calls = Calls(RateLimiter(tokens_per_minute=600))
    calls.run(calls.call("a", 60, lasts=100, ends=answer(1)))
    assert available(calls.limiter) == (None, 100)


# ------------------------------------------------------------------------------------- rate limited


class ForeignError(Exception):
    """As the SDKs' own: a response with status and headers."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = SimpleNamespace(status_code=status, headers=named)


def pauses(*outcomes: Any) -> list[float]:
    """The pauses that these outcomes of calls made one after the other cause."""
    limiter, clock = RateLimiter(), VirtualClock()
    seen = []

    async def work() -> None:
        for outcome in outcomes:
            begun = clock.now()
            permit = await limiter.acquire(WorkflowContext(clock=clock))
            seen.append(clock.now() - begun)
            await clock.sleep(0.25)
            if isinstance(outcome, Exception):
                limiter.failed(permit, outcome)
            else:
                limiter.succeeded(permit, outcome)

    clock.run(work())
    return seen[1:]


def limited(**more: Any) -> RateLimitError:
    return RateLimitError("slow down", status=429, **more)


def test_everybody_pauses_for_as_long_as_the_provider_asks() -> None:
    assert pauses(limited(retry_after=7.5), None, None) == [7.5, 0]
    assert pauses(ForeignError(429, retry_after="3"), None) == [3]
    assert pauses(ForeignError(429, retry_after_ms="62.5"), None) == [0.0625]


def test_without_a_word_the_pause_doubles_while_it_goes_on() -> None:
    nine = [limited() for _ in range(9)]
    assert pauses(*nine) == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pauses(ForeignError(429), ForeignError(429), None) == [1, 2]


def test_a_success_begins_anew() -> None:
    assert pauses(limited(), limited(), "an answer", limited(), None) == [1, 2, 0, 1]


def test_other_errors_change_nothing() -> None:
    others = ServerError("oops"), ForeignError(500), OverloadedError("busy"), KeyError()
    assert pauses(*others, None) == [0] * 4
    assert pauses(limited(), *others, limited(), None) == [1, 0, 0, 0, 0, 2]


def test_a_spent_quota_is_no_rate_limit() -> None:
    assert pauses(PermissionDeniedError("no credit", status=429), None) == [0]


def test_calls_under_way_at_the_same_time_do_not_double_it() -> None:
    calls = Calls(RateLimiter())
    turns = calls.run(
        *(calls.call(n, lasts=1 + n / 100, ends=limited()) for n in range(10)),
        calls.call("next", at=1.5),
    )
    assert turns[-1] == ("next", 1.09 + 1)


def test_an_old_success_does_not_end_the_pauses_growth() -> None:
    limiter = RateLimiter()
    calls = Calls(limiter)
    calls.run(
        calls.call("a", ends=limited()),
        calls.call("b", at=1, lasts=0.5, ends=limited()),
        calls.call("old", at=1, lasts=1, ends="an answer"),
        calls.call("c", at=3.5, ends=limited()),
    )
    assert limiter.readings()["rate_limit_paused_seconds"] == 4


# ----------------------------------------------------------------------------------------- learning


def learned(limiter: RateLimiter, **told: Any) -> RateLimiter:
    limiter._clock = VirtualClock()
    limiter.learn(RateLimits(**told))
    return limiter


def test_rates_that_nobody_gave_are_learned() -> None:
    limiter = learned(RateLimiter(), requests_limit=60, tokens_limit=6000)
    assert (limiter.requests_per_minute, limiter.tokens_per_minute) == (60, 6000)
    assert available(limiter) == (10, 1000)
    limiter.learn(RateLimits(requests_limit=30, tokens_limit=12_000))
    assert (limiter.requests_per_minute, limiter.tokens_per_minute) == (30, 12_000)
    assert available(limiter) == (5, 1000)  # more flows in from now on


def test_rates_that_the_user_gave_stay() -> None:
    limiter = RateLimiter(requests_per_minute=6, tokens_per_minute=60)
    learned(limiter, requests_limit=600, requests_remaining=600, tokens_limit=10**6)
    assert (limiter.requests_per_minute, limiter.tokens_per_minute) == (6, 60)
    assert available(limiter) == (1, 10)
    learned(limiter, requests_limit=1, tokens_limit=1)
    assert (limiter.requests_per_minute, limiter.tokens_per_minute) == (6, 60)


def test_what_remains_less_what_is_in_flight_is_available() -> None:
    limiter, clock = RateLimiter(requests_per_minute=600, tokens_per_minute=60_000), VirtualClock()
    permits = [limiter.try_acquire(clock, 100) for _ in range(3)]
    assert available(limiter) == (97, 9700)
    told = RateLimits(requests_remaining=50, tokens_remaining=5000)
    assert permits[0] is not None
    limiter.succeeded(permits[0], answer(100, told))
    assert available(limiter) == (48, 4800)
    limiter.learn(RateLimits(requests_remaining=90, tokens_remaining=1))
    assert available(limiter) == (48, 0)


def test_when_nothing_remains_everybody_waits_until_the_reset() -> None:
    told = [
        RateLimits(requests_remaining=0, requests_reset_seconds=30),
        RateLimits(tokens_remaining=0, tokens_reset_seconds=30),
        RateLimits(0, 0, 30, 0, 0, 10),
        RateLimits(60, 0, 30, 6000, 0, 10),
    ]
    for each in told:
        calls = Calls(RateLimiter())
        turns = calls.run(calls.call("a", ends=answer(None, each)), calls.call("b", at=1))
        assert turns == [("a", 0), ("b", 30)]


def test_a_limit_per_day_is_no_rate_per_minute() -> None:
    """As OpenAI tells those of 10,000 requests a day, and Groq those of 14,400."""
    for told in (RateLimits(10_000, 9_999, 8.64), RateLimits(14_400, 14_370, 179.56)):
        limiter = RateLimiter()
        limiter.learn(told)
        assert limiter.requests_per_minute is None
    spent = answer(None, RateLimits(10_000, 0, 86_400.0))
    calls = Calls(RateLimiter())
    turns = calls.run(calls.call("a", ends=spent), calls.call("b", at=1))
    assert turns == [("a", 0), ("b", 8.64)]


def test_a_429_that_asks_for_a_pause_is_believed_more_than_its_reset() -> None:
    error = limited(retry_after=2)
    error.rate_limits = RateLimits(60, 0, 59.0)
    assert pauses(error, None) == [2]
    error = limited()
    error.rate_limits = RateLimits(60, 0, 59.0)
    assert pauses(error, None) == [59]


def test_what_is_told_may_be_old() -> None:
    limiter, clock = RateLimiter(requests_per_minute=600), VirtualClock()
    permit = limiter.try_acquire(clock)
    assert permit is not None
    limiter.succeeded(permit, answer(None, RateLimits(requests_remaining=10)), age_seconds=3)
    assert available(limiter) == (40, None)
    permit = limiter.try_acquire(clock)
    assert permit is not None
    spent = RateLimits(requests_remaining=0, requests_reset_seconds=5)
    limiter.succeeded(permit, answer(None, spent), age_seconds=3)
    assert limiter.readings()["rate_limit_paused_seconds"] == 2


def test_garbage_in_place_of_limits_is_ignored() -> None:
    calls = Calls(RateLimiter())
    calls.run(calls.call("a", ends=SimpleNamespace(rate_limits="many", usage=3)))
    assert calls.limiter.status() == "no limit known"


# ------------------------------------------------------------------------------ several event loops


def test_who_waits_in_another_event_loop_is_woken_there() -> None:
    limiter = RateLimiter(tokens_per_minute=1, burst_seconds=1)
    clock = WorkflowContext().clock
    permit = limiter.try_acquire(clock, 1)
    assert permit is not None
    seen: list[Any] = []

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        taken = await limiter.acquire(WorkflowContext(), 1)
        assert asyncio.get_running_loop() is loop
        seen.append(taken)
        limiter.succeeded(taken, answer(0))

    threads = [threading.Thread(target=asyncio.run, args=(wait(),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    while limiter.waiting < 5:
        pass
    limiter.succeeded(permit, answer(0))  # that gives the next a turn, and each the one behind it
    for thread in threads:
        thread.join()
    assert len(seen) == 5
    assert is_idle(limiter)


@pytest.mark.parametrize("seed", range(3))
def test_several_loops_at_once_keep_to_the_rate(seed: int) -> None:
    """On the real clock, with calls that are cancelled, refused and settled meanwhile."""
    limiter = RateLimiter(requests_per_minute=90_000, tokens_per_minute=900_000, burst_seconds=0.01)
    began: list[float] = []

    async def call(random: Random) -> None:
        within = random.choice([None, 0.02, 9])
        permit = await limiter.acquire(
            WorkflowContext(timeout_seconds=within), random.randrange(20)
        )
        began.append(permit.began)
        try:
            await asyncio.sleep(0)
        except BaseException as error:
            limiter.failed(permit, error)
            raise
        limiter.succeeded(permit, answer(random.randrange(20)))

    async def calls(random: Random) -> None:
        tasks = [asyncio.ensure_future(call(random)) for _ in range(80)]
        await asyncio.sleep(0)
        for task in random.sample(tasks, 20):
            task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            assert end is None or isinstance(end, (asyncio.CancelledError, RateLimitExceededError))

    threads = [
        threading.Thread(target=asyncio.run, args=(calls(Random(4 * seed + number)),))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert is_idle(limiter)
    began.sort()
    for (first, begin), (last, end) in itertools.combinations(enumerate(began), 2):
        assert last - first + 1 <= 15 + 1500 * (end - begin) + 1e-6


def test_a_loop_that_ends_takes_its_calls_out_of_the_line() -> None:
    limiter = RateLimiter(requests_per_minute=1, burst_seconds=1)
    assert limiter.try_acquire(WorkflowContext().clock)

    async def give_up() -> None:
        waiting = [asyncio.ensure_future(limiter.acquire(WorkflowContext())) for _ in range(3)]
        while limiter.waiting < 3:  # noqa: ASYNC110  # the limiter has no event for it
            await asyncio.sleep(0)
        assert len(waiting) == 3

    asyncio.run(give_up())
    assert limiter.waiting == 0


def test_a_loop_that_was_closed_under_its_calls_holds_nobody_up() -> None:
    limiter = RateLimiter(tokens_per_minute=1, burst_seconds=1)
    permit = limiter.try_acquire(WorkflowContext().clock, 1)
    assert permit is not None
    loop = asyncio.new_event_loop()
    left = limiter.acquire(WorkflowContext(), 1)

    async def line_up() -> None:
        task = asyncio.ensure_future(left)
        while not limiter.waiting:  # noqa: ASYNC110  # the limiter has no event for it
            await asyncio.sleep(0)
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    loop.run_until_complete(line_up())
    loop.close()

    async def next_one() -> None:
        waiting = asyncio.ensure_future(limiter.acquire(WorkflowContext(), 1))
        while limiter.waiting < 2:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0)
        limiter.succeeded(permit, answer(0))
        await waiting

    asyncio.run(next_one())
    assert limiter.waiting == 0


# ------------------------------------------------------------------------------------ what it tells


def test_readings_and_status() -> None:
    limiter, clock = RateLimiter(), VirtualClock()
    assert limiter.status() == "no limit known"
    assert limiter.readings() == {"rate_limit_waiting": 0, "rate_limit_paused_seconds": 0}
    limiter = RateLimiter(
        requests_per_minute=60, tokens_per_minute=100_000, burst_seconds=60, name="x"
    )

    async def work() -> None:
        for _ in range(5):
            assert limiter.try_acquire(clock, 4000)
        assert limiter.status() == "55 of 60 requests, 80,000 of 100,000 tokens"
        large = [
            asyncio.ensure_future(limiter.acquire(WorkflowContext(clock=clock), 99_000))
            for _ in range(3)
        ]
        await clock.advance(0)
        assert limiter.status() == "55 of 60 requests, 80,000 of 100,000 tokens; 3 waiting"
        limiter.learn(RateLimits(tokens_remaining=0, tokens_reset_seconds=12))
        assert (
            limiter.status() == "55 of 60 requests, 0 of 100,000 tokens; 3 waiting; paused for 12 s"
        )
        assert limiter.readings() == {
            "rate_limit_requests_available": 55,
            "rate_limit_tokens_available": 0,
            "rate_limit_waiting": 3,
            "rate_limit_paused_seconds": 12,
        }
        for each in large:
            each.cancel()
        await asyncio.wait(large)

    asyncio.run(work())


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "60"])
@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_a_bad_rate_is_refused(name: str, rate: Any) -> None:
    told: Any = {name: rate}
    with pytest.raises(ValueError, match=f"{name} is a number above 0, or None to learn it, not "):
        RateLimiter(**told)


@pytest.mark.parametrize("name", ["burst_seconds", "max_wait_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_bad_seconds_are_refused(name: str, seconds: float) -> None:
    told: Any = {name: seconds}
    with pytest.raises(ValueError, match=f"{name} must be a number of seconds above 0"):
        RateLimiter(**told)
