"""Spans are nested as the workflow is, however it runs; `test_observed.py` starts this module."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import operator
import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode

from tests.properties.building import build
from tests.properties.descriptions import Node
from tests.properties.drawing import workflows
from tests.properties.performing import TEXT, perform, require_same
from tests.properties.reference import Reference
from tests.properties.telemetry import SAMPLER, SPANS, inner, paths, traces
from tests.properties.test_laws import chains, compose
from tta_llm import WorkflowContext
from tta_llm.observability import configured, names
from tta_llm.testing import VirtualClock, cancel_at_every_await

pytestmark = pytest.mark.timeout(60 + settings().max_examples / 10)


@pytest.fixture(scope="module", autouse=True)
def observed() -> None:
    assert configured(), "run this with -p tests.properties.telemetry"


@given(workflows(), st.sampled_from([None, None, 1.7]))
def test_the_spans_of_a_run_are_the_tree_of_the_workflow(node: Node, timeout: float | None) -> None:
    reference = Reference()
    expected = reference.run(node, TEXT, timeout=timeout)
    workflow = build(node)
    SPANS.clear()
    require_same(perform(workflow, VirtualClock(), timeout=timeout), expected)
    assert paths() == reference.spans
    assert traces() == 1


@given(workflows())
def test_the_spans_of_a_stream_are_the_same(node: Node) -> None:
    reference = Reference()
    expected = reference.run(node, TEXT)
    workflow = build(node)
    SPANS.clear()
    require_same(perform(workflow, VirtualClock(), stream=True), expected)
    assert paths() == reference.spans
    assert traces() == 1


@given(chains())
def test_brackets_make_no_difference_to_the_spans(chain: Any) -> None:
    nodes, *bracketings = chain
    seen: list[Counter[tuple[str, ...]]] = []
    for bracketing in bracketings:
        workflow = compose(bracketing, [build(node) for node in nodes], operator.rshift)
        SPANS.clear()
        perform(workflow, VirtualClock())
        seen.append(paths())
    assert seen[0] == seen[1]


@given(workflows(depth=2))
def test_every_span_ends_wherever_the_run_is_cancelled(node: Node) -> None:
    workflow, clock = build(node), VirtualClock()

    async def run() -> None:
        SPANS.clear()
        with contextlib.suppress(Exception):
            await workflow.execute(TEXT, WorkflowContext(clock=clock))

    def check() -> None:
        if not SPANS:  # cancelled before it began
            return
        paths()  # each parent has ended, too
        for span in SPANS:
            attributes = span.attributes or {}
            stopped = bool(attributes.get(names.CANCELLED))
            failed = span.status.status_code is StatusCode.ERROR
            assert not (stopped and failed)
            assert failed == (names.ERROR_TYPE in attributes)

    clock.run(cancel_at_every_await(run, check))


@given(workflows(depth=3), st.integers(2, 5))
def test_runs_at_the_same_time_keep_their_spans_apart(node: Node, times: int) -> None:
    clock = VirtualClock()
    each = [build(node) for _ in range(times)]
    SPANS.clear()

    async def together() -> None:
        runs = (one.execute(TEXT, WorkflowContext(clock=clock)) for one in each)
        await asyncio.gather(*runs, return_exceptions=True)

    clock.run(together())
    reference = Reference()
    reference.run(node, TEXT)
    assert paths() == Counter({path: times * count for path, count in reference.spans.items()})
    assert traces() == times


def forgets(node: Node) -> bool:
    """Tell whether a second run of it is like the first."""
    return not any(kind in repr(node) for kind in ("Cached(", "Flaky("))


@given(workflows(depth=3).filter(forgets), st.integers(2, 5))
def test_each_input_of_a_batch_has_a_trace_of_its_own(node: Node, times: int) -> None:
    clock, workflow = VirtualClock(), build(node)
    SPANS.clear()

    async def drain() -> None:
        async for _ in workflow.batch([TEXT] * times, WorkflowContext(clock=clock)):
            pass

    clock.run(drain())
    reference = Reference()
    reference.run(node, TEXT)
    assert paths() == Counter({path: times * count for path, count in reference.spans.items()})
    assert traces() == times


@given(workflows(depth=3))
def test_two_runs_with_one_context_are_two_traces(node: Node) -> None:
    clock, workflow = VirtualClock(), build(node)
    context = WorkflowContext(clock=clock)
    SPANS.clear()

    async def twice() -> None:
        for _ in range(2):
            with contextlib.suppress(Exception):
                await workflow.execute(TEXT, context)

    clock.run(twice())
    assert traces() == 2


@given(workflows(depth=3), st.integers(2, 4))
def test_runs_in_several_threads_keep_their_spans_apart(node: Node, times: int) -> None:
    each = [build(node) for _ in range(times)]
    SPANS.clear()
    threads = [threading.Thread(target=perform, args=(one, VirtualClock())) for one in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reference = Reference()
    reference.run(node, TEXT)
    assert paths() == Counter({path: times * count for path, count in reference.spans.items()})
    assert traces() == times


# They raise what they were given, and none of their own.
PASSING_ON = {"SequentialPrimitive", "ParallelPrimitive", "MapPrimitive", "RetryPrimitive"}


@given(workflows())
def test_an_error_is_told_on_the_span_where_it_arose_and_on_no_other(node: Node) -> None:
    workflow = build(node)
    SPANS.clear()
    perform(workflow, VirtualClock())
    for span in SPANS:
        told = [event for event in span.events if event.name == names.EXCEPTION]
        failed = span.status.status_code is StatusCode.ERROR
        if failed and not inner(span):
            assert len(told) == 1
        elif not failed or (span.attributes or {})[names.PRIMITIVE] in PASSING_ON:
            assert not told


@given(workflows(), st.booleans())
def test_a_run_that_is_dropped_gives_the_same_and_no_span(node: Node, stream: bool) -> None:
    expected = Reference().run(node, TEXT)
    SPANS.clear()
    SAMPLER.is_on = False
    try:
        require_same(perform(build(node), VirtualClock(), stream=stream), expected)
    finally:
        SAMPLER.is_on = True
    assert not SPANS


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@given(workflows(), st.booleans())
def test_each_step_that_has_a_span_is_logged(node: Node, stream: bool) -> None:
    logger, heard = logging.getLogger("tta_llm.workflow"), Records()
    logger.addHandler(heard)
    logger.setLevel(logging.DEBUG)
    SPANS.clear()
    try:
        perform(build(node), VirtualClock(), stream=stream)
    finally:
        logger.removeHandler(heard)
        logger.setLevel(logging.WARNING)
    steps = [vars(each) for each in heard.records if each.getMessage().startswith("step_")]
    ended = [vars(each) for each in heard.records if each.getMessage().startswith("workflow_")]
    assert Counter(each["path"] for each in steps) == Counter(
        {"/".join(path): count for path, count in paths().items()}
    )
    done = [
        span
        for span in SPANS
        if not inner(span)
        and span.status.status_code is not StatusCode.ERROR
        and names.CANCELLED not in (span.attributes or {})
    ]
    assert [each["steps_completed"] for each in ended] == [len(done)]
