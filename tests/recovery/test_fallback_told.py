"""Who answered and why the others did not: on the answer, the error, the span; and hold-outs."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.observability.recorder import Spans
from tta_llm import Budget, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import (
    AllFailedError,
    AuthenticationError,
    ContextLengthError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    RateLimitExceededError,
    ServerError,
    UnknownModelError,
)
from tta_llm.messages import ChatResponse, FailedAttempt, Finish, TextDelta, collect
from tta_llm.observability import names
from tta_llm.providers import ModelInfo
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock

CORRELATION = "request-7"
SECRET = "the prompt that nobody may log"


class Caller:
    """Calls workflows on one clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock()

    def __call__(self, workflow: WorkflowPrimitive[Any, Any], **limits: Any) -> Any:
        context = WorkflowContext(CORRELATION, clock=self.clock, **limits)
        return self.clock.run(workflow.execute(SECRET, context))

    def wait(self, seconds: float) -> None:
        self.clock.run(self.clock.advance(seconds))


@pytest.fixture
def call() -> Caller:
    return Caller()


def model(name: str, responses: Any = "an answer") -> FakeChatModel:
    return FakeChatModel(responses, model=name, name=name)


def who(response: ChatResponse) -> str:
    return response.model


# ------------------------------------------------------------------------------- on the answer


def test_an_answer_of_the_primary_says_nothing_of_others(call: Caller) -> None:
    assert call(FallbackPrimitive(model("a"), [model("b")])).failed_attempts == ()


def test_the_answer_says_why_those_before_it_failed_in_order(call: Caller) -> None:
    workflow = FallbackPrimitive(
        model("a", ServerError("oops")), [model("b", OverloadedError("busy")), model("c")]
    )
    assert call(workflow).failed_attempts == (
        FailedAttempt("a", "ServerError: oops"),
        FailedAttempt("b", "OverloadedError: busy"),
    )


def test_fallbacks_inside_each_other_tell_all_of_it(call: Caller) -> None:
    def down(name: str) -> FakeChatModel:
        return model(name, ServerError(name))

    lost = FallbackPrimitive(down("a"), [down("b")], name="lost")
    inner = FallbackPrimitive(down("c"), [model("d")], name="inner")
    got = call(FallbackPrimitive(lost, [inner]))
    assert who(got) == "d"
    assert [each.choice for each in got.failed_attempts] == ["lost", "c"]
    assert "2 of 2 choices were tried and failed" in got.failed_attempts[0].reason


async def test_the_finish_of_a_stream_tells_the_same() -> None:
    lost = FallbackPrimitive(model("a", ServerError("x")), [model("b", ServerError("y"))])
    inner = FallbackPrimitive(model("c", ServerError("z")), [model("d")])
    workflow = FallbackPrimitive(lost, [inner])
    *_, finish = [piece async for piece in workflow.stream("x", WorkflowContext())]
    assert isinstance(finish, Finish)
    plain = await workflow.execute("x", WorkflowContext())
    assert finish.failed_attempts == plain.failed_attempts
    assert [each.choice for each in finish.failed_attempts] == ["FallbackPrimitive", "c"]


def test_a_choice_in_wrappers_is_told_by_what_stands_behind_them(call: Caller) -> None:
    first = RetryPrimitive(TimeoutPrimitive(model("a", AuthenticationError("no")), 5))
    named = TimeoutPrimitive(model("b", ServerError("oops")), 5, name="the second")
    last = MockPrimitive(raises=OverloadedError("busy"), name="last")
    with pytest.raises(AllFailedError) as told:
        call(FallbackPrimitive(first, [named, last]))
    paths = [each.__notes__[0] for each in told.value.exceptions]
    assert paths == [
        "in choice 1 of 3 'a'",
        "in choice 2 of 3 'the second'",
        "in choice 3 of 3 'last'",
    ]


def test_a_path_goes_on_inside_a_choice(call: Caller) -> None:
    inside = step(str.strip) >> MockPrimitive(raises=TypeError("bug"), name="b")
    with pytest.raises(TypeError) as told:
        call(FallbackPrimitive(inside, [model("c")], name="f") >> str.upper)
    assert told.value.__notes__[0] == (
        "in step 1 of 2 'f', choice 1 of 2 'SequentialPrimitive', step 2 of 2 'b'"
    )


# ------------------------------------------------------------------------------- on the span


def events_of_span(spans: Spans, name: str) -> list[tuple[str, dict[str, Any]]]:
    return [(each.name, dict(each.attributes or {})) for each in spans.one(name).events]


def test_the_span_tells_who_answered_and_who_did_not(call: Caller, spans: Spans) -> None:
    workflow = FallbackPrimitive(
        model("a", ServerError(SECRET)), [model("b", AuthenticationError(SECRET)), model("c")]
    )
    call(workflow)
    span = spans.one("FallbackPrimitive")
    assert span.attributes is not None
    assert span.attributes[names.CHOICE] == "c"
    assert events_of_span(spans, "FallbackPrimitive") == [
        ("tta.fallback", {"target": "a", "reason": "ServerError"}),
        ("tta.held_out", {"target": "b", "reason": "AuthenticationError"}),
        ("tta.fallback", {"target": "b", "reason": "AuthenticationError"}),
    ]
    assert not [each for each in spans if SECRET in each.to_json()]


def test_the_span_tells_what_was_passed_over(call: Caller, spans: Spans) -> None:
    def sized(name: str, window: int, responses: Any = "an answer") -> FakeChatModel:
        return FakeChatModel(responses, info=ModelInfo(context_window=window), name=name)

    first = sized("a", 8_000, ContextLengthError("too long"))
    call(FallbackPrimitive(first, [sized("b", 10), sized("c", 9_000)]))
    assert events_of_span(spans, "FallbackPrimitive") == [
        ("tta.fallback", {"target": "a", "reason": "ContextLengthError"}),
        (
            "tta.passed_over",
            {"target": "b", "reason": "its window (10 tokens) is not known to be larger"},
        ),
    ]


async def test_the_span_of_a_stream_tells_the_same(spans: Spans) -> None:
    workflow = FallbackPrimitive(
        model("a", ServerError("oops")),
        [FakeChatModel("one two", break_after=1, name="b"), model("c")],
        after_first_piece="restart",
    )
    await collect(workflow.stream("x", WorkflowContext()))
    span = spans.one("FallbackPrimitive")
    assert span.attributes is not None
    assert span.attributes[names.CHOICE] == "c"
    told = [(name, about["target"]) for name, about in events_of_span(spans, "FallbackPrimitive")]
    assert told == [("tta.fallback", "a"), ("tta.fallback", "b")]


async def test_a_stream_closed_early_has_told_who_answered(spans: Spans) -> None:
    workflow = FallbackPrimitive(model("a", ServerError("oops")), [model("b")])
    stream = workflow.stream("x", WorkflowContext())
    assert await anext(stream) == TextDelta("an")
    await stream.aclose()
    span = spans.one("FallbackPrimitive")
    assert span.attributes is not None
    assert span.attributes[names.CHOICE] == "b"


def counted(reader: InMemoryMetricReader, metric: str) -> dict[tuple[Any, Any], float]:
    data = reader.get_metrics_data()
    assert data is not None
    points = [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for each in scope.metrics
        if each.name == metric
        for point in each.data.data_points
    ]
    return {
        (dict(p.attributes or {}).get("event"), dict(p.attributes or {}).get("target")): p.value  # type: ignore[union-attr]
        for p in points
    }


def test_what_happened_is_counted(call: Caller, metric_reader: InMemoryMetricReader) -> None:
    workflow = FallbackPrimitive(model("a", ServerError("oops")), [model("b")])
    for _ in range(3):
        call(workflow)
    assert counted(metric_reader, "recovery_events") == {("fallback", "a"): 3}


# ------------------------------------------------------------------------------- held out


@pytest.mark.parametrize("kind", [AuthenticationError, PermissionDeniedError, UnknownModelError])
def test_a_failure_that_lasts_is_logged_as_an_error(
    call: Caller, caplog: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    workflow = FallbackPrimitive(model("a", kind(SECRET)), [model("b")])
    for _ in range(3):
        assert who(call(workflow)) == "b"
    (record,) = [each for each in caplog.records if each.name == "tta_llm.recovery"]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        f"a failed with {kind.__name__}, which another try will not mend: for 60 s it is tried last"
    )
    assert record.__dict__["correlation_id"] == CORRELATION
    assert SECRET not in caplog.text


def test_what_another_try_can_mend_is_not_logged(
    call: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    call(FallbackPrimitive(model("a", RateLimitError("slow", retry_after=9)), [model("b")]))
    assert not [each for each in caplog.records if each.name == "tta_llm.recovery"]


def test_a_bad_key_is_tried_last_for_a_while(call: Caller) -> None:
    first, second = model("a", AuthenticationError("no")), model("b")
    workflow = FallbackPrimitive(first, [second], hold_out_seconds=30)
    call(workflow)
    call.wait(29)
    got = call(workflow)
    assert (who(got), first.call_count) == ("b", 1)
    assert got.failed_attempts == (
        FailedAttempt("a", "tried last for 1 s after AuthenticationError"),
    )
    call.wait(1)
    call(workflow)
    assert first.call_count == 2


def test_held_out_it_is_still_tried_when_all_others_failed(call: Caller) -> None:
    first = model("a", [AuthenticationError("no"), "the key is right again", "and again"])
    second = model("b", ["once", ServerError("oops"), ServerError("oops")])
    workflow = FallbackPrimitive(first, [second])
    assert [who(call(workflow)) for _ in range(2)] == ["b", "a"]
    assert [each.held_out.status() for each in workflow._places] == ["in its place"] * 2
    assert who(call(workflow)) == "a"  # it answered, so it has its place again
    assert second.call_count == 2


def test_one_that_answers_in_its_place_takes_no_other_in_again(call: Caller) -> None:
    first = model("a", AuthenticationError("no"))
    workflow = FallbackPrimitive(first, [model("b")])
    for _ in range(5):
        call(workflow)
    assert first.call_count == 1


def test_when_all_are_held_out_their_order_holds(call: Caller) -> None:
    first, second = (model(name, AuthenticationError(name)) for name in "ab")
    workflow = FallbackPrimitive(first, [second])
    for _ in range(2):
        with pytest.raises(AllFailedError) as told:
            call(workflow)
        assert [str(each) for each in told.value.exceptions] == ["a", "b"]
    assert (first.call_count, second.call_count) == (2, 2)


def test_without_hold_outs_the_bad_key_is_still_loud(
    call: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    first = model("a", AuthenticationError("no"))
    workflow = FallbackPrimitive(first, [model("b")], hold_out_seconds=None)
    for _ in range(2):
        call(workflow)
    assert first.call_count == 2
    told = [each.getMessage() for each in caplog.records if each.name == "tta_llm.recovery"]
    assert told == ["a failed with AuthenticationError, which another try will not mend"] * 2


async def test_many_calls_at_once_tell_of_a_bad_key_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock(auto_advance=True)
    first = FakeChatModel(AuthenticationError("no"), delay=1, name="a")
    workflow = FallbackPrimitive(first, [model("b")])
    calls = (workflow.execute("x", WorkflowContext(clock=clock)) for _ in range(20))
    assert {who(each) for each in await asyncio.gather(*calls)} == {"b"}
    assert first.call_count == 20
    assert len([each for each in caplog.records if each.name == "tta_llm.recovery"]) == 1


class SdkError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = type("Response", (), {"headers": headers})


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitError("slow", retry_after=20), 20),
        (RateLimitError("slow"), 0),
        (RateLimitError("slow", retry_after=0), 0),
        (OverloadedError("busy", status=503, retry_after=20), 20),
        (SdkError(429, **{"retry-after": "20"}), 20),
        (SdkError(429), 0),
        (SdkError(401), 60),
        (SdkError(403), 60),
        (RateLimitExceededError("our own limit", retry_after=20), 0),
        (ServerError("oops"), 0),
        (ExceptionGroup("two branches", [ServerError("a"), AuthenticationError("b")]), 60),
        (AllFailedError("it held its own out", [ServerError("a"), AuthenticationError("b")]), 0),
    ],
    ids=lambda value: f"{type(value).__name__} {value}",
)
def test_how_long_a_failure_holds_out(call: Caller, error: Exception, seconds: float) -> None:
    first = MockPrimitive(raises=error, name="a")
    workflow = FallbackPrimitive(first, [model("b")])
    call(workflow)
    assert workflow.guards[0].readings() == {"held_out_seconds": seconds}
    if seconds:
        call.wait(seconds - 1)
        call(workflow)
        assert first.call_count == 1
        call.wait(1)
    call(workflow)
    assert first.call_count == 2


def test_a_wait_that_was_asked_for_does_not_shorten_a_longer_one(call: Caller) -> None:
    first = model("a", [RateLimitError("x", retry_after=50), RateLimitError("x", retry_after=5)])
    workflow = FallbackPrimitive(first, [model("b", [ServerError("oops"), ServerError("oops")])])
    for _ in range(2):
        with pytest.raises(AllFailedError):
            call(workflow)
    assert workflow.guards[0].readings() == {"held_out_seconds": 50}


def test_fallbacks_over_one_model_share_what_they_know_of_it(call: Caller) -> None:
    shared = model("a", AuthenticationError("no"))
    one = FallbackPrimitive(RetryPrimitive(shared), [model("b")])
    other = FallbackPrimitive(TimeoutPrimitive(shared, 5), [model("c")], name="other")
    call(one)
    assert who(call(other)) == "c"
    assert shared.call_count == 1
    assert one.guards[0] is other.guards[0]
    assert one.guards[0].name == "a"


def test_what_is_held_out_says_so(call: Caller) -> None:
    workflow = FallbackPrimitive(model("a", AuthenticationError("no")), [model("b")])
    assert [each.status() for each in workflow.guards] == ["in its place"] * 2
    call(workflow)
    held_out, in_place = workflow.guards
    assert held_out.status() == "tried last for 60 s after AuthenticationError"
    assert in_place.status() == "in its place"


def test_a_late_answer_from_before_the_hold_out_does_not_end_it() -> None:
    """Two calls at once: one finds the limit reached, the other began before and answers."""
    clock = VirtualClock()

    async def either(data: str, context: WorkflowContext) -> str:
        if data == "refused":
            raise RateLimitError("slow", retry_after=30)
        await context.clock.sleep(5)
        return "answered"

    workflow = FallbackPrimitive(step(either), [model("b")])

    async def both() -> None:
        context = WorkflowContext(clock=clock)
        await asyncio.gather(*(workflow.execute(data, context) for data in ("slow", "refused")))

    clock.run(both())
    assert workflow.guards[0].readings() == {"held_out_seconds": 25}


def test_a_budget_is_not_touched_by_what_is_held_out(call: Caller) -> None:
    workflow = FallbackPrimitive(model("a", AuthenticationError("no")), [model("b")])
    call(workflow)
    budget = Budget(calls=1)
    assert who(call(workflow, budget=budget)) == "b"
    assert budget.spent.calls == 1
