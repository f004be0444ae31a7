"""Answering a question as one that means the same was answered before."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tta_llm import Budget, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import BudgetExceededError, DeadlineExceededError, UnkeyableError
from tta_llm.messages import (
    CacheMatch,
    ChatRequest,
    ChatResponse,
    Finish,
    ImagePart,
    StreamRestart,
    TextDelta,
    TextPart,
    ToolDefinition,
    Usage,
    assistant,
    collect,
    system,
    user,
)
from tta_llm.performance import CachePrimitive, Match, SemanticCache
from tta_llm.providers import Price
from tta_llm.testing import FakeChatModel, FakeEmbedder, MockPrimitive, VirtualClock

Step = WorkflowPrimitive[Any, Any]

NEAR = math.cos(math.radians(10))
"""Questions are the same up to 10 degrees apart."""


def at_angle(text: str) -> list[float]:
    """Embed a text by the number at its end, an angle in degrees; its other words don't count."""
    angle = math.radians(float(text.rpartition("@")[2]))
    return [math.cos(angle), math.sin(angle)]


def remember(step: Any, embedder: Any = at_angle, **options: Any) -> SemanticCache[Any, Any]:
    # The angles are numbers, which the details would hold apart.
    chosen = {"threshold": NEAR, "ttl_seconds": 60, "details": None} | options
    return SemanticCache(step, embedder, **chosen)


def counted(answer: Callable[[Any], Any] = lambda data: [data]) -> MockPrimitive:
    return MockPrimitive(function=answer, name="step")


def tenant(name: str) -> WorkflowContext:
    return WorkflowContext(data={"tenant": name})


# ------------------------------------------------------------------------------ hits and misses


async def test_a_question_near_enough_gets_the_answer_to_the_other() -> None:
    inner = counted()
    cached = remember(inner)
    asked = ["a@0", "b@9", "c@11", "d@-10"]
    answers = [await cached.execute(each, WorkflowContext()) for each in asked]
    assert answers == [["a@0"], ["a@0"], ["c@11"], ["a@0"]]
    assert inner.call_count == 2


async def test_the_nearest_of_several_answers() -> None:
    cached = remember(counted())
    for each in ("a@0", "b@15"):
        await cached.execute(each, WorkflowContext())
    assert await cached.execute("c@7", WorkflowContext()) == ["a@0"]
    assert await cached.execute("c@8", WorkflowContext()) == ["b@15"]


async def test_the_highest_threshold_still_takes_equal_vectors_for_the_same() -> None:
    embedder = FakeEmbedder(dimensions=384)
    cached = remember(counted(), str.strip >> embedder, threshold=1)
    await cached.execute("a question", WorkflowContext())
    assert await cached.execute(" a question ", WorkflowContext()) == ["a question"]


async def test_a_chat_model_tells_which_question_it_answered() -> None:
    model = FakeChatModel("Paris.")
    cached = SemanticCache(model, at_angle, threshold=NEAR, ttl_seconds=60, details=None)
    first = await cached.execute("Capital of France? @0", WorkflowContext())
    again = await cached.execute("France's capital? @5", WorkflowContext())
    assert first.cache_match is None
    assert again == first
    assert again.cache_match is not None
    assert again.cache_match.question == "Capital of France? @0"
    assert again.cache_match.score == pytest.approx(math.cos(math.radians(5)))
    assert "France" not in repr(again.cache_match)


async def test_what_an_outer_cache_keeps_tells_of_no_match() -> None:
    cached = CachePrimitive(remember(FakeChatModel("Paris.")), 60)
    await cached.execute("one @0", WorkflowContext())
    matched = await cached.execute("other @5", WorkflowContext())
    assert matched.cache_match is not None
    assert (await cached.execute("other @5", WorkflowContext())).cache_match is None


async def test_each_call_embeds_once_and_the_very_same_question_not_at_all() -> None:
    embedder = MockPrimitive(function=at_angle, name="embedder")
    cached = remember(counted(), embedder)
    for each in ("a@0", "a@0", "b@5", "c@90"):
        await cached.execute(each, WorkflowContext())
    assert [call.input_data for call in embedder.calls] == ["a@0", "b@5", "c@90"]


async def test_nobody_can_alter_what_is_remembered() -> None:
    cached = remember(counted())
    for each in ("a@0", "a@0", "b@5", "b@5"):
        answer = await cached.execute(each, WorkflowContext())
        assert answer == ["a@0"]
        answer.append("altered")


async def test_an_answer_is_good_until_its_time_is_up() -> None:
    clock = VirtualClock()
    cached = remember(counted(lambda _: clock.now()))
    seen = []
    for asked, seconds in (("a@0", 59), ("b@5", 1), ("b@5", 30), ("a@0", 30), ("a@0", 0)):
        seen.append(await cached.execute(asked, WorkflowContext(clock=clock)))
        await clock.advance(seconds)
    assert seen == [0, 0, 60, 60, 120]
    assert cached.statistics.entries == 1


async def test_the_one_not_used_for_longest_goes_first() -> None:
    cached = remember(counted(), max_entries=2)
    asked = ["a@0", "b@90", "near a@5", "c@180", "a@0", "near b@85"]
    answers = [await cached.execute(each, WorkflowContext()) for each in asked]
    assert [own for [own] in answers] == ["a@0", "b@90", "a@0", "c@180", "a@0", "near b@85"]
    assert cached.statistics.evicted == 2


async def test_an_error_is_not_remembered() -> None:
    inner = MockPrimitive(values=[ConnectionError("down"), "an answer"])
    cached = remember(inner)
    with pytest.raises(ConnectionError):
        await cached.execute("a@0", WorkflowContext())
    assert await cached.execute("b@5", WorkflowContext()) == "an answer"


def test_one_cache_serves_several_event_loops() -> None:
    inner = counted()
    cached = remember(inner, max_entries=8)

    def thread(number: int) -> None:
        async def work() -> None:
            for turn in range(60):
                asked = f"{number}@{turn * 30 % 360}"
                answer = await cached.execute(asked, WorkflowContext())
                assert at_angle(answer[0]) == pytest.approx(at_angle(asked))

        asyncio.run(work())

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    told = cached.statistics
    assert told.hits + told.misses == 240
    assert told.entries <= 8


# ----------------------------------------------------------------------- what must be equal exactly


async def test_tenants_are_kept_apart() -> None:
    inner = counted()
    cached = remember(inner, vary=("tenant",))
    asked = [("a@0", "x"), ("b@0", "y"), ("c@1", "x"), ("d@1", "y")]
    answers = [await cached.execute(each, tenant(name)) for each, name in asked]
    assert answers == [["a@0"], ["b@0"], ["a@0"], ["b@0"]]


class City(BaseModel):
    name: str


QUESTION = user("Which city? @0")


@pytest.mark.parametrize(
    "other",
    [
        ChatRequest([system("Be brief."), QUESTION]),
        ChatRequest([QUESTION, system("Be brief.")]),
        ChatRequest(QUESTION, temperature=0.5),
        ChatRequest(QUESTION, max_tokens=5),
        ChatRequest(QUESTION, stop="x"),
        ChatRequest(QUESTION, seed=1),
        ChatRequest(QUESTION, response_format=City),
        ChatRequest(QUESTION, extra={"logprobs": True}),
        "Which city? @0",
    ],
    ids=repr,
)
async def test_all_else_in_a_request_must_be_equal(other: Any) -> None:
    inner = counted(id)
    cached = remember(inner)
    await cached.execute(ChatRequest(QUESTION), WorkflowContext())
    await cached.execute(other, WorkflowContext())
    assert inner.call_count == 2
    await cached.execute([user([TextPart("What town? "), TextPart("@5")])], WorkflowContext())
    assert inner.call_count == 2


async def test_details_must_be_equal_however_near_the_embeddings_are() -> None:
    cached = remember(counted(), lambda text: [1.0, 0.0], details=lambda text: text[0])
    answers = [await cached.execute(each, WorkflowContext()) for each in ("ab", "ac", "bc")]
    assert answers == [["ab"], ["ab"], ["bc"]]


async def test_the_same_words_in_another_order_are_another_question() -> None:
    cached = SemanticCache(counted(), lambda text: [1.0, 0.0], threshold=0.9, ttl_seconds=60)
    asked = ["Flights from Oslo to Rome", "Flights from Rome to Oslo", "Flights, Oslo to Rome?"]
    answers = [await cached.execute(each, WorkflowContext()) for each in asked[:2]]
    assert answers == [[asked[0]], [asked[1]]]
    assert await cached.execute(asked[2], WorkflowContext()) in answers


async def test_without_details_the_embedding_alone_decides() -> None:
    cached = remember(counted(), lambda text: [1.0, 0.0])
    for asked in ("from 2 to 3", "from 3 to 2", "not from 4"):
        assert await cached.execute(asked, WorkflowContext()) == ["from 2 to 3"]


# ------------------------------------------------------------------------------- what is a question

TOOL = ToolDefinition("search", "Searches.", {"type": "object"})


@pytest.mark.parametrize(
    "other",
    [
        ChatRequest("a@0", tools=[TOOL]),
        [user("a@0"), assistant("b"), user("c@0")],
        [user("a@0"), user("b@0")],
        [assistant("a@0")],
        [system("a@0")],
        user([TextPart("a@0"), ImagePart(url="https://example.com/a.png")]),
        [user([TextPart("a@0"), ImagePart(url="https://example.com/a.png")])],
        " ",
        [],
        ["a@0"],
        {"question": "a@0"},
        None,
        7,
    ],
    ids=repr,
)
async def test_anything_but_a_single_question_in_text_passes(other: Any) -> None:
    embedder = MockPrimitive(function=at_angle, name="embedder")
    inner = MockPrimitive(return_value="an answer")
    cached = remember(inner, embedder)
    for _ in range(2):
        assert await cached.execute(other, WorkflowContext()) == "an answer"
        async with aclosing(cached.stream(other, WorkflowContext())) as pieces:
            assert [piece async for piece in pieces] == ["an answer"]
    assert (inner.call_count, embedder.call_count) == (4, 0)
    assert (cached.statistics.passed, cached.statistics.misses) == (4, 0)
    assert await cached.lookup(other) is None
    await cached.invalidate(other)


async def test_a_text_too_long_for_a_question_passes() -> None:
    """An embedder that reads its beginning only would take it for any other that begins alike."""
    inner = counted()
    cached = remember(inner, lambda text: [ord(text[0]), 1.0])
    for end in "xy":
        long = "a" * 250 + end
        assert await cached.execute(long, WorkflowContext()) == [long]
        await cached.execute(long[1:], WorkflowContext())
    assert (inner.call_count, cached.statistics.passed, cached.statistics.hits) == (3, 2, 1)


def apart(data: Any) -> tuple[str, Any] | None:
    return (data["q"], data["language"]) if "q" in data else None


async def test_other_inputs_are_taken_apart_by_a_function() -> None:
    inner = counted(lambda data: data.get("id"))
    cached = remember(inner, text=apart)
    inputs = [
        {"q": "a@0", "language": "en", "id": 1},
        {"q": "b@5", "language": "en", "id": 2},
        {"q": "b@5", "language": "de", "id": 3},
        {"id": 4},
    ]
    answers = [await cached.execute(each, WorkflowContext()) for each in inputs]
    assert answers == [1, 1, 3, 4]


@pytest.mark.parametrize("told", ["a question", ("a", "b", "c"), (1, "rest"), ["a", "b"]])
async def test_a_function_that_gives_no_rest_is_refused(told: Any) -> None:
    cached = remember(counted(), text=lambda _: told)
    with pytest.raises(TypeError, match=r"text= gives a .*: let it give \(question, rest\)"):
        await cached.execute("a@0", WorkflowContext())


async def test_a_rest_that_is_no_plain_data_is_refused() -> None:
    cached = remember(counted(), text=lambda data: (data, object()))
    told = r"a key of a object: let the rest of the input that text= gives"
    with pytest.raises(UnkeyableError, match=told):
        await cached.execute("a@0", WorkflowContext())


# ------------------------------------------------------------------------- the data of the request


async def test_what_reads_the_requests_data_is_given_to_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = MockPrimitive(function=lambda data, context: context.data["tenant"])
    cached = remember(inner)
    answers = [await cached.execute("a@0", tenant(name)) for name in "xyx"]
    assert answers == ["x", "y", "x"]
    assert (cached.statistics.personal, cached.statistics.entries) == (3, 0)
    [warning] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "reads 'tenant' of context.data" in warning.getMessage()


async def test_what_is_named_may_be_read() -> None:
    inner = MockPrimitive(function=lambda data, context: context.data["tenant"])
    varied, ignoring = remember(inner, vary=("tenant",)), remember(inner, ignore=("tenant",))
    assert [await varied.execute("a@0", tenant(name)) for name in "xyx"] == ["x", "y", "x"]
    assert [await ignoring.execute("a@0", tenant(name)) for name in "xyx"] == ["x", "x", "x"]


async def test_what_the_step_writes_is_written_again() -> None:
    def write(data: str, context: WorkflowContext) -> str:
        context.data["sources"] = [data]
        return data

    cached = remember(MockPrimitive(function=write))
    for asked in ("a@0", "b@5", "b@5"):
        context = WorkflowContext()
        await cached.execute(asked, context)
        assert context.data["sources"] == ["a@0"]
        context.data["sources"].append("altered")


# ----------------------------------------------------------------------------- what is remembered


async def test_an_answer_that_was_cut_short_is_not_remembered() -> None:
    short = ChatResponse(
        message=assistant("a long"), finish_reason="length", usage=Usage(), model="m", provider="p"
    )
    model = FakeChatModel(short)
    cached = remember(model)
    for asked in ("a@0", "b@5"):
        assert await cached.execute(asked, WorkflowContext()) == short
    assert model.call_count == 2
    assert cached.statistics.not_stored == 2


async def test_a_function_may_choose_what_is_remembered() -> None:
    inner = counted()
    cached = remember(inner, store_if=lambda answer: "good" in answer[0])
    for asked in ("bad@0", "bad@0", "good@0", "bad@0"):
        await cached.execute(asked, WorkflowContext())
    assert inner.call_count == 3


async def test_an_answer_that_can_not_be_copied_is_given_and_not_remembered() -> None:
    cached = remember(counted(lambda _: threading.Lock()))
    for _ in range(2):
        assert await cached.execute("a@0", WorkflowContext())
    assert cached.statistics.not_stored == 2


async def test_it_knows_what_it_saved() -> None:
    clock = VirtualClock(auto_advance=True)
    model = FakeChatModel("one two", delay=3, price=Price(input=0, output=1_000_000))
    cached = remember(model)
    for asked in ("a@0", "b@5", "c@1"):
        await cached.execute(asked, WorkflowContext(clock=clock))
    told = cached.statistics
    assert (told.hits, told.misses) == (2, 1)
    assert told.hit_rate == pytest.approx(2 / 3)
    assert told.seconds_saved == pytest.approx(2 * 3)
    answer = await cached.execute("a@0", WorkflowContext(clock=clock))
    assert told.dollars_saved == pytest.approx(2 * answer.cost_usd)
    assert (told.entries, told.bytes > 400) == (1, True)


# ------------------------------------------------------------------------------------ the embedder


@pytest.mark.parametrize(
    ("given_one", "told"),
    [
        (lambda text: 1 / 0, r"it failed \(ZeroDivisionError\)"),
        (lambda text: None, r"an array of shape \(\) for a text"),
        (lambda text: "a vector", "the embedder gave a str, not a vector"),
        (lambda text: [[1.0, 0.0]], r"an array of shape \(1, 2\) for a text, not one vector"),
        (lambda text: [], "is zero or not finite"),
        (lambda text: [0.0, 0.0], "is zero or not finite"),
        (lambda text: [math.nan, 1.0], "is zero or not finite"),
        (lambda text: [1e300, 1e300], "is zero or not finite"),
    ],
)
async def test_an_embedder_that_fails_or_gives_garbage_is_a_miss(
    given_one: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    inner = counted()
    cached = remember(inner, given_one)
    for _ in range(2):
        assert await cached.execute("my secret", WorkflowContext()) == ["my secret"]
    assert (cached.statistics.embed_failed, cached.statistics.misses) == (2, 2)
    assert (inner.call_count, cached.statistics.entries) == (2, 0)
    assert re.search(told, caplog.text)
    assert "secret" not in caplog.text
    assert await cached.lookup("my secret") is None


async def test_who_asks_to_forget_is_told_when_the_embedder_fails() -> None:
    values = [[1.0, 0.0], ConnectionError("down"), [1.0, 0.0]]
    cached = remember(counted(), MockPrimitive(values=values))
    await cached.execute("a@0", WorkflowContext())
    with pytest.raises(ConnectionError):
        await cached.invalidate("b@5")
    assert cached.statistics.entries == 1
    await cached.invalidate("b@5")
    assert cached.statistics.entries == 0


async def test_vectors_of_another_size_are_refused_until_the_cache_is_cleared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    size = 2
    cached = remember(counted(), lambda text: [1.0] * size)
    await cached.execute("a", WorkflowContext())
    size = 3
    for _ in range(2):
        assert await cached.execute("b", WorkflowContext()) == ["b"]
    assert "a vector of 3 dimensions, and of 2 before" in caplog.text
    assert await cached.execute("a", WorkflowContext()) == ["a"], "the same text needs no vector"
    await cached.clear()
    await cached.execute("c", WorkflowContext())
    assert await cached.execute("d", WorkflowContext()) == ["c"]


async def test_a_vector_of_another_size_that_comes_late_is_compared_with_none() -> None:
    async def embed(text: str, context: WorkflowContext) -> list[float]:
        if text == "late":
            await context.clock.sleep(0.5)
            return [1.0, 0.0]
        return [1.0, 0.0, 0.0]

    clock = VirtualClock()
    cached = remember(counted(), embed)
    late = asyncio.ensure_future(cached.execute("late", WorkflowContext(clock=clock)))
    await clock.advance(0.1)
    await cached.execute("early", WorkflowContext(clock=clock))
    await clock.advance(0.5)
    assert await late == ["late"]
    assert await cached.execute("like early", WorkflowContext(clock=clock)) == ["early"]
    assert cached.statistics.entries == 1


async def test_a_slow_embedder_delays_a_call_by_its_limit_and_no_more() -> None:
    clock = VirtualClock(auto_advance=True)
    slow = MockPrimitive(return_value=[1.0], delay_seconds=60)
    cached = remember(counted(), slow, embed_timeout_seconds=2)
    assert await cached.execute("a", WorkflowContext(clock=clock)) == ["a"]
    assert clock.now() == 2
    assert cached.statistics.embed_failed == 1


async def test_the_callers_deadline_holds_while_the_embedder_works() -> None:
    clock = VirtualClock(auto_advance=True)
    slow = MockPrimitive(return_value=[1.0], delay_seconds=60)
    cached = remember(counted(), slow, embed_timeout_seconds=20)
    with pytest.raises(DeadlineExceededError):
        await cached.execute("a", WorkflowContext(clock=clock, timeout_seconds=5))
    assert clock.now() == 5
    assert cached.statistics.embed_failed == 0


async def test_cancelling_while_the_embedder_works_is_no_failure_of_it() -> None:
    cached = remember(counted(), MockPrimitive(return_value=[1.0], delay_seconds=60))
    call = asyncio.ensure_future(cached.execute("a", WorkflowContext(clock=VirtualClock())))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert cached.statistics.embed_failed == 0


async def test_the_step_keeps_the_callers_deadline_budget_and_ledger() -> None:
    seen: list[WorkflowContext] = []
    clock = VirtualClock()
    model = FakeChatModel("an answer")

    @step
    async def look(text: str, context: WorkflowContext) -> ChatResponse:
        seen.append(context)
        return await model.execute(text, context)

    budget = Budget(calls=1)
    context = WorkflowContext(clock=clock, timeout_seconds=5, budget=budget)
    cached = remember(look)
    await cached.execute("a@0", context)
    assert (seen[0].deadline, seen[0].budget) == (5, budget)
    assert context.usage.calls == 1
    assert seen[0].correlation_id == context.correlation_id
    await cached.execute("b@5", context)
    with pytest.raises(BudgetExceededError):
        await cached.execute("c@90", context)


# ----------------------------------------------------------------------------------------- streams


async def pieces_of(cached: Step, data: Any) -> list[Any]:
    async with aclosing(cached.stream(data, WorkflowContext())) as pieces:
        return [piece async for piece in pieces]


@step(join="".join)
async def spelled(text: str) -> AsyncIterator[str]:
    for letter in text:
        await asyncio.sleep(0)
        yield letter


async def test_a_stream_is_replayed_in_its_pieces() -> None:
    cached = remember(spelled)
    assert [await pieces_of(cached, each) for each in ("a@0", "b@5")] == [["a", "@", "0"]] * 2


async def test_a_replayed_answer_tells_which_question_it_was_given_to() -> None:
    model = FakeChatModel("Paris, of course.")
    cached = remember(model)
    events = [await pieces_of(cached, each) for each in ("a@0", "b@5")]
    assert events[0] == events[1]
    first, replayed = events[0][-1].cache_match, events[1][-1].cache_match
    assert first is None
    assert isinstance(replayed, CacheMatch)
    assert replayed.question == "a@0"
    answer = await collect(cached.stream("b@5", WorkflowContext()))
    assert answer.cache_match == replayed
    assert model.call_count == 1


async def test_results_and_streams_are_remembered_apart() -> None:
    model = FakeChatModel("Paris.")
    cached = remember(model)
    await cached.execute("a@0", WorkflowContext())
    await pieces_of(cached, "a@0")
    assert (model.call_count, cached.statistics.entries) == (2, 2)


async def test_a_stream_that_did_not_end_by_itself_is_not_remembered() -> None:
    cached = remember(spelled)
    async with aclosing(cached.stream("a@0", WorkflowContext())) as pieces:
        assert await anext(pieces) == "a"
    broken = remember(MockPrimitive(raises=ConnectionError("down")))
    with pytest.raises(ConnectionError):
        await pieces_of(broken, "a@0")
    assert cached.statistics.entries == broken.statistics.entries == 0


class Restarting(WorkflowPrimitive[str, Any]):
    async def execute(self, input_data: str, context: WorkflowContext) -> Any:
        raise NotImplementedError

    async def stream(self, input_data: str, context: WorkflowContext) -> AsyncIterator[Any]:  # type: ignore[override]
        yield TextDelta("lost")
        yield StreamRestart("second", "the first broke off")
        yield TextDelta("an answer")
        yield Finish(finish_reason="stop", model="m", provider="p")


async def test_what_a_restart_took_back_is_not_replayed() -> None:
    cached = remember(Restarting())
    assert len(await pieces_of(cached, "a@0")) == 4
    assert [type(each) for each in await pieces_of(cached, "b@5")] == [TextDelta, Finish]


async def test_a_reader_of_a_stream_can_not_alter_what_is_remembered() -> None:
    @step(join=list)
    async def lists(text: str) -> AsyncIterator[list[str]]:
        yield [text]

    cached = remember(lists)
    for asked in ("a@0", "b@5", "b@5"):
        async with aclosing(cached.stream(asked, WorkflowContext())) as pieces:
            async for piece in pieces:
                assert piece == ["a@0"]
                piece.append("altered")


async def test_pieces_that_can_not_be_copied_are_given_and_not_remembered() -> None:
    cached = remember(counted(lambda _: threading.Lock()))
    assert len(await pieces_of(cached, "a@0")) == 1
    assert cached.statistics.not_stored == 1


# ----------------------------------------------------------------- looking, forgetting, describing


async def test_looking_runs_nothing_and_tells_the_answer_its_question_and_score() -> None:
    inner = counted()
    cached = remember(inner, vary=("tenant",))
    assert await cached.lookup("a@0", tenant("x")) is None
    await cached.execute("a@0", tenant("x"))
    found = await cached.lookup("b@5", tenant("x"))
    assert isinstance(found, Match)
    assert (found.result, found.question) == (["a@0"], "a@0")
    assert found.score == pytest.approx(math.cos(math.radians(5)))
    assert repr(found) == "Match(list, score=0.996)"
    assert await cached.lookup("b@5", tenant("y")) is None
    assert await cached.lookup("b@5") is None
    assert (cached.statistics.hits, cached.statistics.misses, inner.call_count) == (0, 1, 1)


async def test_forgetting_a_question_forgets_those_that_mean_the_same() -> None:
    inner = counted()
    cached = remember(inner)
    for asked in ("a@0", "b@15", "c@90"):
        await cached.execute(asked, WorkflowContext())
        await pieces_of(cached, asked)
    await cached.invalidate("d@7")
    assert [await cached.lookup(each) is None for each in ("a@0", "b@15", "c@90")] == [
        *(True, True, False)
    ]
    assert cached.statistics.entries == 2


@pytest.mark.parametrize("forget", ["invalidate", "clear"])
async def test_what_is_computed_while_something_is_forgotten_is_not_remembered(
    forget: str,
) -> None:
    clock = VirtualClock()
    cached = remember(MockPrimitive(return_value="old", delay_seconds=5))
    call = asyncio.ensure_future(cached.execute("a@0", WorkflowContext(clock=clock)))
    await clock.advance(1)
    await (cached.invalidate("a@0") if forget == "invalidate" else cached.clear())
    await clock.advance(5)
    assert await call == "old"
    assert cached.statistics.entries == 0


def test_the_outline_shows_the_step_and_the_embedder() -> None:
    drawn = repr(remember(counted(), FakeEmbedder(name="small embedder")))
    assert "remembered for 60 s" in drawn
    assert "compared by" in drawn
    assert "small embedder" in drawn


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, math.nan, True, "0.9"])
def test_a_threshold_that_is_no_cosine_above_zero_is_refused(threshold: Any) -> None:
    with pytest.raises(ValueError, match=r"threshold is a cosine.*calibrate_threshold finds"):
        remember(counted(), threshold=threshold)


def test_there_is_no_default_threshold() -> None:
    with pytest.raises(TypeError, match="threshold"):
        SemanticCache(str.upper, at_angle, ttl_seconds=60)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ttl_seconds": 0}, "ttl_seconds must be"),
        ({"max_entries": 0}, "max_entries must be"),
        ({"max_question_chars": 0}, "max_question_chars must be"),
        ({"embed_timeout_seconds": -1}, "embed_timeout_seconds must be"),
        ({"vary": "tenant"}, "vary= is several names"),
        ({"text": "q"}, "text= is a plain function of the input, not 'q'"),
        ({"details": 7}, "details= is a plain function of the question, not 7"),
        ({"store_if": 7}, "store_if= is a plain function of the result, not 7"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        remember(counted(), **options)


# ------------------------------------------------------------------------------------- the property

asks = st.tuples(st.just("ask"), st.integers(0, 11), st.sampled_from("xy"))
waits = st.tuples(st.just("wait"), st.integers(1, 40), st.just(""))


@given(st.lists(asks | waits, max_size=30), st.integers(1, 5))
def test_it_answers_as_a_plain_list_of_what_was_asked_would(
    events: list[tuple[str, int, str]], most: int
) -> None:
    """The list: (tenant, angle, until when), the least recently used first."""

    async def run() -> None:
        clock, plain = VirtualClock(), list[tuple[str, int, float]]()
        cached = remember(counted(), vary=("tenant",), max_entries=most)
        for kind, number, name in events:
            if kind == "wait":
                await clock.advance(number)
                continue
            # No two angles are equally far from a third one: the nearest is one alone.
            angle = number * number * 2
            context = WorkflowContext(data={"tenant": name}, clock=clock)
            answer = await cached.execute(f"q@{angle}", context)
            now = clock.now()
            if (name, angle) not in [each[:2] for each in plain if each[2] > now]:
                plain[:] = [each for each in plain if each[0] != name or each[2] > now]
            ours = [each for each in plain if each[0] == name]
            nearest = min(ours, key=lambda each: abs(each[1] - angle), default=None)
            if nearest is not None and abs(nearest[1] - angle) <= 10:
                plain.remove(nearest)
            else:
                nearest = (name, angle, now + 60)
                del plain[: max(0, len(plain) + 1 - most)]
            plain.append(nearest)
            assert answer == [f"q@{nearest[1]}"]
            assert cached.statistics.entries == len(plain)

    asyncio.run(run())
