"""Trying again, when another try can help."""

from __future__ import annotations

import asyncio
import itertools
import re
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConnectionFailedError,
    ContextLengthError,
    InvalidResponseError,
    OverloadedError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
)
from tta_llm.messages import collect as collect_events
from tta_llm.recovery import RetryBudget, RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock


def execute(workflow: WorkflowPrimitive[Any, Any], clock: VirtualClock, **limits: Any) -> Any:
    return clock.run(workflow.execute("x", WorkflowContext(clock=clock, **limits)))


MENDING = [
    RateLimitError("slow down"),
    OverloadedError("busy"),
    ServerError("oops"),
    ConnectionFailedError("reset"),
    ProviderTimeoutError("late"),
    InvalidResponseError("cut short"),
    ConnectionError("reset"),
    ConnectionRefusedError(),
    TimeoutError(),
    ExceptionGroup("several", [ValueError(), ConnectionError()]),
]
FINAL = [
    TypeError("a bug"),
    NameError("a bug"),
    KeyError("a bug"),
    ValueError("a bug"),
    FileNotFoundError("no such file"),
    AuthenticationError("bad key"),
    ContextLengthError("too long"),
    BudgetExceededError("too dear"),
    ExceptionGroup("several", [ValueError(), KeyError()]),
]


@pytest.mark.parametrize("error", MENDING, ids=lambda error: type(error).__name__)
def test_what_another_try_can_mend_is_tried_again(error: Exception) -> None:
    mock = MockPrimitive(values=[error, "an answer"])
    assert execute(RetryPrimitive(mock), VirtualClock()) == "an answer"
    assert mock.call_count == 2


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
def test_what_another_try_can_not_mend_is_raised_at_once(error: Exception) -> None:
    mock, clock = MockPrimitive(values=[error, "an answer"]), VirtualClock()
    with pytest.raises(type(error)) as told:
        execute(RetryPrimitive(mock), clock)
    assert told.value is error
    assert (mock.call_count, clock.now()) == (1, 0)


def test_a_first_success_is_not_repeated() -> None:
    mock = MockPrimitive(return_value="an answer")
    assert execute(RetryPrimitive(mock), VirtualClock()) == "an answer"
    assert mock.call_count == 1


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_so_many_tries_follow_the_first_and_the_last_error_is_raised(retries: int) -> None:
    errors = [ConnectionError(f"try {n}") for n in range(9)]
    mock = MockPrimitive(values=errors)
    with pytest.raises(ConnectionError) as told:
        execute(RetryPrimitive(mock, max_retries=retries), VirtualClock())
    assert mock.call_count == retries + 1
    assert told.value is errors[retries]


def test_the_error_tells_after_how_many_tries() -> None:
    with pytest.raises(ConnectionError) as told:
        execute(
            RetryPrimitive(MockPrimitive(raises=ConnectionError), max_retries=2), VirtualClock()
        )
    assert "after 3 tries" in told.value.__notes__


def test_the_error_tells_so_too_when_it_is_another_that_can_not_be_mended() -> None:
    mock = MockPrimitive(values=[ConnectionError(), ValueError("a bug"), "an answer"])
    with pytest.raises(ValueError, match="a bug") as told:
        execute(RetryPrimitive(mock), VirtualClock())
    assert "after 2 tries" in told.value.__notes__
    assert mock.call_count == 2


def test_a_function_can_be_retried() -> None:
    calls: list[str] = []

    async def flaky(data: str) -> str:
        calls.append(data)
        if len(calls) < 3:
            raise ConnectionError
        return data

    assert execute(RetryPrimitive(flaky), VirtualClock()) == "x"
    assert len(calls) == 3


# ---------------------------------------------------------------------------------------- the waits


@pytest.mark.parametrize("seed", range(5))
def test_waits_grow_at_random_between_zero_and_their_bounds(seed: int) -> None:
    clock, moments = VirtualClock(), []

    def fails(data: Any, context: WorkflowContext) -> None:
        moments.append(context.clock.now())
        raise ConnectionError

    retrying = RetryPrimitive(fails, max_retries=6, wait_seconds=1, max_wait_seconds=8)
    with pytest.raises(ConnectionError):
        execute(retrying, clock)
    waits = [after - before for before, after in itertools.pairwise(moments)]
    assert len(waits) == 6
    assert all(0 <= wait <= bound for wait, bound in zip(waits, [1, 2, 4, 8, 8, 8], strict=True))
    assert len(set(waits)) == 6, "they are not random"


def test_what_the_provider_asks_for_is_waited() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(values=[RateLimitError("later", retry_after=42.0), "an answer"])
    assert execute(RetryPrimitive(mock, wait_seconds=0.5), clock) == "an answer"
    assert 42 <= clock.now() <= 42.5


def test_those_who_were_told_the_same_do_not_come_back_at_once() -> None:
    moments = set()
    for _ in range(20):
        clock = VirtualClock()
        mock = MockPrimitive(values=[RateLimitError("later", retry_after=42.0), "an answer"])
        execute(RetryPrimitive(mock), clock)
        moments.add(clock.now())
    assert len(moments) == 20


def test_a_group_asks_for_its_shortest_wait() -> None:
    clock = VirtualClock()
    several = ExceptionGroup("", [RateLimitError("", retry_after=s) for s in (42.0, 7.0)])
    execute(RetryPrimitive(MockPrimitive(values=[several, "an answer"])), clock)
    assert 7 <= clock.now() <= 7.5


def test_a_wait_shorter_than_ones_own_does_not_shorten_it() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(values=[RateLimitError("now", retry_after=0.0), "an answer"])
    assert execute(RetryPrimitive(mock, wait_seconds=1), clock) == "an answer"
    assert 0 <= clock.now() <= 1


def test_it_never_waits_past_the_deadline() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(values=[RateLimitError("later", retry_after=42.0), "an answer"])
    with pytest.raises(RateLimitError) as told:
        execute(RetryPrimitive(mock), clock, timeout_seconds=10)
    assert clock.now() == 0, "it slept although it knew better"
    assert mock.call_count == 1
    assert any(
        re.search(r"not tried again: .* wait of 42\S* s, and 10 s are left", note)
        for note in told.value.__notes__
    )


def test_tries_share_one_deadline() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(raises=ConnectionError, delay_seconds=4)
    with pytest.raises((ConnectionError, TimeoutError)):
        execute(RetryPrimitive(mock, max_retries=50), clock, timeout_seconds=10)
    assert clock.now() <= 10


def test_its_own_deadline_is_not_retried() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(return_value=1, delay_seconds=60)
    with pytest.raises(TimeoutError):
        execute(RetryPrimitive(mock), clock, timeout_seconds=10)
    assert mock.call_count == 1


# ------------------------------------------------------------------------------------ what to retry


def test_error_types_can_be_asked_for_besides() -> None:
    errors = [KeyError("a"), ConnectionError("b")]
    mock = MockPrimitive(values=[*errors, "an answer"])
    assert execute(RetryPrimitive(mock, retry_on=(KeyError, IndexError)), VirtualClock())
    mock = MockPrimitive(values=[ValueError("a"), "an answer"])
    with pytest.raises(ValueError, match="a"):
        execute(RetryPrimitive(mock, retry_on=(KeyError, IndexError)), VirtualClock())


def test_errors_can_be_left_out() -> None:
    for raise_on in (ConnectionError, lambda error: "reset" in str(error)):
        mock = MockPrimitive(values=[ServerError("oops"), ConnectionError("reset"), "an answer"])
        with pytest.raises(ConnectionError):
            execute(RetryPrimitive(mock, raise_on=raise_on), VirtualClock())
        assert mock.call_count == 2


def test_what_is_left_out_goes_before_what_is_asked_for() -> None:
    mock = MockPrimitive(values=[KeyError("a"), "an answer"])
    with pytest.raises(KeyError):
        execute(RetryPrimitive(mock, retry_on=LookupError, raise_on=KeyError), VirtualClock())


def test_a_function_of_the_error_can_decide() -> None:
    mock = MockPrimitive(values=[ValueError("again"), ValueError("stop"), "an answer"])
    with pytest.raises(ValueError, match="stop"):
        execute(RetryPrimitive(mock, retry_on=lambda error: "again" in str(error)), VirtualClock())
    assert mock.call_count == 2


async def test_cancellation_is_never_retried() -> None:
    begun = asyncio.Event()
    calls: list[str] = []

    @step
    async def waits(data: str) -> None:
        calls.append(data)
        begun.set()
        await asyncio.Event().wait()

    retrying = RetryPrimitive(waits, retry_on=lambda error: True)
    task = asyncio.ensure_future(retrying.execute("x", WorkflowContext()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["x"]


async def test_cancellation_while_it_waits_passes_through() -> None:
    mock, clock = MockPrimitive(raises=ConnectionError), VirtualClock()
    task = asyncio.ensure_future(RetryPrimitive(mock).execute("x", WorkflowContext(clock=clock)))
    while not mock.call_count:  # noqa: ASYNC110  # the mock has no event
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mock.call_count == 1


# ------------------------------------------------------------------------------------------ streams


class Spell(WorkflowPrimitive[str, str]):
    """Breaks, on its first tries, after so many letters."""

    def __init__(self, *breaks_after: int) -> None:
        super().__init__()
        self.breaks = list(breaks_after)
        self.opened = self.closed = 0

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        self.opened += 1
        stop = self.breaks.pop(0) if self.breaks else None
        try:
            for number, letter in enumerate(input_data):
                if number == stop:
                    raise ConnectionError("broken")
                yield letter
        finally:
            self.closed += 1


def stream(workflow: WorkflowPrimitive[Any, Any], seen: list[Any], clock: VirtualClock) -> None:
    async def work() -> None:
        context = WorkflowContext(clock=clock)
        async with aclosing(workflow.stream("abc", context)) as pieces:
            async for piece in pieces:
                seen.append(piece)  # noqa: PERF401  # what came before the error counts

    clock.run(work())


def test_a_stream_is_tried_again_before_its_first_piece() -> None:
    seen: list[Any] = []
    spell = Spell(0, 0)
    stream(RetryPrimitive(spell), seen, VirtualClock())
    assert seen == ["a", "b", "c"]
    assert (spell.opened, spell.closed) == (3, 3)


def test_a_stream_is_not_tried_again_after_its_first_piece() -> None:
    seen: list[Any] = []
    spell = Spell(2)
    with pytest.raises(ConnectionError, match="broken"):
        stream(RetryPrimitive(spell), seen, VirtualClock())
    assert seen == ["a", "b"]
    assert (spell.opened, spell.closed) == (1, 1)


def test_a_stream_that_fails_for_good_is_given_up() -> None:
    seen: list[Any] = []
    spell = Spell(*[0] * 9)
    with pytest.raises(ConnectionError) as told:
        stream(RetryPrimitive(spell, max_retries=2), seen, VirtualClock())
    assert (spell.opened, spell.closed) == (3, 3)
    assert "after 3 tries" in told.value.__notes__


def test_an_empty_stream_is_a_success() -> None:
    @step(join=list)
    async def nothing(data: str) -> Any:
        return
        yield

    seen: list[Any] = []
    stream(RetryPrimitive(nothing), seen, VirtualClock())
    assert seen == []


async def test_closing_early_closes_the_stream_inside() -> None:
    spell = Spell(0)
    context = WorkflowContext(clock=VirtualClock(auto_advance=True))
    async with aclosing(RetryPrimitive(spell).stream("abc", context)) as pieces:
        assert await anext(pieces) == "a"
    assert (spell.opened, spell.closed) == (2, 2)


# -------------------------------------------------------------------------------------- bad results


def is_short(result: str) -> bool:
    return len(result) < 3


def test_a_bad_result_is_tried_again() -> None:
    mock = MockPrimitive(values=["", ConnectionError(), "no", "an answer"])
    retrying = RetryPrimitive(mock, retry_if_result=is_short)
    assert execute(retrying, VirtualClock()) == "an answer"
    assert mock.call_count == 4


def test_when_no_try_is_left_the_last_result_is_given() -> None:
    mock = MockPrimitive(values=["a", "b", "c"])
    retrying = RetryPrimitive(mock, max_retries=2, retry_if_result=is_short)
    assert execute(retrying, VirtualClock()) == "c"
    assert (
        execute(RetryPrimitive(lambda _: "a", 0, retry_if_result=is_short), VirtualClock()) == "a"
    )


def test_a_bad_result_is_not_tried_again_without_time_for_it() -> None:
    mock = MockPrimitive(return_value="a", delay_seconds=6)
    retrying = RetryPrimitive(mock, retry_if_result=is_short, total_seconds=5)
    assert execute(retrying, VirtualClock()) == "a"
    assert mock.call_count == 1


def test_a_judged_stream_is_held_back_until_it_is_good() -> None:
    model = FakeChatModel(["", "an answer"])
    retrying = RetryPrimitive(model, retry_if_result=lambda response: not response.text)

    async def read() -> Any:
        return await collect_events(retrying.stream("x", WorkflowContext(clock=clock)))

    clock = VirtualClock()
    assert clock.run(read()).text == "an answer"
    seen: list[Any] = []
    stream(RetryPrimitive(lambda _: "ab", 1, retry_if_result=is_short), seen, clock)
    assert seen == ["ab"]


# -------------------------------------------------------------------- a total time, and the budget


def test_tries_begin_within_the_total_time() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(values=[RateLimitError("later", retry_after=3600.0), "an answer"])
    with pytest.raises(RateLimitError) as told:
        execute(RetryPrimitive(mock, total_seconds=60), clock)
    assert (mock.call_count, clock.now()) == (1, 0)
    assert any("60 s are left for all tries" in note for note in told.value.__notes__)


def test_the_first_try_counts_for_the_total_time() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(raises=ConnectionError, delay_seconds=25)
    retrying = RetryPrimitive(mock, 99, total_seconds=60, wait_seconds=0.1, max_wait_seconds=0.1)
    with pytest.raises(ConnectionError):
        execute(retrying, clock)
    assert mock.call_count == 3


def test_a_day_of_tries_takes_no_time_at_all() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(raises=ConnectionError)
    day = RetryPrimitive(
        mock, 10_000, wait_seconds=60, max_wait_seconds=60, total_seconds=24 * 3600
    )
    with pytest.raises(ConnectionError):
        execute(day, clock)
    assert 23.5 * 3600 < clock.now() <= 24 * 3600


def test_without_tokens_in_its_budget_the_error_is_raised_at_once() -> None:
    budget = RetryBudget(ratio=0, per_second=0, burst=2)
    mock = MockPrimitive(raises=ConnectionError, name="the model")
    with pytest.raises(ConnectionError) as told:
        execute(RetryPrimitive(mock, max_retries=9, retry_budget=budget), VirtualClock())
    assert mock.call_count == 3
    assert "not tried again: the retry budget of 'the model' is used up" in told.value.__notes__


def test_all_that_retry_a_target_share_its_budget() -> None:
    model = MockPrimitive(name="the model")
    first, second = RetryPrimitive(model), RetryPrimitive(TimeoutPrimitive(model, 5))
    assert first.retry_budget is second.retry_budget
    assert first.retry_budget.name == "the model"
    assert RetryPrimitive(MockPrimitive()).retry_budget is not first.retry_budget


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("retries", [-1, 1.5, "3", None])
def test_a_bad_number_of_retries_is_refused(retries: Any) -> None:
    with pytest.raises(ValueError, match=f"max_retries must be .* at least 0, not {retries!r}"):
        RetryPrimitive(MockPrimitive(), max_retries=retries)


@pytest.mark.parametrize("option", ["wait_seconds", "max_wait_seconds", "total_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_bad_wait_is_refused(option: str, seconds: float) -> None:
    options: Any = {option: seconds}
    with pytest.raises(ValueError, match=f"{option} must be a number of seconds above 0"):
        RetryPrimitive(MockPrimitive(), **options)


@pytest.mark.parametrize("on", [3, "ConnectionError", int, (ConnectionError, 3), BaseException])
def test_a_bad_filter_is_refused(on: Any) -> None:
    with pytest.raises(TypeError, match="exception type"):
        RetryPrimitive(MockPrimitive(), retry_on=on)


def test_cancellation_can_not_be_asked_for() -> None:
    with pytest.raises(TypeError, match="cancellation and exit are never caught"):
        RetryPrimitive(MockPrimitive(), retry_on=asyncio.CancelledError)  # type: ignore[arg-type]


def test_a_coroutine_in_place_of_the_step_is_refused() -> None:
    async def work(data: str) -> str:
        return data

    with pytest.raises(TypeError, match="the function itself: write work"):
        RetryPrimitive(work("x"))  # type: ignore[call-overload]
