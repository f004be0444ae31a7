"""A stream that goes on although its model fails: before the first piece, and after it."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import BaseModel

from tests.recovery.scripted import Scripted, all_closed, broken, end, read, texts
from tta_llm import Budget, WorkflowContext, WorkflowPrimitive, step
from tta_llm.core import WrapperPrimitive
from tta_llm.errors import (
    AllFailedError,
    AuthenticationError,
    ConnectionFailedError,
    ContextLengthError,
    DeadlineExceededError,
    InvalidRequestError,
    InvalidResponseError,
    RateLimitError,
    ServerError,
)
from tta_llm.messages import (
    ChatRequest,
    ReasoningDelta,
    RefusalDelta,
    StreamRestart,
    TextDelta,
    ToolCallDelta,
    ToolDefinition,
    Usage,
    UsageEvent,
    assistant,
    collect,
    system,
    user,
)
from tta_llm.performance import CachePrimitive
from tta_llm.providers import ChatModel
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive, partial_text
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock, cancel_at_every_await

MODES = ["raise", "restart", "continue"]
USAGE = UsageEvent(Usage(3, 0))


def fallback(*models: Any, **options: Any) -> FallbackPrimitive[Any, Any]:
    return FallbackPrimitive(models[0], models[1:], **options)


def good(name: str = "good", *, prefill: bool = False) -> Scripted:
    return Scripted(name, *texts("one", " two", " three"), prefill=prefill)


def notes(error: BaseException | None) -> str:
    return "\n".join(getattr(error, "__notes__", []))


# ------------------------------------------------------------- before the first piece shows

UNSEEN: dict[str, list[Any]] = {
    "at once": [broken()],
    "after a usage event": [USAGE, broken()],
    "after an empty text": [TextDelta(""), broken()],
    "after empty pieces of all kinds": [TextDelta(""), USAGE, ReasoningDelta(""), broken()],
    "rate limit": [RateLimitError("slow down")],
    "bad key": [AuthenticationError("no")],
    "too long": [ContextLengthError("too long")],
    "refusal": [end("refusal")],
    "words of a refusal": [RefusalDelta("I"), RefusalDelta(" can't."), USAGE, end("refusal")],
    "words of a refusal, cut off": [RefusalDelta("I"), broken()],
    "content filter after usage": [USAGE, end("content_filter")],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("events", UNSEEN.values(), ids=UNSEEN)
async def test_before_the_first_piece_the_consumer_sees_nothing_of_it(
    events: list[Any], mode: str
) -> None:
    first, second = Scripted("a", *events, window=10), good()
    reader = await read(fallback(first, second, after_first_piece=mode))
    alone = await read(good())
    assert reader.seen == alone.seen
    assert reader.answer is not None and alone.answer is not None
    assert [each.choice for each in reader.answer.failed_attempts] == ["a"]
    assert all_closed([first, second])
    assert second.calls[0].messages == (user("Count."),)


@pytest.mark.parametrize("mode", MODES)
async def test_a_bug_before_the_first_piece_is_raised_at_once(mode: str) -> None:
    second = good()
    reader = await read(fallback(Scripted("a", TypeError("bug")), second, after_first_piece=mode))
    assert isinstance(reader.error, TypeError)
    assert second.calls == []


@pytest.mark.parametrize("mode", MODES)
async def test_when_all_refuse_at_once_the_first_refusal_is_the_answer(mode: str) -> None:
    models = Scripted("a", USAGE, end("refusal")), Scripted("b", end("content_filter"))
    reader = await read(fallback(*models, after_first_piece=mode))
    assert reader.answer is not None
    assert (reader.answer.model, reader.answer.finish_reason) == ("a", "refusal")
    assert [each.choice for each in reader.answer.failed_attempts] == ["a", "b"]
    assert reader.restarts == []
    assert all_closed(models)


@pytest.mark.parametrize("mode", MODES)
async def test_the_words_of_the_first_refusal_are_not_lost(mode: str) -> None:
    models = Scripted("a", RefusalDelta("I can't."), end("refusal")), Scripted("b", broken())
    reader = await read(fallback(*models, after_first_piece=mode))
    assert reader.answer is not None
    assert (reader.answer.text, reader.answer.finish_reason) == ("I can't.", "refusal")


async def test_where_a_refusal_will_do_its_words_come_as_they_come() -> None:
    first = Scripted("a", RefusalDelta("I"), RefusalDelta(" can't."), end("refusal"))
    workflow = fallback(first, good(), fallback_on_finish=["length"])
    async with aclosing(workflow.stream("x", WorkflowContext())) as events:
        assert await anext(events) == RefusalDelta("I")
        assert first.closed == 0


async def test_a_stream_of_plain_strings_says_who_answered_too() -> None:
    @step(join="".join)
    async def letters(text: str) -> AsyncIterator[str]:
        for letter in text:
            yield letter

    down = MockPrimitive(raises=AuthenticationError("no"))
    workflow = fallback(down, letters)
    async with aclosing(workflow.stream("abc", WorkflowContext())) as pieces:
        assert [piece async for piece in pieces] == ["a", "b", "c"]
    letters_hold_out = workflow.guards[1]
    assert letters_hold_out.status() == "in its place"


async def test_a_stream_that_is_to_be_judged_is_held_back_until_then() -> None:
    first, second = Scripted("a", *texts("so", " so")), good()
    workflow = fallback(first, second, fallback_if_result=lambda answer: answer.text == "so so")
    reader = await read(workflow)
    assert (reader.shown, reader.restarts) == ("one two three", [])
    assert reader.answer is not None
    assert [each.reason for each in reader.answer.failed_attempts] == ["a bad result"]


# ------------------------------------------------------------- afterwards: raise


async def test_raise_is_the_default_and_tells_the_text_so_far() -> None:
    first, second = Scripted("a", USAGE, *texts("one", " tw"), broken()), good()
    reader = await read(fallback(first, second))
    assert isinstance(reader.error, ConnectionFailedError)
    assert partial_text(reader.error) == reader.shown == "one tw"
    assert "2 pieces of the stream had been delivered" in notes(reader.error)
    assert "in choice 1 of 2 'a'" in notes(reader.error)
    assert "one tw" not in "".join(traceback.format_exception(reader.error))
    assert second.calls == []
    assert all_closed([first])


async def test_it_tells_what_failed_before_and_holds_out_who_asks_for_it() -> None:
    broke_off = RateLimitError("slow down", retry_after=30)
    workflow = fallback(Scripted("a", ServerError("oops")), Scripted("b", *texts("one"), broke_off))
    reader = await read(workflow)
    assert reader.error is broke_off
    assert "before that, 'a' failed: ServerError: oops" in notes(reader.error)
    assert workflow.guards[1].status().endswith("after RateLimitError")


async def test_nothing_delivered_is_no_partial_text() -> None:
    reader = await read(
        fallback(Scripted("a", USAGE, broken()), Scripted("b", ServerError("oops")))
    )
    assert isinstance(reader.error, AllFailedError)
    assert partial_text(reader.error) is None
    assert partial_text(ValueError("of anybody's")) is None


async def test_the_partial_text_of_strings() -> None:
    @step(join="".join)
    async def letters(text: str) -> AsyncIterator[str]:
        for letter in text:
            yield letter
        raise ConnectionError("broken")

    with pytest.raises(ConnectionError) as told:
        async for _ in fallback(letters, good()).stream("abc", WorkflowContext()):
            pass
    assert partial_text(told.value) == "abc"


async def test_pieces_of_no_text_are_counted_only() -> None:
    @step(join=list)
    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
        raise ConnectionError("broken")

    with pytest.raises(ConnectionError) as told:
        async for _ in fallback(numbers, good()).stream(3, WorkflowContext()):
            pass
    assert "3 pieces of the stream" in notes(told.value)
    assert partial_text(told.value) is None


class SlottedError(ConnectionError):
    __slots__ = ("code",)


class StubbornError(ConnectionError):
    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("__"):
            raise AttributeError(name)
        super().__setattr__(name, value)


@pytest.mark.parametrize("error", [SlottedError("x"), StubbornError("x")], ids=repr)
async def test_an_error_that_takes_no_attributes_tells_the_text_too(error: Exception) -> None:
    reader = await read(fallback(Scripted("a", *texts("one"), error), good()))
    assert reader.error is error
    assert partial_text(error) == "one"


@pytest.mark.parametrize("reason", ["refusal", "content_filter"])
async def test_an_answer_that_ends_badly_after_text_stays_as_it_ended(reason: Any) -> None:
    second = good()
    reader = await read(fallback(Scripted("a", *texts("one"), end(reason)), second))
    assert reader.answer is not None
    assert (reader.answer.text, reader.answer.finish_reason) == ("one", reason)
    assert second.calls == []


# ------------------------------------------------------------- afterwards: restart


async def test_restart_takes_the_text_back_and_gives_a_whole_answer() -> None:
    first, second = Scripted("a", *texts("one", " tw"), broken()), good("b")
    reader = await read(fallback(first, second, after_first_piece="restart"))
    alone = await read(good("b"))
    restart = StreamRestart("b", "ConnectionFailedError: the connection broke")
    assert reader.seen == [*texts("one", " tw"), restart, *alone.seen]
    assert reader.answer == alone.answer
    assert reader.answer is not None
    assert [each.choice for each in reader.answer.failed_attempts] == ["a"]
    assert second.calls[0].messages == (user("Count."),)
    assert all_closed([first, second])


async def test_it_restarts_as_often_as_it_must() -> None:
    models = [Scripted(name, *texts(name, "…"), broken()) for name in "abc"]
    reader = await read(fallback(*models, good("d"), after_first_piece="restart"))
    assert [each.choice for each in reader.restarts] == ["b", "c", "d"]
    assert reader.answer == (await read(good("d"))).answer


async def test_a_restart_tells_why_the_text_before_it_broke_off_and_nothing_else() -> None:
    """The one in between was never seen, so the consumer need not hear of it."""
    models = (
        Scripted("a", *texts("one"), ConnectionFailedError("a broke")),
        Scripted("b", ServerError("b failed")),
        good("c"),
    )
    reader = await read(fallback(*models, after_first_piece="restart"))
    assert reader.restarts == [StreamRestart("c", "ConnectionFailedError: a broke")]
    assert reader.answer is not None
    assert [each.choice for each in reader.answer.failed_attempts] == ["a", "b"]


async def test_when_the_last_breaks_off_too_its_text_is_told_with_all_errors() -> None:
    models = Scripted("a", *texts("one"), broken()), Scripted("b", *texts("uno", " dos"), broken())
    reader = await read(fallback(*models, after_first_piece="restart"))
    assert isinstance(reader.error, AllFailedError)
    assert len(reader.error.exceptions) == 2
    assert partial_text(reader.error) == reader.shown == "uno dos"
    assert "2 pieces of the stream" in notes(reader.error)
    assert all_closed(models)


async def test_a_bug_midway_is_raised_at_once_with_the_text() -> None:
    second = good()
    workflow = fallback(
        Scripted("a", *texts("one"), TypeError("bug")), second, after_first_piece="restart"
    )
    reader = await read(workflow)
    assert isinstance(reader.error, TypeError)
    assert partial_text(reader.error) == "one"
    assert second.calls == []


@pytest.mark.parametrize("reason", ["refusal", "content_filter"])
async def test_an_answer_that_ends_badly_is_taken_back(reason: Any) -> None:
    first = Scripted("a", *texts("one"), end(reason))
    reader = await read(fallback(first, good("b"), after_first_piece="restart"))
    assert reader.restarts == [StreamRestart("b", f"finish_reason {reason}")]
    assert reader.answer == (await read(good("b"))).answer
    assert all_closed([first])


async def test_it_is_given_after_all_when_no_other_answers() -> None:
    models = Scripted("a", *texts("one"), end("refusal")), Scripted("b", broken())
    reader = await read(fallback(*models, after_first_piece="restart"))
    assert reader.answer is not None
    assert (reader.answer.text, reader.answer.finish_reason) == ("one", "refusal")
    assert reader.restarts == []
    assert [each.choice for each in reader.answer.failed_attempts] == ["a", "b"]


async def test_a_refusal_from_before_begins_anew_when_another_has_spoken_since() -> None:
    models = Scripted("a", USAGE, end("refusal")), Scripted("b", *texts("one"), broken())
    reader = await read(fallback(*models, after_first_piece="restart"))
    assert reader.answer is not None
    assert (reader.answer.text, reader.answer.model) == ("", "a")
    assert reader.restarts == [StreamRestart("a", "ConnectionFailedError: the connection broke")]


async def test_a_refusal_without_text_does_not_end_anothers_text() -> None:
    models = Scripted("a", *texts("one"), broken()), Scripted("b", end("refusal"))
    reader = await read(fallback(*models, after_first_piece="restart"))
    assert reader.answer is not None
    assert (reader.answer.text, reader.answer.finish_reason) == ("", "refusal")
    assert [each.choice for each in reader.restarts] == ["b"]


async def test_a_restarted_text_that_was_refused_is_not_given_after_all() -> None:
    models = Scripted("a", *texts("one"), end("refusal")), Scripted("b", *texts("uno"), broken())
    reader = await read(fallback(*models, after_first_piece="restart"))
    assert isinstance(reader.error, ConnectionFailedError)
    assert partial_text(reader.error) == "uno"


async def test_strings_restart_as_well() -> None:
    @step(join="".join)
    async def letters(text: str) -> AsyncIterator[str]:
        for letter in text:
            yield letter
        if first:
            first.clear()
            raise ConnectionError("broken")

    first = [True]
    workflow = fallback(letters, step(letters), after_first_piece="restart")
    pieces = [piece async for piece in workflow.stream("ab", WorkflowContext())]
    assert pieces[:2] == pieces[3:] == ["a", "b"]
    assert pieces[2] == StreamRestart("letters", "ConnectionError: broken")


# ------------------------------------------------------------- afterwards: continue


async def test_continue_goes_on_where_the_text_ends() -> None:
    first = Scripted("a", USAGE, *texts("one", " two"), broken())
    second = Scripted("b", USAGE, *texts(" three", " four"), prefill=True)
    asked = ChatRequest([system("Count."), user("To four.")], max_tokens=50)
    reader = await read(fallback(first, second, after_first_piece="continue"), asked)
    assert second.calls == [
        ChatRequest([*asked.messages, assistant("one two")], max_tokens=50),
    ]
    assert reader.restarts == []
    assert reader.answer is not None
    assert (reader.answer.text, reader.answer.model) == ("one two three four", "b")
    assert [each.choice for each in reader.answer.failed_attempts] == ["a"]
    assert all_closed([first, second])


@pytest.mark.parametrize(
    ("so_far", "more", "whole"),
    [
        (["one "], ["two"], "one two"),
        (["one "], [" two"], "one two"),
        (["one", " "], ["", " ", " two"], "one two"),
        (["one\n\n"], ["\n\ntwo"], "one\n\ntwo"),
        (["one"], [" two"], "one two"),
        (["on"], ["e two"], "one two"),
        (["one "], [" "], "one "),
    ],
)
async def test_the_space_at_the_seam_is_there_once(
    so_far: list[str], more: list[str], whole: str
) -> None:
    second = Scripted("b", *texts(*more), prefill=True)
    workflow = fallback(
        Scripted("a", *texts(*so_far), broken()), second, after_first_piece="continue"
    )
    reader = await read(workflow)
    assert second.calls[0].messages[-1] == assistant(whole[: len("".join(so_far))].rstrip())
    assert reader.shown == whole


async def test_a_request_that_begins_the_answer_itself_is_begun_further() -> None:
    second = Scripted("b", *texts(" three"), prefill=True)
    workflow = fallback(
        Scripted("a", *texts(" two"), broken()), second, after_first_piece="continue"
    )
    reader = await read(workflow, [user("Count."), assistant("one")])
    assert second.calls[0].messages == (user("Count."), assistant("one two"))
    assert reader.shown == " two three"


async def test_a_continuation_may_break_off_and_go_on_again() -> None:
    third = Scripted("c", *texts(" three"), prefill=True)
    models = (
        Scripted("a", *texts("one"), broken()),
        Scripted("b", *texts(" two"), broken(), prefill=True),
        Scripted("none", broken(), prefill=True),
        third,
    )
    reader = await read(fallback(*models, after_first_piece="continue"))
    assert third.calls[0].messages[-1] == assistant("one two")
    assert reader.shown == "one two three"
    assert reader.restarts == []


async def test_when_nobody_is_left_to_go_on_the_whole_text_so_far_is_told() -> None:
    models = (
        Scripted("a", *texts("one"), broken()),
        Scripted("b", *texts(" two"), broken(), prefill=True),
    )
    reader = await read(fallback(*models, after_first_piece="continue"))
    assert isinstance(reader.error, AllFailedError)
    assert partial_text(reader.error) == reader.shown == "one two"


async def test_a_continuation_that_is_refused_at_once_leaves_the_text_and_the_error() -> None:
    models = Scripted("a", *texts("one"), broken()), Scripted("b", end("refusal"), prefill=True)
    reader = await read(fallback(*models, after_first_piece="continue"))
    assert isinstance(reader.error, ConnectionFailedError)
    assert partial_text(reader.error) == "one"


async def test_after_a_restart_it_goes_on_with_the_new_text() -> None:
    models = (
        Scripted("a", *texts("one"), broken()),
        Scripted("b", *texts("uno"), broken()),
        Scripted("c", *texts(" dos"), prefill=True),
    )
    reader = await read(fallback(*models, after_first_piece="continue"))
    assert [each.choice for each in reader.restarts] == ["b"]
    assert reader.shown == "uno dos"


def around(model: ChatModel, how: str) -> WorkflowPrimitive[Any, Any]:
    match how:
        case "retry":
            return RetryPrimitive(TimeoutPrimitive(model, 60))
        case "cache":
            return CachePrimitive(model, ttl_seconds=60)
        case "user's own":
            return WrapperPrimitive(model)
    return step(ChatRequest.of) >> model


@pytest.mark.parametrize("how", ["retry", "cache", "user's own"])
async def test_a_model_in_wrappers_goes_on_too(how: str) -> None:
    model = Scripted("b", USAGE, *texts(" two"), prefill=True)
    workflow = fallback(
        Scripted("a", *texts("one"), broken()), around(model, how), after_first_piece="continue"
    )
    reader = await read(workflow)
    assert (reader.shown, reader.restarts) == ("one two", [])


async def test_what_is_no_model_begins_anew() -> None:
    """A sequence asks its model something else than the fallback was asked."""
    model = Scripted("b", *texts("uno"), prefill=True)
    workflow = fallback(
        Scripted("a", *texts("one"), broken()),
        around(model, "prompt"),
        after_first_piece="continue",
    )
    reader = await read(workflow)
    assert (reader.shown, len(reader.restarts)) == ("uno", 1)


class Sky(BaseModel):
    colour: str


TOOL = ToolDefinition("look", "Looks.", {"type": "object"})
CALL = ToolCallDelta(0, '{"a": ', "id-1", "look")
BEGINS_ANEW: dict[str, tuple[list[Any], ChatRequest, bool]] = {
    "a model without prefill": ([*texts("one")], ChatRequest("x"), False),
    "reasoning": ([ReasoningDelta("hm"), *texts("one")], ChatRequest("x"), True),
    "a refusal begun": ([*texts("one"), RefusalDelta(" no")], ChatRequest("x"), True),
    "a tool call": ([*texts("one"), CALL], ChatRequest("x", tools=[TOOL]), True),
    "nothing but space": ([*texts(" \n")], ChatRequest("x"), True),
    "a response format": ([*texts("{")], ChatRequest("x", response_format=Sky), True),
    "a model that thinks": ([*texts("one")], ChatRequest("x", reasoning_effort="low"), True),
    "a tool that it must call": (
        [*texts("one")],
        ChatRequest("x", tools=[TOOL], tool_choice="required"),
        True,
    ),
}


@pytest.mark.parametrize(("events", "asked", "prefill"), BEGINS_ANEW.values(), ids=BEGINS_ANEW)
async def test_where_it_can_not_go_on_it_begins_anew(
    events: list[Any], asked: ChatRequest, *, prefill: bool
) -> None:
    second = Scripted("b", *texts('{"colour": "blue"}'), prefill=prefill)
    workflow = fallback(Scripted("a", *events, broken()), second, after_first_piece="continue")
    reader = await read(workflow, asked)
    assert [each.choice for each in reader.restarts] == ["b"]
    assert second.calls[0].messages == asked.messages
    assert reader.answer is not None
    assert reader.answer.text == '{"colour": "blue"}'


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_cut_off_by_a_limit_or_a_filter_goes_on(reason: Any) -> None:
    first = Scripted("a", *texts("one"), end(reason))
    second = Scripted("b", *texts(" two"), prefill=True)
    workflow = fallback(
        first, second, after_first_piece="continue", fallback_on_finish=["length", "content_filter"]
    )
    reader = await read(workflow)
    assert (reader.shown, reader.restarts) == ("one two", [])
    assert reader.answer is not None
    assert reader.answer.finish_reason == "stop"


async def test_a_refusal_is_no_beginning_of_an_answer() -> None:
    first = Scripted("a", *texts("I can't"), end("refusal"))
    second = Scripted("b", *texts("one"), prefill=True)
    reader = await read(fallback(first, second, after_first_piece="continue"))
    assert [each.choice for each in reader.restarts] == ["b"]
    assert (reader.shown, second.calls[0].messages) == ("one", (user("Count."),))


async def test_an_answer_cut_off_that_nobody_goes_on_with_is_given_after_all() -> None:
    models = Scripted("a", *texts("one"), end("length")), Scripted("b", broken(), prefill=True)
    reader = await read(
        fallback(*models, after_first_piece="continue", fallback_on_finish=["length"])
    )
    assert reader.answer is not None
    assert (reader.answer.text, reader.answer.finish_reason) == ("one", "length")


async def test_gone_on_with_and_broken_again_it_is_no_whole_answer() -> None:
    models = (
        Scripted("a", *texts("one"), end("length")),
        Scripted("b", *texts(" two"), broken(), prefill=True),
    )
    reader = await read(
        fallback(*models, after_first_piece="continue", fallback_on_finish=["length"])
    )
    assert isinstance(reader.error, ConnectionFailedError)
    assert partial_text(reader.error) == "one two"


def test_a_model_of_unknown_limits_does_not_go_on() -> None:
    assert FakeChatModel().continuing("x", "one") is None
    assert good(prefill=True).continuing("x", "one") == ChatRequest([user("x"), assistant("one")])


# ------------------------------------------------------------- nested, time, money, closing


@pytest.mark.parametrize("mode", ["restart", "continue"])
async def test_an_outer_fallback_begins_anew_when_the_inner_one_broke(mode: Any) -> None:
    inner = fallback(
        Scripted("a", *texts("one"), broken()),
        Scripted("b", *texts("uno"), broken()),
        after_first_piece=mode,
        name="inner",
    )
    reader = await read(fallback(inner, good("c"), after_first_piece=mode))
    assert [each.choice for each in reader.restarts] == ["b", "c"]
    assert reader.answer is not None
    assert reader.answer.text == "one two three"
    assert [each.choice for each in reader.answer.failed_attempts] == ["inner"]


async def test_restarts_inside_count_for_the_text_so_far_outside() -> None:
    inner = fallback(
        Scripted("a", *texts("one"), broken()),
        Scripted("b", *texts("uno"), broken()),
        after_first_piece="restart",
    )
    reader = await read(fallback(inner, good()))
    assert isinstance(reader.error, AllFailedError)
    assert partial_text(reader.error) == "uno"


async def test_a_sequence_streams_its_fallback_and_notes_the_path() -> None:
    workflow = step(str.strip) >> fallback(Scripted("a", *texts("one"), broken()), good(), name="f")
    reader = await read(workflow, " x ")
    assert "in step 2 of 2 'f', choice 1 of 2 'a'" in notes(reader.error)


@pytest.mark.parametrize("mode", MODES)
async def test_every_attempt_is_counted(mode: str) -> None:
    models = [
        FakeChatModel(InvalidResponseError("half a JSON"), model="a"),
        FakeChatModel("one two three", model="b", break_after=2),
        FakeChatModel("uno dos", model="c"),
    ]
    context = WorkflowContext(budget=Budget(calls=10))
    await read(fallback(*models, after_first_piece=mode), context=context)
    asked = sum(model.call_count for model in models)
    assert asked == (2 if mode == "raise" else 3)
    assert context.budget is not None
    assert context.budget.spent.calls == context.usage.calls == asked
    assert context.budget.reserved.calls == 0


async def test_a_budget_that_is_used_up_midway_ends_it_with_the_text() -> None:
    models = FakeChatModel("one two", break_after=1, name="a"), good("b")
    context = WorkflowContext(budget=Budget(calls=1))
    reader = await read(fallback(*models, after_first_piece="restart"), context=context)
    assert isinstance(reader.error, AllFailedError)
    assert partial_text(reader.error) == "one"
    assert models[1].calls == []


@pytest.mark.parametrize("mode", MODES)
def test_the_deadline_holds_between_choices_and_midway(mode: str) -> None:
    clock = VirtualClock()
    slow = FakeChatModel("one two", delay=2, word_delay=2, break_after=1, name="slow")
    last = FakeChatModel("uno dos tres", delay=2, word_delay=2, name="last")
    context = WorkflowContext(clock=clock, timeout_seconds=7)
    down = FakeChatModel(ServerError("oops"), delay=2, name="down")
    reader = clock.run(read(fallback(down, slow, last, after_first_piece=mode), context=context))
    if mode == "raise":
        assert isinstance(reader.error, ConnectionFailedError)
        assert clock.now() == 4
    else:
        assert isinstance(reader.error, DeadlineExceededError)
        assert clock.now() == 7
        assert last.call_count == 1


@pytest.mark.parametrize("mode", MODES)
async def test_closed_early_anywhere_it_closes_what_it_opened(mode: str) -> None:
    def chain() -> list[Scripted]:
        return [
            Scripted("a", USAGE, end("refusal")),
            Scripted("b", *texts("one", " two"), broken()),
            Scripted("c", *texts(" three"), end("content_filter"), prefill=True),
            good("d"),
        ]

    count = len((await read(fallback(*chain(), after_first_piece=mode))).seen)
    for taken in range(count + 1):
        models, context = chain(), WorkflowContext(budget=Budget(calls=10))
        stream = fallback(*models, after_first_piece=mode).stream("Count.", context)
        for _ in range(taken):
            await anext(stream)
        await stream.aclose()
        assert all_closed(models)
        assert context.budget is not None
        assert context.budget.reserved.calls == 0


@pytest.mark.parametrize("mode", MODES)
async def test_cancelled_at_any_point_it_closes_what_it_opened(mode: str) -> None:
    models = [
        Scripted("a", USAGE, end("refusal")),
        Scripted("b", *texts("one", " two"), broken()),
        Scripted("c", *texts(" three"), end("content_filter"), prefill=True),
        good("d"),
    ]
    budget = Budget(calls=10_000)
    workflow = fallback(*models, after_first_piece=mode)

    async def consume() -> None:
        async with aclosing(workflow.stream("x", WorkflowContext(budget=budget))) as events:
            try:
                async for _ in events:
                    pass
            except ConnectionFailedError:
                assert mode == "raise"

    def nothing_is_held() -> None:
        assert all_closed(models)
        assert budget.reserved.calls == 0

    assert await cancel_at_every_await(consume, nothing_is_held) >= 4


async def test_collect_gives_the_final_answer_of_restarts() -> None:
    models = Scripted("a", *texts("one"), broken()), good("b")
    events = fallback(*models, after_first_piece="restart").stream("x", WorkflowContext())
    assert (await collect(events)).text == "one two three"


async def test_a_400_of_a_continuation_is_the_callers_to_know() -> None:
    """Whoever says `prefill` of a model that takes none is told, and has the text."""
    models = (
        Scripted("a", *texts("one"), broken()),
        Scripted("b", InvalidRequestError("must end with a user message"), prefill=True),
    )
    reader = await read(fallback(*models, after_first_piece="continue"))
    assert isinstance(reader.error, InvalidRequestError)
    assert partial_text(reader.error) == "one"
