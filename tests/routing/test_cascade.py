"""Cheap first, and better where the answer won't do."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import BaseModel

from tests.observability.recorder import Spans
from tests.recovery.scripted import read
from tta_llm import Budget, WorkflowContext, WorkflowPrimitive
from tta_llm.errors import (
    AnswerRejectedError,
    BudgetExceededError,
    CompositionError,
    ServerError,
)
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    FailedAttempt,
    TextDelta,
    collect,
)
from tta_llm.observability import names
from tta_llm.providers import Price, StructuredOutputError
from tta_llm.recovery import FallbackPrimitive
from tta_llm.routing import Answered, Cascade, finished
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock


def model(name: str, says: Any, **more: Any) -> FakeChatModel:
    return FakeChatModel(says, name=name, model=name, **more)


def sure(answer: ChatResponse) -> bool:
    return "?" not in answer.text


async def sure_async(answer: ChatResponse, context: WorkflowContext) -> bool:
    await context.clock.sleep(0)
    return sure(answer)


class Judge(WorkflowPrimitive[Answered, bool]):
    """Says no to what repeats the question."""

    async def execute(self, input_data: Answered, context: WorkflowContext) -> bool:
        return input_data.input_data not in input_data.answer.text


CHECKS: dict[str, Any] = {
    "a function": sure,
    "an async function with the context": sure_async,
    "a judge": Judge(name="judge"),
    "a list": [finished, sure],
    "a judge in a list": [finished, Judge(name="judge")],
}
MODES = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


async def ask(cascade: Any, asked: Any = "Lyon?", *, streamed: bool, **limits: Any) -> ChatResponse:
    context = WorkflowContext(**limits)
    if streamed:
        return await collect(cascade.stream(asked, context))
    answer: ChatResponse = await cascade.execute(asked, context)
    return answer


@MODES
@pytest.mark.parametrize("check", CHECKS)
async def test_the_next_tier_is_asked_when_an_answer_does_not_pass(
    check: str, *, streamed: bool
) -> None:
    small, large = model("small", ["Lyon?", "Paris."]), model("large", "Paris!")
    cascade = Cascade([small, large], CHECKS[check])
    answer = await ask(cascade, streamed=streamed)
    assert answer.text == "Paris!"
    assert [each.choice for each in answer.failed_attempts] == ["small"]
    answer = await ask(cascade, streamed=streamed)
    assert (answer.text, answer.failed_attempts) == ("Paris.", ())
    assert large.call_count == 1


@MODES
async def test_all_that_was_paid_is_counted(*, streamed: bool) -> None:
    small = model("small", "one ?", price=Price(1_000_000, 1_000_000))
    middle = model("middle", "two ?", price=Price(2_000_000, 2_000_000))
    large = model("large", "three", price=Price(3_000_000, 3_000_000))
    context = WorkflowContext()
    cascade = Cascade([small, middle, large], sure)
    if streamed:
        answer = await collect(cascade.stream("Hi", context))
    else:
        answer = await cascade.execute("Hi", context)
    assert answer.cost_usd == 6
    assert answer.failed_attempts == (
        FailedAttempt("small", "did not pass 'sure'"),
        FailedAttempt("middle", "did not pass 'sure'"),
    )
    assert [each.cost_usd for each in answer.failed_attempts] == [3, 6]
    assert (context.usage.calls, context.usage.cost_usd) == (3, 15)


async def test_the_last_tiers_answer_is_given_unchecked() -> None:
    checked: list[str] = []

    def never(answer: ChatResponse) -> bool:
        checked.append(answer.model)
        return False

    answer = await Cascade([model("a", "x"), model("b", "y"), model("c", "z")], never).execute(
        "Hi", WorkflowContext()
    )
    assert (answer.text, checked) == ("z", ["a", "b"])


@MODES
async def test_an_error_may_be_asked_for_instead(*, streamed: bool) -> None:
    small, large = model("small", "x ?"), model("large", ["y ?", "z"])
    cascade = Cascade([small, large], sure, if_none_passes="raise")
    with pytest.raises(AnswerRejectedError, match="none of 2 answers passed") as told:
        await ask(cascade, streamed=streamed)
    assert told.value.answer.text == "y ?"
    assert told.value.__notes__ == [
        "'small': did not pass 'sure'",
        "'large': did not pass 'sure'",
    ]
    assert (await ask(cascade, streamed=streamed)).text == "z"


async def test_a_fallback_goes_on_when_no_answer_passed() -> None:
    cascade = Cascade([model("a", "?"), model("b", "?")], sure, if_none_passes="raise")
    answer = await FallbackPrimitive(cascade, [model("c", "well")]).execute("Hi", WorkflowContext())
    assert answer.text == "well"
    assert answer.failed_attempts[0].reason.startswith("AnswerRejectedError: ")


# ----------------------------------------------------------------------------------------- errors


@MODES
async def test_an_error_is_raised_with_its_tier(*, streamed: bool) -> None:
    large = model("large", "an answer")
    with pytest.raises(ServerError) as told:
        await ask(Cascade([model("down", ServerError("x")), large], sure), streamed=streamed)
    assert told.value.__notes__ == ["in tier 1 of 2 'down'"]
    cascade = Cascade([model("small", "?"), model("down", ServerError("x"))], sure)
    with pytest.raises(ServerError) as told:
        await ask(cascade, streamed=streamed)
    assert told.value.__notes__ == ["in tier 2 of 2 'down'"]
    assert large.call_count == 0


async def test_a_last_tier_that_breaks_off_tells_its_place() -> None:
    cascade = Cascade([model("small", "?"), model("large", "one two", break_after=1)], sure)
    with pytest.raises(ConnectionError) as told:
        await collect(cascade.stream("Hi", WorkflowContext()))
    assert told.value.__notes__ == ["in tier 2 of 2 'large'"]


async def test_a_tier_that_may_be_down_is_a_fallback() -> None:
    spare = FallbackPrimitive(model("down", ServerError("x")), [model("spare", "Lyon?")])
    answer = await Cascade([spare, model("large", "Paris.")], sure).execute("Hi", WorkflowContext())
    assert answer.text == "Paris."


async def test_an_error_of_the_check_is_raised() -> None:
    def buggy(answer: ChatResponse) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as told:
        await Cascade([model("small", "x"), model("large", "y")], buggy).execute(
            "Hi", WorkflowContext()
        )
    assert told.value.__notes__ == ["in tier 1 of 2 'small'"]


class City(BaseModel):
    name: str


CITY = ChatRequest("Capital of France?", response_format=City)
GOOD = '{"name": "Paris"}'


@MODES
async def test_an_answer_that_does_not_fit_its_format_does_not_pass(*, streamed: bool) -> None:
    small, large = model("small", "It is Paris."), model("large", GOOD)
    answer = await ask(Cascade([small, large], finished), CITY, streamed=streamed)
    assert answer.parsed == City(name="Paris")
    assert answer.failed_attempts[0].reason.startswith("StructuredOutputError: ")


@MODES
async def test_when_none_fits_the_last_error_is_raised(*, streamed: bool) -> None:
    cascade = Cascade([model("small", "Paris"), model("large", "Paris")], finished)
    with pytest.raises(StructuredOutputError) as told:
        await ask(cascade, CITY, streamed=streamed)
    assert told.value.__notes__ == ["in tier 2 of 2 'large'"]


async def test_an_answer_that_was_streamed_is_not_followed_by_another() -> None:
    cascade = Cascade([model("small", GOOD), model("large", "It is Paris.")], lambda answer: False)
    reader = await read(cascade, CITY)
    assert isinstance(reader.error, StructuredOutputError)
    assert reader.shown == "It is Paris."
    assert (await cascade.execute(CITY, WorkflowContext())).text == GOOD


PRICE = Price(1_000_000, 1_000_000)


@MODES
async def test_a_tier_that_is_too_dear_leaves_the_answer_before_it(*, streamed: bool) -> None:
    small = model("small", "Lyon ?", price=Price(1, 1), max_tokens=10)
    large = model("large", "Paris.", price=PRICE, max_tokens=10)
    budget = Budget(dollars=0.01)
    answer = await ask(Cascade([small, large], sure), streamed=streamed, budget=budget)
    assert (answer.text, large.call_count) == ("Lyon ?", 0)
    assert [each.choice for each in answer.failed_attempts] == ["large"]
    assert answer.failed_attempts[0].reason.startswith("BudgetExceededError: ")
    with pytest.raises(BudgetExceededError):
        await ask(Cascade([large, large], sure), streamed=streamed, budget=budget)
    assert budget.reserved.dollars == 0


# ---------------------------------------------------------------------------------------- streams


async def test_nothing_is_shown_of_an_answer_that_does_not_pass() -> None:
    small, large = model("small", "Is it Lyon ?"), model("large", "It is Paris.")
    events = [e async for e in Cascade([small, large], sure).stream("Hi", WorkflowContext())]
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert texts == ["It", " is", " Paris."]


async def test_the_last_tier_is_streamed_as_it_comes() -> None:
    clock = VirtualClock(auto_advance=True)
    cascade = Cascade([model("small", "?"), model("large", "one two", word_delay=5)], sure)
    context = WorkflowContext(clock=clock)
    async with aclosing(cascade.stream("Hi", context)) as events:
        assert await anext(events) == TextDelta("one")
        assert clock.now() == 0


async def test_a_stream_of_no_model_is_the_result() -> None:
    small, large = MockPrimitive(1), MockPrimitive(2)
    cascade = Cascade([small, large], lambda number: number > 1)
    assert [piece async for piece in cascade.stream("x", WorkflowContext())] == [2]
    cascade = Cascade([large, small], lambda number: number > 1)
    assert [piece async for piece in cascade.stream("x", WorkflowContext())] == [2]


async def test_cancellation_passes_through() -> None:
    begun = asyncio.Event()

    async def wait(data: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    large = model("large", "x")
    cascade: Any = Cascade([MockPrimitive(function=wait), large], sure)
    task = asyncio.ensure_future(cascade.execute("Hi", WorkflowContext()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert large.call_count == 0


# ------------------------------------------------------------------------------------ what it tells


async def test_the_span_tells_which_tier_answered(spans: Spans) -> None:
    cascade = Cascade([model("small", "?"), model("large", "x")], [sure, Judge(name="judge")])
    await cascade.execute("Hi", WorkflowContext())
    span = spans.one("Cascade")
    assert dict(span.attributes or {})[names.CHOICE] == "large"
    (event,) = span.events
    assert event.name == "tta.rejected"
    assert dict(event.attributes or {}) == {
        names.TARGET: "small",
        "reason": "did not pass 'sure'",
    }
    assert [label for label, _ in cascade.children()] == ["first", "else 1", "check"]


@pytest.mark.parametrize(
    ("tiers", "check", "told"),
    [
        ([model("a", "x")], sure, "two tiers or more, not 1"),
        ([], sure, "two tiers or more, not 0"),
        (model("a", "x"), sure, "put it in a list"),
        ([model("a", "x"), model("b", "x")], [], "the list of them is empty"),
        ([model("a", "x"), model("b", "x")], 3, "check is a list"),
        ([model("a", "x"), model("b", "x")], ["sure"], "a str is not a step"),
    ],
)
def test_what_makes_no_cascade_is_refused(tiers: Any, check: Any, told: str) -> None:
    with pytest.raises(CompositionError, match=told):
        Cascade(tiers, check)


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'last' or 'raise', not 'best'"):
        Cascade([model("a", "x"), model("b", "x")], sure, if_none_passes="best")  # type: ignore[call-overload]
