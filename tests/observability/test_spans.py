"""One span for each primitive, nested as the workflow is."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from tests.observability.recorder import Spans
from tta_llm import (
    ConditionalPrimitive,
    RouterPrimitive,
    SequentialPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    step,
)
from tta_llm.core import _drawn
from tta_llm.core._outline import outline_of
from tta_llm.errors import ServerError
from tta_llm.observability import SpanDetails
from tta_llm.observability.outline import Outline
from tta_llm.performance import CachePrimitive, SemanticCache
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock


def give(name: str, value: Any = "v") -> MockPrimitive:
    return MockPrimitive(return_value=value, name=name)


class Letters(WorkflowPrimitive[str, str]):
    def __init__(self, fail_after: int | None = None) -> None:
        super().__init__(name="letters")
        self.fail_after = fail_after
        self.current: list[str] = []

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        for number, letter in enumerate(input_data):
            if number == self.fail_after:
                raise ConnectionError("sk-secret")
            self.current.append(trace.get_current_span().name)  # type: ignore[attr-defined]
            yield letter


async def all_of(workflow: WorkflowPrimitive[Any, Any], context: WorkflowContext) -> list[Any]:
    async with aclosing(workflow.stream("abc", context)) as pieces:
        return [piece async for piece in pieces]


async def test_spans_are_nested_as_the_workflow_is(spans: Spans) -> None:
    workflow = (
        give("embed")
        >> (give("dense") | (give("sparse") >> give("rank")))
        >> ConditionalPrimitive(lambda data: True, give("long"), give("short"), name="length")
        >> RouterPrimitive({"a": give("small")}, lambda data: "a", name="tiers")
        >> RetryPrimitive(TimeoutPrimitive(give("tell"), 5))
    )
    await workflow.execute("x", WorkflowContext())
    assert spans.tree() == {
        "SequentialPrimitive": {
            "embed": {},
            "ParallelPrimitive": {
                "dense": {},
                "SequentialPrimitive": {"sparse": {}, "rank": {}},
            },
            "length": {"long": {}},
            "tiers": {"small": {}},
            "RetryPrimitive": {"TimeoutPrimitive": {"tell": {}}},
        }
    }


async def test_a_routers_span_tells_its_route(spans: Spans) -> None:
    router = RouterPrimitive({"a": give("small")}, lambda data: "?", default="a", name="tiers")
    await router.execute("x", WorkflowContext())
    assert await all_of(router, WorkflowContext()) == ["v"]
    told = [dict(span.attributes or {}) for span in spans if span.name == "tiers"]
    assert [each["tta.choice"] for each in told] == ["a", "a"]


async def test_however_it_is_bracketed_a_chain_has_the_same_spans(spans: Spans) -> None:
    a, b, c = give("a"), give("b"), give("c")
    await (a >> (b >> c)).execute("x", WorkflowContext())
    await ((a >> b) >> c).execute("x", WorkflowContext())
    assert spans.names == ["a", "b", "c", "SequentialPrimitive"] * 2


async def test_a_span_is_named_after_the_step_and_tells_its_kind_and_request(spans: Spans) -> None:
    await give("rerank").execute("x", WorkflowContext("req-1", "my-workflow"))
    told = spans.one("rerank").attributes or {}
    assert told["tta.primitive"] == "MockPrimitive"
    assert told["tta.correlation_id"] == "req-1"
    assert told["tta.workflow_id"] == "my-workflow"


async def test_a_runs_first_span_alone_carries_the_outline_and_the_version(spans: Spans) -> None:
    workflow = give("a") >> give("b")
    for _ in range(2):
        await workflow.execute("x", WorkflowContext())
    carried = [dict(span.attributes or {}) for span in spans if span.name == "SequentialPrimitive"]
    inner = next(span for span in spans if span.name == "a").attributes or {}
    outlines = {str(each["tta.outline"]) for each in carried}
    assert [Outline.from_json(each) for each in outlines] == [outline_of(workflow)]
    assert {each["tta.version"] for each in carried} == {version("tta-llm")}
    assert not {"tta.outline", "tta.version"} & inner.keys()


async def test_an_outline_that_can_not_be_drawn_breaks_no_run(spans: Spans) -> None:
    class Lazy(MockPrimitive):
        def children(self) -> Any:
            raise LookupError

    assert await Lazy(return_value="v", name="lazy").execute("x", WorkflowContext()) == "v"
    assert "tta.outline" not in (spans.one("lazy").attributes or {})


async def test_a_workflow_that_is_gone_leaves_no_outline(spans: Spans) -> None:
    gc.collect()
    before = len(_drawn._drawn)
    workflow = give("a") >> give("b")
    await workflow.execute("x", WorkflowContext())
    assert len(_drawn._drawn) == before + 1
    del workflow
    gc.collect()
    assert len(_drawn._drawn) == before


async def test_without_a_workflow_id_there_is_no_attribute_for_it(spans: Spans) -> None:
    await give("rerank").execute("x", WorkflowContext("req-1"))
    assert "tta.workflow_id" not in (spans.one("rerank").attributes or {})


async def test_a_primitive_may_name_its_span_and_say_its_kind(spans: Spans) -> None:
    class Query(WorkflowPrimitive[str, str]):
        def _span_details(self) -> SpanDetails:
            return SpanDetails("query docs", SpanKind.CLIENT, {"db.system.name": "sqlite"})

        async def execute(self, input_data: str, context: WorkflowContext) -> str:
            return input_data

    await Query(name="lookup").execute("x", WorkflowContext("req-1"))
    span = spans.one("query docs")
    assert span.kind is SpanKind.CLIENT
    told = span.attributes or {}
    assert told["tta.step"] == "lookup"
    assert (told["db.system.name"], told["tta.primitive"]) == ("sqlite", "Query")


async def test_each_item_and_each_try_has_its_span(spans: Spans) -> None:
    mock = MockPrimitive(values=[ServerError("x"), "v"], name="model")
    context = WorkflowContext(clock=VirtualClock(auto_advance=True))
    await RetryPrimitive(mock).execute("x", context)
    await give("item").map().execute([1, 2, 3], context)
    assert spans.names.count("model") == 2
    assert spans.names.count("item") == 3


async def test_choices_that_failed_are_seen_beside_the_one_that_answered(spans: Spans) -> None:
    first = MockPrimitive(raises=ServerError("x"), name="first")
    await FallbackPrimitive(first, [give("second")]).execute("x", WorkflowContext())
    assert spans.tree() == {"FallbackPrimitive": {"first": {}, "second": {}}}
    assert spans.one("first").status.status_code is StatusCode.ERROR
    assert spans.one("FallbackPrimitive").status.status_code is StatusCode.UNSET


async def test_a_cached_answer_has_no_span_of_the_step(spans: Spans) -> None:
    cached = CachePrimitive(give("search"), 60)
    for _ in range(3):
        await cached.execute("x", WorkflowContext())
    assert spans.names.count("search") == 1
    assert spans.names.count("CachePrimitive") == 3


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_semantic_cache_tells_how_near_a_question_came_and_never_the_question(
    spans: Spans, *, streamed: bool
) -> None:
    angles = {"a secret": [1, 0], "secret like it": [1, 0.1], "secret unlike it": [1, 3]}
    cached = SemanticCache(give("model"), angles.__getitem__, threshold=0.99, ttl_seconds=60)
    for question in angles:
        if streamed:
            async with aclosing(cached.stream(question, WorkflowContext())) as pieces:
                assert [piece async for piece in pieces]
        else:
            await cached.execute(question, WorkflowContext())
    own = [span for span in spans if span.name == "SemanticCache"]
    told = [dict(span.attributes or {}) for span in own]
    assert [each["tta.cache"] for each in told] == ["miss", "hit", "miss"]
    scores = [each.get("tta.cache_score") for each in told]
    assert scores == [None, pytest.approx(0.995, abs=1e-3), pytest.approx(0.316, abs=1e-3)]
    assert not any("secret" in str(value) for each in told for value in each.values())


# ------------------------------------------------------------------------------------------ parents


async def test_a_run_nests_under_the_callers_span(spans: Spans) -> None:
    tracer = spans.provider.get_tracer("app")
    with tracer.start_as_current_span("request"):
        await (give("a") >> give("b")).execute("x", WorkflowContext())
    assert spans.tree() == {"request": {"SequentialPrimitive": {"a": {}, "b": {}}}}


async def test_a_run_nests_under_the_contexts_parent_span(spans: Spans) -> None:
    tracer = spans.provider.get_tracer("app")
    with tracer.start_as_current_span("elsewhere"):
        parent = tracer.start_span("request")
        workflow = give("a") >> (give("b") | give("c"))
        await workflow.execute("x", WorkflowContext(parent_span=parent))
        parent.end()
    tree = spans.tree()
    assert tree["elsewhere"] == {
        "request": {"SequentialPrimitive": {"a": {}, "ParallelPrimitive": {"b": {}, "c": {}}}}
    }


async def test_a_step_that_calls_another_with_a_childs_context_stays_its_parent(
    spans: Spans,
) -> None:
    inner = give("inner")

    @step
    async def outer(data: str, context: WorkflowContext) -> Any:
        return await inner.execute(data, context.child(timeout_seconds=5))

    parent = spans.provider.get_tracer("app").start_span("request")
    await outer.execute("x", WorkflowContext(parent_span=parent))
    parent.end()
    assert spans.tree() == {"request": {"outer": {"inner": {}}}}


async def test_spans_that_a_step_makes_itself_are_inside_its_own(spans: Spans) -> None:
    tracer = spans.provider.get_tracer("app")

    @step
    def work(data: str) -> str:
        with tracer.start_as_current_span("query"):
            return data

    @step(thread=True)
    def work_in_thread(data: str) -> str:
        with tracer.start_as_current_span("query in thread"):
            return data

    await (work >> work_in_thread).execute("x", WorkflowContext())
    assert spans.tree() == {
        "SequentialPrimitive": {"work": {"query": {}}, "work_in_thread": {"query in thread": {}}}
    }


async def test_runs_at_the_same_time_keep_their_spans_apart(spans: Spans) -> None:
    workflow = step(lambda data: asyncio.sleep(0, data)) >> (give("a") | give("b"))
    await asyncio.gather(*(workflow.execute(n, WorkflowContext(f"{n}")) for n in range(5)))
    traces: dict[int, set[Any]] = {}
    for span in spans:
        assert span.context is not None
        correlation = (span.attributes or {})["tta.correlation_id"]
        traces.setdefault(span.context.trace_id, set()).add(correlation)
    assert len(traces) == 5
    assert all(len(each) == 1 for each in traces.values())


async def test_after_a_run_no_span_is_left_current(spans: Spans) -> None:
    await give("a").execute("x", WorkflowContext())
    with pytest.raises(LookupError):
        await MockPrimitive(raises=LookupError).execute("x", WorkflowContext())
    assert not trace.get_current_span().get_span_context().is_valid


# ------------------------------------------------------------------------------------------- errors


async def test_an_error_marks_the_spans_it_passes_with_its_kind(spans: Spans) -> None:
    bad = MockPrimitive(raises=LookupError("sk-secret"), name="bad")
    with pytest.raises(LookupError):
        await (give("good") >> bad).execute("x", WorkflowContext())
    for name in ("bad", "SequentialPrimitive"):
        assert spans.one(name).status.status_code is StatusCode.ERROR
        assert (spans.one(name).attributes or {})["error.type"] == "LookupError"
    assert spans.one("good").status.status_code is StatusCode.UNSET


def everything(spans: Spans) -> str:
    return "".join(span.to_json() for span in spans)


async def test_no_contents_are_in_any_span(spans: Spans) -> None:
    error = ServerError("sk-secret in the message")
    error.add_note("sk-secret in a note")
    workflow = step(str.strip) >> FallbackPrimitive(
        MockPrimitive(raises=error), [give("second", "sk-secret answer")]
    )
    context = WorkflowContext(data={"key": "sk-secret"})
    await workflow.execute("sk-secret question", context)
    await all_of(workflow, context)
    with pytest.raises(ServerError):
        await MockPrimitive(raises=error).execute("sk-secret", context)
    assert len(spans) > 6
    assert "sk-secret" not in everything(spans)


async def test_being_cancelled_is_no_error_of_the_step(spans: Spans) -> None:
    begun = asyncio.Event()

    @step
    async def waits(data: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(waits.execute("x", WorkflowContext()))
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    span = spans.one("waits")
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["tta.cancelled"] is True


async def test_siblings_of_a_failed_branch_are_marked_as_cancelled(spans: Spans) -> None:
    begun = asyncio.Event()

    @step
    async def waits(data: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    @step
    async def fails(data: str) -> None:
        await begun.wait()
        raise LookupError

    with pytest.raises(LookupError):
        await (waits | fails).execute("x", WorkflowContext())
    assert (spans.one("waits").attributes or {})["tta.cancelled"] is True
    assert spans.one("fails").status.status_code is StatusCode.ERROR


def test_running_out_of_time_is_an_error_of_the_part_that_had_the_limit(spans: Spans) -> None:
    clock = VirtualClock()
    slow = MockPrimitive(delay_seconds=60, name="slow")
    with pytest.raises(TimeoutError):
        clock.run(TimeoutPrimitive(slow, 5).execute("x", WorkflowContext(clock=clock)))
    assert (spans.one("TimeoutPrimitive").attributes or {})["error.type"] == "DeadlineExceededError"
    assert len(spans) == 2


# ------------------------------------------------------------------------------------------ streams


async def test_a_stream_has_the_same_spans(spans: Spans) -> None:
    workflow = step(str.strip, name="head") >> Letters()
    await all_of(workflow, WorkflowContext())
    assert spans.tree() == {"SequentialPrimitive": {"head": {}, "letters": {}}}


async def test_between_pieces_the_consumers_own_span_is_current(spans: Spans) -> None:
    letters = Letters()
    with spans.provider.get_tracer("app").start_as_current_span("consumer") as consumer:
        async for _ in letters.stream("abc", WorkflowContext()):
            assert trace.get_current_span() is consumer
    assert letters.current == ["letters"] * 3
    assert spans.tree() == {"consumer": {"letters": {}}}


async def test_a_stream_closed_early_ends_its_spans(spans: Spans) -> None:
    workflow = step(str.strip, name="head") >> SequentialPrimitive([Letters()], name="inner")
    async with aclosing(workflow.stream("abc", WorkflowContext())) as pieces:
        await anext(pieces)
    assert spans.tree() == {"SequentialPrimitive": {"head": {}, "inner": {"letters": {}}}}
    assert all(span.status.status_code is StatusCode.UNSET for span in spans)


async def test_a_broken_stream_marks_its_spans_without_contents(spans: Spans) -> None:
    with pytest.raises(ConnectionError):
        await all_of(step(str.strip) >> Letters(fail_after=2), WorkflowContext())
    assert spans.one("letters").status.status_code is StatusCode.ERROR
    assert spans.one("SequentialPrimitive").status.status_code is StatusCode.ERROR
    assert "sk-secret" not in everything(spans)


async def test_a_stream_under_a_deadline_has_the_same_spans(spans: Spans) -> None:
    context = WorkflowContext(timeout_seconds=60)
    await all_of(step(str.strip, name="head") >> Letters(), context)
    assert spans.tree() == {"SequentialPrimitive": {"head": {}, "letters": {}}}


# ---------------------------------------------------------------------------------------- providers


async def test_a_provider_that_is_swapped_is_honoured_at_once(spans: Spans) -> None:
    workflow = give("a") >> give("b")
    await workflow.execute("x", WorkflowContext())
    other = Spans()
    trace._TRACER_PROVIDER = other.provider
    await workflow.execute("x", WorkflowContext())
    assert len(spans) == len(other) == 3


async def test_the_same_result_with_and_without_spans(spans: Spans) -> None:
    workflow = step(str.upper) >> (step(str.lower) | len)
    assert await workflow.execute("ab", WorkflowContext()) == ("ab", 2)
