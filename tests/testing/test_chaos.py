"""Trouble on purpose, by rate and seed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from tta_llm import ParallelPrimitive, WorkflowContext, step
from tta_llm.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    OverloadedError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
)
from tta_llm.messages import ChatResponse, assistant, fold
from tta_llm.recovery import RetryPrimitive
from tta_llm.testing import (
    ChaosPrimitive,
    FakeChatModel,
    MockPrimitive,
    VirtualClock,
    cancel_at_every_await,
)

STORM: dict[str, Any] = {
    "failure_rate": 0.2,
    "latency_rate": 0.4,
    "latency_seconds": (1, 3),
    "wrong_result_rate": 0.1,
    "wrong_result": "nonsense",
    "cancel_rate": 0.05,
    "cut_rate": 0.15,
}


@step(join="".join)
async def letters(text: str) -> AsyncIterator[str]:
    for letter in text:
        yield letter


async def collect(stream: Any) -> list[Any]:
    async with aclosing(stream) as pieces:
        return [piece async for piece in pieces]


async def told(work: Any) -> Any:
    """Await it in a task of its own; give what it gives, or a word for what it raises."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task])
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return task.result() if error is None else f"{type(error).__name__}: {error}"


def fates(chaos: ChaosPrimitive[Any, Any], calls: int, *, stream: bool = False) -> list[Any]:
    """Give what came of so many calls, and how long each took."""
    clock = VirtualClock()

    async def one() -> tuple[Any, float]:
        begun, context = clock.now(), WorkflowContext(clock=clock)
        result = await told(
            collect(chaos.stream("abcdefgh", context))
            if stream
            else chaos.execute("abcdefgh", context)
        )
        return result, round(clock.now() - begun, 6)

    async def all_of_them() -> list[Any]:
        return [await one() for _ in range(calls)]

    return clock.run(all_of_them())


# ----------------------------------------------------------------------------------------- by rate


def test_without_rates_nothing_happens() -> None:
    chaos = ChaosPrimitive(letters)
    assert fates(chaos, 20) == [("abcdefgh", 0)] * 20
    assert fates(chaos, 20, stream=True) == [(list("abcdefgh"), 0)] * 20
    assert chaos.calls == 40
    assert not chaos.injected


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_each_kind_comes_as_often_as_its_rate_says(stream: bool) -> None:
    chaos = ChaosPrimitive(letters, seed=1, **STORM)
    results = fates(chaos, 10_000, stream=stream)
    shares = {kind: count / 10_000 for kind, count in chaos.injected.items()}
    # Three standard deviations of a share of 0.4 among 10,000 are 0.015.
    expected = {"failure": 0.2, "latency": 0.4, "wrong_result": 0.1, "cancel": 0.05}
    assert shares == pytest.approx(expected | {"cut": 0.15} if stream else expected, abs=0.015)
    seen = Counter(str(result) for result, _ in results)
    assert seen["['nonsense']" if stream else "nonsense"] == chaos.injected["wrong_result"]
    assert seen["cancelled"] == chaos.injected["cancel"]
    failed = sum(count for result, count in seen.items() if "Error: injected" in result)
    assert failed == chaos.injected["failure"]


@pytest.mark.parametrize("kind", ["failure", "wrong_result", "cancel", "cut"])
def test_a_rate_of_one_is_always(kind: str) -> None:
    rates: dict[str, Any] = {f"{kind}_rate": 1}
    chaos = ChaosPrimitive(letters, **rates)
    results = [result for result, _ in fates(chaos, 50, stream=True)]
    assert list("abcdefgh") not in results
    assert chaos.injected == {kind: 50}


def test_latency_is_drawn_between_its_bounds_and_comes_before_all_else() -> None:
    chaos = ChaosPrimitive(letters, latency_rate=1, latency_seconds=(2, 5), failure_rate=0.5)
    waits = [seconds for _, seconds in fates(chaos, 200)]
    assert all(2 <= wait <= 5 for wait in waits)
    assert min(waits) < 2.5 and max(waits) > 4.5
    fixed = ChaosPrimitive(letters, latency_rate=1, latency_seconds=7)
    assert fates(fixed, 3) == [("abcdefgh", 7)] * 3


def test_latency_counts_against_the_deadline() -> None:
    clock = VirtualClock()
    chaos = ChaosPrimitive(letters, latency_rate=1, latency_seconds=60)
    with pytest.raises(DeadlineExceededError):
        clock.run(chaos.execute("x", WorkflowContext(clock=clock, timeout_seconds=5)))
    assert clock.now() == 5


# ----------------------------------------------------------------------------------------- by seed


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_seed_brings_the_same_fates(stream: bool) -> None:
    one, same, other = (
        fates(ChaosPrimitive(letters, seed=seed, **STORM), 200, stream=stream)
        for seed in (42, 42, 43)
    )
    assert one == same != other


def test_a_drawn_seed_is_shown_so_that_it_can_be_used_again() -> None:
    chaos = ChaosPrimitive(MockPrimitive(name="model"), failure_rate=0.5)
    assert repr(chaos) == (
        f"ChaosPrimitive\n└─ chaos with seed {chaos.seed}: MockPrimitive 'model'"
    )
    again = ChaosPrimitive(MockPrimitive(), failure_rate=0.5, seed=chaos.seed)
    assert fates(chaos, 50) == fates(again, 50)
    assert len({ChaosPrimitive(letters).seed for _ in range(5)}) == 5


def test_the_nth_call_has_its_fate_whatever_runs_at_the_same_time() -> None:
    alone = [result for result, _ in fates(ChaosPrimitive(letters, seed=3, **STORM), 100)]

    async def together() -> list[Any]:
        chaos = ChaosPrimitive(letters, seed=3, **STORM)
        contexts = [WorkflowContext(clock=clock) for _ in range(100)]
        return await asyncio.gather(*(told(chaos.execute("abcdefgh", c)) for c in contexts))

    clock = VirtualClock()
    assert clock.run(together()) == alone


def test_a_rate_that_is_changed_changes_nothing_else() -> None:
    late = fates(ChaosPrimitive(letters, seed=3, latency_rate=0.5), 100)
    both = fates(ChaosPrimitive(letters, seed=3, latency_rate=0.5, failure_rate=0.5), 100)
    assert [seconds for _, seconds in late] == [seconds for _, seconds in both]


def test_threads_may_share_it() -> None:
    chaos = ChaosPrimitive(MockPrimitive(), latency_rate=1, latency_seconds=0)

    async def calls() -> None:
        for _ in range(100):
            await chaos.execute("x", WorkflowContext())

    async def in_threads() -> None:
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, calls()) for _ in range(4)))

    asyncio.run(in_threads())
    assert chaos.calls == chaos.injected["latency"] == 400


# ---------------------------------------------------------------------------------------- failures


def error_of(chaos: ChaosPrimitive[Any, Any]) -> Exception:
    with pytest.raises(Exception) as told:  # noqa: PT011  # any
        chaos.run("x")
    return told.value


def test_by_default_it_fails_like_a_provider_in_bad_weather() -> None:
    chaos = ChaosPrimitive(MockPrimitive(), failure_rate=1, seed=1)
    errors = [error_of(chaos) for _ in range(500)]
    kinds = Counter(type(error) for error in errors)
    usual = {
        RateLimitError,
        OverloadedError,
        ServerError,
        ConnectionFailedError,
        ProviderTimeoutError,
    }
    assert kinds.keys() == usual
    assert all(60 < count < 140 for count in kinds.values())
    assert {error.retry_after for error in errors if isinstance(error, RateLimitError)} == {1.0}


def test_what_it_fails_with_can_be_said() -> None:
    given = ServerError("down", status=503)
    chaos = ChaosPrimitive(
        MockPrimitive(), failure_rate=1, errors=[KeyError, given, lambda: OSError(5, "disk")]
    )
    errors = [error_of(chaos) for _ in range(60)]
    assert {type(error) for error in errors} == {KeyError, ServerError, OSError}
    servers = [error for error in errors if isinstance(error, ServerError)]
    assert {(str(error), error.status) for error in servers} == {("down", 503)}
    assert len(set(map(id, servers))) == len(servers) and given not in servers
    assert not hasattr(given, "__notes__")


def test_the_error_tells_which_call_it_was() -> None:
    chaos = ChaosPrimitive(MockPrimitive(), failure_rate=1, seed=9)
    error_of(chaos)
    assert error_of(chaos).__notes__ == ["injected by ChaosPrimitive: call 2 with seed 9"]


def test_a_failure_is_in_place_of_the_call_and_a_wrong_result_after_it() -> None:
    mock = MockPrimitive("right")
    error_of(ChaosPrimitive(mock, failure_rate=1))
    assert mock.call_count == 0
    assert ChaosPrimitive(mock, wrong_result_rate=1).run("x") is None
    assert mock.call_count == 1


def test_a_wrong_result_can_be_made_of_the_right_one() -> None:
    chaos = ChaosPrimitive(MockPrimitive("right"), wrong_result_rate=1, wrong_result=str.upper)
    assert chaos.run("x") == "RIGHT"


async def test_a_wrong_answer_is_streamed_as_events() -> None:
    def lie(response: ChatResponse) -> ChatResponse:
        return replace(response, message=assistant("Rome."))

    chaos = ChaosPrimitive(FakeChatModel("Paris."), wrong_result_rate=1, wrong_result=lie)
    events = await collect(chaos.stream("Capital of France?", WorkflowContext()))
    assert len(events) > 1 and fold(events).text == "Rome."


def test_retries_get_through() -> None:
    model = ChaosPrimitive(FakeChatModel("Paris."), failure_rate=0.4, seed=5)
    clock = VirtualClock()
    patient = RetryPrimitive(model, max_retries=20)
    results = [clock.run(patient.execute("?", WorkflowContext(clock=clock))) for _ in range(20)]
    assert {result.text for result in results} == {"Paris."}
    assert model.calls == 20 + model.injected["failure"]


# ----------------------------------------------------------------------------------- cancellations


async def test_a_cancellation_comes_as_from_outside() -> None:
    chaos = ChaosPrimitive(mock := MockPrimitive(), cancel_rate=1)
    seen: list[str] = []

    async def request() -> None:
        try:
            await RetryPrimitive(chaos, retry_on=lambda _: True).execute("x", WorkflowContext())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None and task.cancelling() == 1
            seen.append("cancelled")
            raise

    assert await told(request()) == "cancelled"
    assert seen == ["cancelled"]
    assert (chaos.calls, mock.call_count) == (1, 0)


async def test_code_that_swallows_it_is_found_out() -> None:
    chaos = ChaosPrimitive(MockPrimitive(), cancel_rate=1)

    async def careless() -> str:
        try:
            await chaos.execute("x", WorkflowContext())
        except BaseException:
            return "swallowed"
        return "through"

    task = asyncio.ensure_future(careless())
    assert await task == "swallowed"
    assert task.cancelling() == 1


async def test_a_branch_is_cancelled_by_itself() -> None:
    waits = MockPrimitive(delay_seconds=60)
    fan_out = ParallelPrimitive([ChaosPrimitive(MockPrimitive(), cancel_rate=1), waits])
    assert await told(fan_out.execute("x", WorkflowContext())) == "cancelled"


async def test_a_cancellation_from_outside_goes_through() -> None:
    def work() -> Any:
        chaos = ChaosPrimitive(letters, latency_rate=1, latency_seconds=1e-6)
        return chaos.execute("abc", WorkflowContext())

    def stream() -> Any:
        chaos = ChaosPrimitive(letters, latency_rate=1, latency_seconds=1e-6)
        return collect(chaos.stream("abc", WorkflowContext()))

    assert await cancel_at_every_await(work) == 1
    assert await cancel_at_every_await(stream) == 1


# -------------------------------------------------------------------------------------- cut streams


def cut_after(length: int, seed: int, closed: list[bool]) -> list[str]:
    @step(join="".join)
    async def spell(text: str) -> AsyncIterator[str]:
        try:
            for letter in text:
                yield letter
        finally:
            closed.append(True)

    pieces: list[str] = []

    async def consume() -> None:
        chaos = ChaosPrimitive(spell, cut_rate=1, seed=seed)
        async with aclosing(chaos.stream("abcdefghij"[:length], WorkflowContext())) as stream:
            async for piece in stream:
                pieces.append(piece)  # noqa: PERF401  # they count, too, when it breaks

    with pytest.raises(ConnectionFailedError, match="cut after") as told:
        asyncio.run(consume())
    assert str(told.value) == f"cut after {len(pieces)} pieces"
    assert told.value.__notes__ == [f"injected by ChaosPrimitive: call 1 with seed {seed}"]
    return pieces


@pytest.mark.parametrize("length", [0, 1, 2, 6, 10])
def test_a_cut_stream_never_comes_to_its_end(length: int) -> None:
    closed: list[bool] = []
    lengths = {len(cut_after(length, seed, closed)) for seed in range(40)}
    assert lengths == {min(drawn, max(0, length - 1)) for drawn in range(1, 6)}
    assert closed == [True] * 40


def test_what_the_stream_itself_raises_is_not_hidden() -> None:
    @step(join="".join)
    async def breaks(text: str) -> AsyncIterator[str]:
        yield text
        raise KeyError("its own")

    chaos = ChaosPrimitive(breaks, cut_rate=1, seed=1)
    with pytest.raises(KeyError, match="its own"):
        asyncio.run(collect(chaos.stream("x", WorkflowContext())))
    assert not chaos.injected


def test_a_call_that_is_not_streamed_is_not_cut() -> None:
    chaos = ChaosPrimitive(letters, cut_rate=1)
    assert chaos.run("abc") == "abc"
    assert not chaos.injected


# --------------------------------------------------------------------------------------- composing


@pytest.mark.parametrize(
    "name", ["failure_rate", "latency_rate", "wrong_result_rate", "cancel_rate", "cut_rate"]
)
@pytest.mark.parametrize("rate", [-0.1, 1.1, 30, float("nan"), "0.3", None, True])
def test_a_rate_that_is_no_share_is_refused(name: str, rate: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is a share of the calls, .* from 0 to 1, not"):
        ChaosPrimitive(letters, **{name: rate})


def test_rates_of_more_than_all_calls_are_refused() -> None:
    with pytest.raises(ValueError, match=r"let their rates add up to 1 or less, not to 1\.1"):
        ChaosPrimitive(letters, failure_rate=0.6, cancel_rate=0.5)
    ChaosPrimitive(letters, failure_rate=0.7, cancel_rate=0.1, cut_rate=0.2, latency_rate=1)


@pytest.mark.parametrize("seconds", [-1, (3, 1), (1, 2, 3), "1", None, (None, 1), float("nan")])
def test_a_latency_that_is_none_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match="seconds"):
        ChaosPrimitive(letters, latency_seconds=seconds)


@pytest.mark.parametrize(
    ("errors", "kind", "words"),
    [
        ([], ValueError, "errors is empty"),
        (ServerError("x"), TypeError, "errors is a list"),
        (["ServerError"], TypeError, "not 'ServerError'"),
        ([asyncio.CancelledError], TypeError, "a cancellation is injected by cancel_rate"),
        ([int], TypeError, "not <class 'int'>"),
    ],
)
def test_errors_that_are_none_are_refused(errors: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        ChaosPrimitive(letters, failure_rate=0.1, errors=errors)
