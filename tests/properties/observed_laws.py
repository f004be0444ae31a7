"""Spans are nested as the workflow is, however it runs; `test_observed.py` starts this module."""

from __future__ import annotations

import asyncio
import contextlib
import operator
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
from tests.properties.telemetry import SPANS, paths
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


@given(workflows())
def test_the_spans_of_a_stream_are_the_same(node: Node) -> None:
    reference = Reference()
    expected = reference.run(node, TEXT)
    workflow = build(node)
    SPANS.clear()
    require_same(perform(workflow, VirtualClock(), stream=True), expected)
    assert paths() == reference.spans


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
