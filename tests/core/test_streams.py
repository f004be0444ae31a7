"""Streaming is the same pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import (
    ConditionalPrimitive,
    RouterPrimitive,
    SequentialPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    step,
)
from tta_llm.testing import MockPrimitive


class Spell(WorkflowPrimitive[str, str]):
    """Gives a text letter by letter, and notes each generator that is opened and closed."""

    def __init__(self, name: str = "Spell", fail_after: int | None = None) -> None:
        super().__init__(name=name)
        self.opened = self.closed = self.yielded = 0
        self.fail_after = fail_after

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        self.opened += 1
        try:
            for number, letter in enumerate(input_data):
                if number == self.fail_after:
                    raise ConnectionError("broken pipe")
                await asyncio.sleep(0)
                self.yielded += 1
                yield letter
        finally:
            self.closed += 1


class Upper(WorkflowPrimitive[str, str]):
    """Works piece by piece."""

    def __init__(self, name: str = "Upper", fail_at: str | None = None) -> None:
        super().__init__(name=name)
        self.executed = self.closed = 0
        self.fail_at = fail_at

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        self.executed += 1
        return input_data.upper()

    async def transform(self, pieces: AsyncIterator[str], context: WorkflowContext) -> Any:
        try:
            async for piece in pieces:
                if piece == self.fail_at:
                    raise ValueError(piece)
                yield piece.upper()
        finally:
            self.closed += 1


async def all_of(workflow: WorkflowPrimitive[Any, Any], data: Any) -> list[Any]:
    async with aclosing(workflow.stream(data, WorkflowContext())) as pieces:
        return [piece async for piece in pieces]


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


async def test_a_step_without_pieces_streams_its_result() -> None:
    assert await all_of(step(str.upper), "abc") == ["ABC"]
    assert await all_of(str.strip >> step(len), " abc ") == [3]


async def test_a_sequence_executes_its_head_and_streams_its_last_step() -> None:
    head = MockPrimitive(return_value="abc")
    assert await all_of(head >> Spell(), "x") == ["a", "b", "c"]
    assert head.call_count == 1


async def test_pieces_pass_through_steps_that_can_transform_them() -> None:
    upper = Upper()
    assert await all_of(Spell() >> upper, "abc") == ["A", "B", "C"]
    assert upper.executed == 0


async def test_a_function_can_be_called_for_each_piece() -> None:
    @step(per_piece=True)
    def mark(piece: str) -> str:
        return f"<{piece}>"

    @step(per_piece=True)
    async def mark_async(piece: str, context: WorkflowContext) -> str:
        return f"[{piece}]"

    assert await all_of(Spell() >> mark >> mark_async, "ab") == ["[<a>]", "[<b>]"]


async def test_a_step_that_needs_the_whole_gets_the_whole() -> None:
    spell, upper = Spell(), Upper()
    assert await all_of(spell >> len >> str, "abc") == ["3"]
    assert await all_of(spell >> upper >> len, "abc") == [3]
    assert (spell.opened, upper.executed) == (0, 1)


async def test_streamed_and_executed_are_the_same() -> None:
    for workflow in (Spell() >> Upper(), str.strip >> Spell(), Upper() >> Upper() >> Spell()):
        executed = await workflow.execute(" abc ", WorkflowContext())
        assert "".join(await all_of(workflow, " abc ")) == executed


async def test_a_chain_of_transforms_only_begins_with_the_result_of_the_first() -> None:
    assert await all_of(Upper() >> Upper(), "abc") == ["ABC"]


async def test_pieces_are_made_as_they_are_taken() -> None:
    spell = Spell()
    async with aclosing((spell >> Upper()).stream("abcdef", WorkflowContext())) as pieces:
        assert await anext(pieces) == "A"
        assert spell.yielded == 1


async def test_closing_a_stream_early_closes_every_generator() -> None:
    spell, one, other = Spell(), Upper(), Upper()
    async with aclosing((spell >> one >> other).stream("abc", WorkflowContext())) as pieces:
        async for _ in pieces:
            break
    assert (spell.closed, one.closed, other.closed) == (1, 1, 1)


@pytest.mark.parametrize("inside", ["named sequence", "router", "conditional", "plain"])
async def test_closing_early_reaches_into_whatever_streams(inside: str) -> None:
    spell = Spell()
    workflow: WorkflowPrimitive[Any, Any] = {
        "named sequence": SequentialPrimitive([spell], name="inner"),
        "router": RouterPrimitive({"a": spell}, lambda data: "a"),
        "conditional": ConditionalPrimitive(lambda data: True, spell, spell),
        "plain": spell,
    }[inside]
    async with aclosing((step(str.strip) >> workflow).stream("abc", WorkflowContext())) as pieces:
        assert await anext(pieces) == "a"
    assert (spell.opened, spell.closed) == (1, 1)


async def test_cancelling_the_consumer_closes_every_generator() -> None:
    spell, upper = Spell(), Upper()
    first = asyncio.Event()

    async def consume() -> None:
        async with aclosing((spell >> upper).stream("abc" * 100, WorkflowContext())) as pieces:
            async for _ in pieces:
                first.set()
                await asyncio.sleep(0)

    task = asyncio.ensure_future(consume())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (spell.closed, upper.closed) == (1, 1)


# ------------------------------------------------------------------------------------------- errors


async def test_an_error_in_the_middle_names_the_step_that_streams() -> None:
    seen: list[str] = []
    workflow = step(str.strip) >> Spell("source", fail_after=2) >> Upper("tail")

    async def consume() -> None:
        async for piece in workflow.stream("abc", WorkflowContext()):
            seen.append(piece)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(ConnectionError) as told:
        await consume()
    assert seen == ["A", "B"]
    assert notes(told.value) == ["in step 2 of 3 'source'"]


async def test_an_error_in_a_transform_names_that_step() -> None:
    workflow = Spell("source") >> Upper("first") >> Upper("second", fail_at="B")
    with pytest.raises(ValueError, match="B") as told:
        await all_of(workflow, "abc")
    assert notes(told.value) == ["in step 3 of 3 'second'"]
    workflow = Spell("source") >> Upper("first", fail_at="b") >> Upper("second")
    with pytest.raises(ValueError, match="b") as told:
        await all_of(workflow, "abc")
    assert notes(told.value) == ["in step 2 of 3 'first'"]


async def test_an_error_in_the_head_names_that_step() -> None:
    head = MockPrimitive(raises=LookupError("x"), name="head")
    with pytest.raises(LookupError) as told:
        await all_of(step(str.strip) >> head >> Spell(), "abc")
    assert notes(told.value) == ["in step 2 of 3 'head'"]


async def test_an_error_deep_inside_has_the_whole_path() -> None:
    inner = SequentialPrimitive([Upper("u"), Spell("source", fail_after=0)], name="inner")
    router = RouterPrimitive({"a": inner}, lambda data: "a", name="router")
    with pytest.raises(ConnectionError) as told:
        await all_of(step(str.strip) >> router, "abc")
    assert notes(told.value) == ["in step 2 of 2 'router', route 'a', step 2 of 2 'source'"]


async def test_an_error_closes_every_generator() -> None:
    spell, good, bad = Spell(), Upper(), Upper(fail_at="B")
    with pytest.raises(ValueError, match="B"):
        await all_of(spell >> good >> bad, "abc")
    assert (spell.closed, good.closed, bad.closed) == (1, 1, 1)


# ------------------------------------------------------------------------------------------ choices


async def test_a_router_streams_its_choice() -> None:
    workflow = RouterPrimitive({"a": Spell(), "b": MockPrimitive()}, lambda data: "a")
    assert await all_of(workflow, "abc") == ["a", "b", "c"]


@pytest.mark.parametrize(("holds", "pieces"), [(True, ["a", "b"]), (False, ["AB"])])
async def test_a_conditional_streams_its_choice(holds: bool, pieces: list[str]) -> None:
    workflow = ConditionalPrimitive(lambda data: holds, Spell(), str.upper)
    assert await all_of(workflow, "ab") == pieces


async def test_a_fan_out_streams_its_result_as_one_piece() -> None:
    assert await all_of(Spell() | Spell(), "ab") == [("ab", "ab")]


async def test_streams_of_the_same_workflow_run_at_the_same_time() -> None:
    workflow = Spell() >> Upper()
    texts = [f"text {n}" for n in range(20)]
    streamed = await asyncio.gather(*(all_of(workflow, text) for text in texts))
    assert ["".join(pieces) for pieces in streamed] == [text.upper() for text in texts]


async def test_a_step_that_can_not_transform_says_so() -> None:
    async def pieces() -> AsyncIterator[str]:
        yield "a"

    with pytest.raises(NotImplementedError, match="Spell needs its whole input"):
        Spell().transform(pieces(), WorkflowContext())
