"""An error is told once, on the span where it arose, with its place and what was left."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from tests.observability.recorder import Spans
from tta_llm import Budget, WorkflowContext, WorkflowPrimitive, step
from tta_llm.core import SequentialPrimitive
from tta_llm.errors import AllFailedError, DeadlineExceededError, ServerError
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock


def bad(error: Any = None, name: str = "bad") -> MockPrimitive:
    return MockPrimitive(raises=error or LookupError("sk-secret"), name=name)


def good(name: str) -> MockPrimitive:
    return MockPrimitive(return_value="v", name=name)


def told_on(spans: Spans) -> list[str]:
    """On which spans an exception is told."""
    return [span.name for span in spans for event in span.events if event.name == "exception"]


def told(span: ReadableSpan) -> dict[str, Any]:
    (event,) = [event for event in span.events if event.name == "exception"]
    return dict(event.attributes or {})


async def streamed(workflow: WorkflowPrimitive[Any, Any], context: WorkflowContext) -> None:
    async with aclosing(workflow.stream("x", context)) as pieces:
        async for _ in pieces:
            pass


async def fails(workflow: WorkflowPrimitive[Any, Any], *, stream: bool = False) -> None:
    context = WorkflowContext()
    work = streamed(workflow, context) if stream else workflow.execute("x", context)
    outcome: Any = await asyncio.gather(work, return_exceptions=True)
    assert isinstance(outcome[0], Exception)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_is_told_once_where_it_arose(spans: Spans, *, stream: bool) -> None:
    await fails(good("a") >> (good("b") | SequentialPrimitive([bad()], name="in")), stream=stream)
    assert told_on(spans) == ["bad"]
    failed = [span.name for span in spans if span.status.status_code is StatusCode.ERROR]
    assert failed == ["bad", "in", "ParallelPrimitive", "SequentialPrimitive"]


async def test_an_error_is_told_by_its_kind_and_line_and_never_by_its_text(spans: Spans) -> None:
    @step
    def reads(data: str) -> None:
        raise ServerError("sk-secret")

    await fails(reads)
    about = told(spans.one("reads"))
    assert about.pop("code.line.number") == reads.function.__code__.co_firstlineno + 2
    where = "test_an_error_is_told_by_its_kind_and_line_and_never_by_its_text.<locals>.reads"
    assert about == {
        "exception.type": "tta_llm.errors.ServerError",
        "code.function.name": f"{__name__}.{where}",
    }
    await fails(bad())
    assert told(spans.one("bad"))["exception.type"] == "LookupError"
    assert "sk-secret" not in "".join(span.to_json() for span in spans)


async def test_its_text_is_told_where_contents_are_asked_for_and_keys_are_not(
    spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    await fails(good("a") >> bad(LookupError("no such door, sk-nobodys-key " + "x" * 9_000)))
    text = told(spans.one("bad"))["exception.message"]
    assert text.startswith("no such door, [secret] xxx")
    assert len(text) == 8_000


async def test_the_same_error_raised_again_is_told_again(spans: Spans) -> None:
    error = ServerError("x")
    clock = VirtualClock(auto_advance=True)
    with pytest.raises(ServerError):
        await RetryPrimitive(bad(error), 2).execute("x", WorkflowContext(clock=clock))
    assert told_on(spans) == ["bad", "bad", "bad"]
    await fails(good("a") >> bad(error))
    assert told_on(spans) == ["bad"] * 4


async def test_each_error_of_several_is_told(spans: Spans) -> None:
    await fails(bad(LookupError(), "one") | bad(LookupError(), "two"))
    assert sorted(told_on(spans)) == ["one", "two"]


async def test_an_error_made_of_others_arises_where_it_is_made(spans: Spans) -> None:
    choices = FallbackPrimitive(bad(ServerError("x"), "one"), [bad(ServerError("x"), "two")])
    with pytest.raises(AllFailedError):
        await choices.execute("x", WorkflowContext())
    assert told_on(spans) == ["one", "two", "FallbackPrimitive"]


async def test_an_error_that_takes_no_attributes_is_told_once(spans: Spans) -> None:
    @dataclass(frozen=True)
    class Frozen(Exception):  # noqa: N818  # an error that a user may define so
        code: int

    await fails(good("a") >> bad(Frozen(3)))
    assert told_on(spans) == ["bad"]


# -------------------------------------------------------------------------------------------- place


async def test_the_path_leads_from_the_runs_first_step_to_where_the_error_arose(
    spans: Spans,
) -> None:
    branches = good("b") | SequentialPrimitive([good("c"), bad()], name="inner")
    await fails(SequentialPrimitive([good("a"), branches], name="answer"))
    paths = {span.name: (span.attributes or {}).get("tta.path") for span in spans}
    inside = "step 2 of 2 'ParallelPrimitive', branch 'inner', step 2 of 2 'bad'"
    assert paths["answer"] == f"answer/{inside}"
    assert paths["bad"] == "answer/ParallelPrimitive/inner/bad"
    assert paths["inner"] == "answer/ParallelPrimitive/inner/step 2 of 2 'bad'"
    assert paths["a"] is paths["b"] is None


async def test_a_very_long_path_is_cut(spans: Spans) -> None:
    nest: Any = bad()
    for number in range(80):
        nest = SequentialPrimitive([nest], name=f"n{number}")
    await fails(nest)
    path = str((spans.one("bad").attributes or {})["tta.path"])
    assert path.startswith("…/n48/n47/") and path.endswith("/n0/bad")


# ------------------------------------------------------------------------------------------- limits


async def test_a_span_that_failed_tells_what_was_left(spans: Spans) -> None:
    clock = VirtualClock()
    budget = Budget(dollars=0.5, tokens=1_000, calls=3)
    with budget.reserve(dollars=0.2, tokens=100) as spent:
        spent.settle(dollars=0.1, tokens=90)
    context = WorkflowContext(timeout_seconds=30, budget=budget, clock=clock)
    with pytest.raises(LookupError):
        await bad().execute("x", context)
    left = spans.one("bad").attributes or {}
    assert left["tta.deadline.left_seconds"] == 30
    assert left["tta.budget.left_usd"] == pytest.approx(0.4)
    assert left["tta.budget.left_tokens"] == 910
    assert left["tta.budget.left_calls"] == 2


async def test_limits_that_are_not_set_are_not_told(spans: Spans) -> None:
    with pytest.raises(LookupError):
        await bad().execute("x", WorkflowContext(budget=Budget(calls=3)))
    told = spans.one("bad").attributes or {}
    assert told["tta.budget.left_calls"] == 3
    unset = {"tta.deadline.left_seconds", "tta.budget.left_usd", "tta.budget.left_tokens"}
    assert not unset & told.keys()


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_ran_out_of_time_failed_where_its_clock_was_set(
    spans: Spans, *, stream: bool
) -> None:
    clock = VirtualClock()
    slow = MockPrimitive(delay_seconds=60, name="slow")
    workflow = SequentialPrimitive([good("a"), slow], name="answer")
    context = WorkflowContext(clock=clock, timeout_seconds=5)

    with pytest.raises(DeadlineExceededError):
        clock.run(streamed(workflow, context) if stream else workflow.execute("x", context))
    answer, stopped = spans.one("answer"), spans.one("slow")
    assert (answer.attributes or {})["error.type"] == "DeadlineExceededError"
    assert (answer.attributes or {})["tta.deadline.left_seconds"] == 0
    assert told_on(spans) == ["answer"]
    assert (stopped.attributes or {})["tta.cancelled"] is True


def test_a_limit_inside_fails_where_it_is(spans: Spans) -> None:
    clock = VirtualClock()
    slow = MockPrimitive(delay_seconds=60, name="slow")
    limited = TimeoutPrimitive(slow, 5) >> good("b")
    with pytest.raises(DeadlineExceededError):
        clock.run(limited.execute("x", WorkflowContext(clock=clock)))
    assert told_on(spans) == ["TimeoutPrimitive"]


# ------------------------------------------------------------------------------------------- tries


async def test_a_further_try_says_which_it_is(spans: Spans) -> None:
    flaky = MockPrimitive(values=[ServerError("x"), ServerError("x"), "v"], name="flaky")
    inside = SequentialPrimitive([good("a"), flaky], name="inside")
    clock = VirtualClock(auto_advance=True)
    await RetryPrimitive(inside, 3).execute("x", WorkflowContext(clock=clock))
    tries = [(span.attributes or {}).get("tta.attempt") for span in spans if span.name == "inside"]
    assert tries == [None, 2, 3]
    assert all("tta.attempt" not in (s.attributes or {}) for s in spans if s.name == "flaky")


async def test_tries_at_the_same_time_are_counted_apart(spans: Spans) -> None:
    def flaky(name: str, failures: int) -> RetryPrimitive[Any, Any]:
        values = [ServerError("x")] * failures + ["v"]
        return RetryPrimitive(MockPrimitive(values=values, name=name), 5)

    clock = VirtualClock()
    both = flaky("one", 1) | flaky("two", 3)
    await asyncio.to_thread(clock.run, both.execute("x", WorkflowContext(clock=clock)))
    tries = {
        name: [(s.attributes or {}).get("tta.attempt") for s in spans if s.name == name]
        for name in ("one", "two")
    }
    assert tries == {"one": [None, 2], "two": [None, 2, 3, 4]}


def test_the_place_is_cut_where_names_are_very_long(spans: Spans) -> None:
    with pytest.raises(LookupError):
        bad(name="n" * 100_000).run("x")
    (span,) = spans
    assert span.attributes is not None
    assert len(str(span.attributes["tta.path"])) == 8_000
