"""Going on to the next choice."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import (
    AllFailedError,
    AuthenticationError,
    CompositionError,
    InvalidRequestError,
    OverloadedError,
    ServerError,
)
from tta_llm.recovery import FallbackPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock


def give(value: Any, name: str = "give") -> MockPrimitive:
    return MockPrimitive(return_value=value, name=name)


def fail(error: Any, name: str = "fail", delay: float = 0.0) -> MockPrimitive:
    return MockPrimitive(raises=error, name=name, delay_seconds=delay)


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


async def test_the_primary_answers_when_it_can() -> None:
    second = give("second")
    workflow = FallbackPrimitive(give("first"), [second])
    assert await workflow.execute("x", WorkflowContext()) == "first"
    assert second.call_count == 0


async def test_the_others_are_tried_in_order() -> None:
    third, fourth = give("third"), give("fourth")
    workflow = FallbackPrimitive(fail(ServerError("a")), [fail(ConnectionError), third, fourth])
    assert await workflow.execute("x", WorkflowContext()) == "third"
    assert (third.call_count, fourth.call_count) == (1, 0)


async def test_each_choice_gets_the_same_input_and_context() -> None:
    first, second = fail(ServerError("a")), give("second")
    context = WorkflowContext()
    data = {"q": 1}
    await FallbackPrimitive(first, [second]).execute(data, context)
    assert first.calls[0].input_data is second.calls[0].input_data is data


@pytest.mark.parametrize(
    "error",
    [TypeError("bug"), NameError("bug"), InvalidRequestError("bad")],
    ids=lambda error: type(error).__name__,
)
async def test_what_another_choice_must_not_hide_is_raised_at_once(error: Exception) -> None:
    second = give("second")
    with pytest.raises(type(error)) as told:
        await FallbackPrimitive(fail(error, "model"), [second]).execute("x", WorkflowContext())
    assert told.value is error
    assert second.call_count == 0
    assert notes(error) == ["in choice 1 of 2 'model'"]


async def test_a_bad_key_of_the_second_choice_is_not_hidden_either() -> None:
    workflow = FallbackPrimitive(fail(ServerError("a")), [fail(AuthenticationError("key"))])
    with pytest.raises((AuthenticationError, AllFailedError)) as told:
        await workflow.execute("x", WorkflowContext())
    assert "AuthenticationError" in repr(told.value)


async def test_the_user_may_say_what_falls_through() -> None:
    workflow = FallbackPrimitive(fail(KeyError("x")), [give("second")], fallback_on=LookupError)
    assert await workflow.execute("x", WorkflowContext()) == "second"
    workflow = FallbackPrimitive(
        fail(ValueError("soft")), [give("second")], fallback_on=lambda error: "soft" in str(error)
    )
    assert await workflow.execute("x", WorkflowContext()) == "second"


async def test_when_all_failed_the_group_holds_every_attempt_in_order() -> None:
    errors = [ServerError("one"), ConnectionError("two"), OverloadedError("three")]
    workflow = FallbackPrimitive(fail(errors[0], "a"), [fail(errors[1], "b"), fail(errors[2], "c")])
    with pytest.raises(AllFailedError, match="3 of 3 choices") as told:
        await workflow.execute("x", WorkflowContext())
    assert list(told.value.exceptions) == errors
    assert isinstance(told.value, ExceptionGroup)
    assert [notes(error) for error in errors] == [
        ["in choice 1 of 3 'a'"],
        ["in choice 2 of 3 'b'"],
        ["in choice 3 of 3 'c'"],
    ]


async def test_a_group_of_failures_can_be_taken_apart() -> None:
    workflow = FallbackPrimitive(fail(ServerError("one")), [fail(ConnectionError("two"))])
    seen: list[str] = []
    try:
        await workflow.execute("x", WorkflowContext())
    except* ServerError as group:
        seen += [str(error) for error in group.exceptions]
    except* ConnectionError as group:
        seen += [str(error) for error in group.exceptions]
    assert sorted(seen) == ["one", "two"]


async def test_a_fallback_of_fallbacks_goes_on_when_a_whole_one_failed() -> None:
    inner = FallbackPrimitive(fail(ServerError("a")), [fail(ServerError("b"))])
    assert await FallbackPrimitive(inner, [give("last")]).execute("x", WorkflowContext()) == "last"


async def test_cancellation_is_never_a_reason_to_go_on() -> None:
    begun, second = asyncio.Event(), give("second")

    @step
    async def waits(data: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    workflow = FallbackPrimitive(waits, [second], fallback_on=lambda error: True)
    task = asyncio.ensure_future(workflow.execute("x", WorkflowContext()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert second.call_count == 0


def test_no_choice_is_begun_without_time_for_it() -> None:
    clock, second = VirtualClock(), give("second")

    @step
    async def stubborn(data: str, context: WorkflowContext) -> None:
        while (context.remaining_seconds() or 0) > 0:
            try:
                await context.clock.sleep(60)
            except asyncio.CancelledError:
                raise ServerError("closed") from None

    context = WorkflowContext(clock=clock, timeout_seconds=5)
    with pytest.raises(TimeoutError):
        clock.run(FallbackPrimitive(stubborn, [second]).execute("x", context))
    assert second.call_count == 0


# ------------------------------------------------------------------------------------------ streams


class Spell(WorkflowPrimitive[str, str]):
    def __init__(self, fail_after: int | None = None, name: str = "spell") -> None:
        super().__init__(name=name)
        self.fail_after = fail_after
        self.opened = self.closed = 0

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        self.opened += 1
        try:
            for number, letter in enumerate(input_data):
                if number == self.fail_after:
                    raise ConnectionError("broken")
                yield letter
        finally:
            self.closed += 1


async def stream(workflow: WorkflowPrimitive[Any, Any], seen: list[Any]) -> None:
    async with aclosing(workflow.stream("abc", WorkflowContext())) as pieces:
        async for piece in pieces:
            seen.append(piece)  # noqa: PERF401  # what came before the error counts


async def test_a_stream_goes_over_to_the_next_choice_before_its_first_piece() -> None:
    seen: list[Any] = []
    first, second = Spell(0), Spell()
    await stream(FallbackPrimitive(first, [second]), seen)
    assert seen == ["a", "b", "c"]
    assert (first.closed, second.closed) == (1, 1)


async def test_after_its_first_piece_a_stream_fails_and_says_what_was_delivered() -> None:
    seen: list[Any] = []
    first, second = Spell(2, "model"), Spell()
    with pytest.raises(ConnectionError) as told:
        await stream(FallbackPrimitive(first, [second]), seen)
    assert seen == ["a", "b"]
    assert (first.closed, second.opened) == (1, 0)
    assert any("2 pieces of the stream had been delivered" in note for note in notes(told.value))
    assert any("choice 1 of 2 'model'" in note for note in notes(told.value))


async def test_when_all_streams_failed_the_group_holds_every_attempt() -> None:
    with pytest.raises(AllFailedError) as told:
        await stream(FallbackPrimitive(Spell(0), [Spell(0)]), [])
    assert len(told.value.exceptions) == 2


async def test_a_bug_in_a_stream_is_raised_at_once() -> None:
    @step(join=list)
    async def buggy(data: str) -> Any:
        if data:
            raise TypeError("bug")
        yield

    second = Spell()
    with pytest.raises(TypeError, match="bug"):
        await stream(FallbackPrimitive(buggy, [second]), [])
    assert second.opened == 0


async def test_closing_early_closes_the_choice() -> None:
    first, second = Spell(0), Spell()
    workflow = FallbackPrimitive(first, [second])
    async with aclosing(workflow.stream("abc", WorkflowContext())) as pieces:
        assert await anext(pieces) == "a"
    assert (first.closed, second.closed) == (1, 1)


# ---------------------------------------------------------------------------------------- bad input


def test_no_fallbacks_are_refused() -> None:
    with pytest.raises(
        CompositionError, match="at least one other choice, and `fallbacks` is empty"
    ):
        FallbackPrimitive(give(1), [])


def test_a_fallback_that_is_no_step_is_refused() -> None:
    with pytest.raises(CompositionError, match="a str is not a step"):
        FallbackPrimitive(give(1), ["gpt"])  # type: ignore[list-item]


def test_a_single_primitive_in_place_of_the_list_is_refused_clearly() -> None:
    with pytest.raises(TypeError, match=r"(?i)list|sequence"):
        FallbackPrimitive(give(1), give(2))  # type: ignore[call-overload]
