"""The laws, over workflows drawn at random; time is virtual throughout."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.building import AnyPrimitive, build
from tests.properties.descriptions import Node
from tests.properties.drawing import workflows
from tests.properties.performing import (
    TEXT,
    outcome,
    perform,
    require_same,
    require_same_result,
    streamed,
    told_by,
)
from tests.properties.reference import Reference, name
from tta_llm import ParallelPrimitive, SequentialPrimitive, WorkflowContext, step
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock, cancel_at_every_await
from tta_llm.testing._probes import differences, state

# A second for ten cases, whichever profile says how many.
pytestmark = pytest.mark.timeout(60 + settings().max_examples / 10)

# How deep workflows are nested where each of them runs many times.
SMALL = 2


@given(workflows())
def test_executed_it_comes_to_what_the_reference_says(node: Node) -> None:
    require_same(perform(build(node), VirtualClock()), Reference().run(node, TEXT))


@given(workflows())
def test_streamed_it_comes_to_the_same(node: Node) -> None:
    require_same(perform(build(node), VirtualClock(), stream=True), Reference().run(node, TEXT))


@given(workflows(), st.sampled_from([0.3, 1.7, 4.4, 13.0]), st.booleans())
def test_a_deadline_ends_it_at_its_moment(node: Node, timeout: float, stream: bool) -> None:
    actual = perform(build(node), VirtualClock(), stream=stream, timeout=timeout)
    require_same(actual, Reference().run(node, TEXT, timeout=timeout))


@given(workflows())
def test_one_object_runs_again_and_again(node: Node) -> None:
    workflow, clock, reference = build(node), VirtualClock(), Reference()
    for _ in range(3):
        begun = clock.now()
        require_same(perform(workflow, clock), reference.run(node, TEXT, start=begun))


@given(workflows(depth=3, flaky=False), st.integers(2, 8))
def test_many_runs_at_once_come_to_the_same(node: Node, times: int) -> None:
    workflow, clock = build(node), VirtualClock()

    async def all_at_once() -> list[Any]:
        runs = (workflow.execute(TEXT, WorkflowContext(clock=clock)) for _ in range(times))
        return list(await asyncio.gather(*runs, return_exceptions=True))

    _, expected = Reference().run(node, TEXT)
    for actual in clock.run(outcome(all_at_once())):
        require_same_result(actual, expected)


@given(workflows(depth=3, flaky=False), st.integers(1, 12), st.integers(1, 4))
def test_a_batch_does_the_same_for_each_input(node: Node, count: int, limit: int) -> None:
    inputs = [f"{TEXT}{number}" for number in range(count)]
    clock = VirtualClock()

    async def batch() -> list[Any]:
        items = build(node).batch(
            inputs, WorkflowContext(clock=clock), max_concurrency=limit, ordered=True
        )
        async with aclosing(items):
            return [item.value if item.error is None else item.error async for item in items]

    results = clock.run(outcome(batch()))
    for data, actual in zip(inputs, results, strict=True):
        require_same_result(actual, Reference().run(node, data)[1])


# ------------------------------------------------------------------------------- cancelling,
# closing


async def swallowing(work: Any) -> None:
    """What the workflow itself fails with is no matter where it is cancelled."""
    with contextlib.suppress(Exception):
        await work


@given(workflows(depth=SMALL))
def test_it_can_be_cancelled_at_every_await_point(node: Node) -> None:
    workflow, clock = build(node), VirtualClock()
    clock.run(
        cancel_at_every_await(
            lambda: swallowing(workflow.execute(TEXT, WorkflowContext(clock=clock)))
        )
    )


@given(workflows(depth=SMALL))
def test_its_stream_can_be_cancelled_at_every_await_point(node: Node) -> None:
    workflow, clock = build(node), VirtualClock()
    clock.run(
        cancel_at_every_await(
            lambda: swallowing(streamed(workflow, TEXT, WorkflowContext(clock=clock)))
        )
    )


@given(workflows(depth=3), st.integers(0, 4))
def test_a_stream_closed_early_stops_at_once(node: Node, count: int) -> None:
    clock = VirtualClock()

    async def take() -> None:
        stream = build(node).stream(TEXT, WorkflowContext(clock=clock))
        for _ in range(count):
            await anext(stream, None)
        begun = clock.now()
        await stream.aclose()
        assert clock.now() == begun
        assert [piece async for piece in stream] == []

    clock.run(outcome(swallowing(take())))


@given(workflows(depth=3, flaky=False))
def test_streams_of_one_workflow_don_t_disturb_each_other(node: Node) -> None:
    workflow, clock = build(node), VirtualClock()

    async def two_at_once() -> list[Any]:
        runs = (streamed(workflow, TEXT, WorkflowContext(clock=clock)) for _ in range(2))
        return list(await asyncio.gather(*runs, return_exceptions=True))

    _, expected = Reference().run(node, TEXT)
    for actual in clock.run(outcome(two_at_once())):
        require_same_result(actual, expected)


# ---------------------------------------------------------------------------------------- composing

Bracketing = Any
"""An index, or a pair of bracketings."""


@st.composite
def bracketings(draw: st.DrawFn, begin: int, end: int) -> Bracketing:
    if end - begin == 1:
        return begin
    cut = draw(st.integers(begin + 1, end - 1))
    return draw(bracketings(begin, cut)), draw(bracketings(cut, end))


def compose(bracketing: Bracketing, parts: list[Any], join: Any) -> Any:
    if isinstance(bracketing, int):
        return parts[bracketing]
    left, right = (compose(each, parts, join) for each in bracketing)
    return join(left, right)


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Node], Bracketing, Bracketing]:
    nodes = draw(st.lists(workflows(depth=2), min_size=2, max_size=6))
    one, other = (draw(bracketings(0, len(nodes))) for _ in range(2))
    return nodes, one, other


@given(chains(), st.booleans())
def test_brackets_make_no_difference_to_a_chain(chain: Any, stream: bool) -> None:
    nodes, one, other = chain
    outcomes = []
    for bracketing in (one, other):
        parts = [build(node) for node in nodes]
        workflow = compose(bracketing, parts, operator.rshift)
        assert workflow.steps == SequentialPrimitive(parts).steps
        outcomes.append((repr(workflow), perform(workflow, VirtualClock(), stream=stream)))
    (one_drawn, (one_end, one_result)), (other_drawn, (other_end, other_result)) = outcomes
    assert one_drawn == other_drawn
    assert one_end == pytest.approx(other_end)
    assert described(one_result) == described(other_result)


def described(result: Any) -> Any:
    """Give a result in a form that `==` can judge, errors with their text, path and parts."""
    if isinstance(result, BaseException):
        parts = getattr(result, "exceptions", ())
        return type(result), str(result), told_by(result), [described(part) for part in parts]
    if isinstance(result, dict):
        return {key: described(each) for key, each in result.items()}
    if isinstance(result, (list, tuple)):
        return type(result), [described(each) for each in result]
    return result


@given(st.integers(2, 7).flatmap(lambda n: bracketings(0, n)))
def test_a_fan_out_is_flat_but_for_groups_on_the_right(bracketing: Bracketing) -> None:
    parts = [step(functools.partial(lambda n, data: f"{data}{n}", n)) for n in range(7)]
    workflow = compose(bracketing, parts, operator.or_)

    def expected(each: Bracketing) -> Any:
        if isinstance(each, int):
            return f"{TEXT}{each}"
        left, right = map(expected, each)
        return (*left, right) if isinstance(left, tuple) else (left, right)

    assert workflow.run(TEXT) == expected(bracketing)


@given(workflows(depth=3), workflows(depth=2))
def test_composing_changes_no_operand(node: Node, another: Node) -> None:
    part, other = build(node), build(another)
    before = state(part), state(other), repr(part), part.to_mermaid()
    composed: list[AnyPrimitive] = [
        part >> other,
        other >> part,
        part | other,
        other | part,
        (part >> other) >> (other >> part),
        (part | other) | (other | part),
        part.map(),
        SequentialPrimitive([part, other], name="named"),
        ParallelPrimitive({"a": part, "b": other}),
        RetryPrimitive(part),
        TimeoutPrimitive(part, 5),
        FallbackPrimitive(part, [other]),
        CachePrimitive(part, 5),
    ]
    assert all(each.children() for each in composed)
    assert not differences(before[0], state(part))
    assert not differences(before[1], state(other))
    assert (repr(part), part.to_mermaid()) == before[2:]
    require_same(perform(part, VirtualClock()), Reference().run(node, TEXT))


@given(workflows())
def test_it_can_be_drawn(node: Node) -> None:
    workflow = build(node)
    assert name(node) in repr(workflow).splitlines()[0]
    diagram = workflow.to_mermaid()
    waiting = [workflow]
    while waiting:
        part = waiting.pop()
        waiting += [child for _, child in part.children()]
        if not part.children():
            assert f'["{part.name}"]' in diagram
    lines = [line.split()[0] for line in diagram.splitlines()]
    assert lines.count("subgraph") == lines.count("end")


# ------------------------------------------------------------------- what the drawn ones leave out


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.sampled_from([None, 1, 3]))
def test_failures_of_one_moment_are_all_told(fails: list[bool], limit: int | None) -> None:
    branches = [
        MockPrimitive(raises=ValueError(f"b{n}")) if fail else MockPrimitive(n)
        for n, fail in enumerate(fails)
    ]
    workflow = ParallelPrimitive(
        {f"k{n}": branch for n, branch in enumerate(branches)}, max_concurrency=limit
    )
    failed = [n for n, fail in enumerate(fails) if fail]
    _, result = perform(workflow, VirtualClock())
    if not failed:
        assert result == {f"k{n}": n for n in range(len(fails))}
        return
    assert str(result) == f"b{failed[0]}"
    assert told_by(result)[0] == f"branch 'k{failed[0]}'"
    if limit is None:
        others = [note for note in result.__notes__ if note.startswith("at the same time")]
        assert len(others) == len(failed) - 1
        for n, note in zip(failed[1:], others, strict=True):
            assert f"ValueError: b{n}" in note and f"branch 'k{n}'" in note


def test_which_branch_had_the_clock_is_always_told_the_same() -> None:
    def told() -> str:
        slow = [MockPrimitive(delay_seconds=60, name=f"b{n}") for n in range(4)]
        workflow = TimeoutPrimitive(ParallelPrimitive(slow, max_concurrency=2), 5)
        return str(perform(workflow, VirtualClock())[1])

    assert {told() for _ in range(50)} == {
        "'ParallelPrimitive' ran out of time after 5 s, in branch 'b0'"
    }


@given(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["retry", "fallback", "both"]))
def test_a_stream_that_breaks_is_mended_until_its_first_piece(
    good: int, breaks: int, how: str
) -> None:
    """`breaks` streams break after `good` pieces each, and the one after them comes through."""
    begun = 0

    @step(join="".join)
    async def breaking(text: str) -> Any:
        nonlocal begun
        begun += 1
        for letter in ["x"] * good:
            yield letter
        if begun <= breaks:
            raise ConnectionError("cut")
        yield text

    workflow: AnyPrimitive = {
        "retry": RetryPrimitive(breaking, 3, wait_seconds=1e-6),
        "fallback": FallbackPrimitive(breaking, [breaking, breaking, breaking]),
        "both": RetryPrimitive(FallbackPrimitive(breaking, [breaking]), 1, wait_seconds=1e-6),
    }[how]
    pieces: list[str] = []

    async def consume() -> None:
        async with aclosing(workflow.stream("end", WorkflowContext())) as stream:
            async for piece in stream:
                pieces.append(piece)  # noqa: PERF401  # they count, too, when it breaks

    if good and breaks:
        with pytest.raises(ConnectionError, match="cut"):
            asyncio.run(consume())
        assert pieces == ["x"] * good and begun == 1
    else:
        asyncio.run(consume())
        assert pieces == [*["x"] * good, "end"] and begun == breaks + 1
