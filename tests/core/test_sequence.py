"""`a >> b`: one after the other."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from functools import reduce
from operator import rshift
from typing import Any

import pytest

from tta_llm import SequentialPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import CompositionError
from tta_llm.testing import MockPrimitive


class Add(WorkflowPrimitive[int, int]):
    def __init__(self, number: int) -> None:
        self.number = number

    async def execute(self, input_data: int, context: WorkflowContext) -> int:
        return input_data + self.number


class Shout(WorkflowPrimitive[str, str]):
    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data.upper()


class Fails(WorkflowPrimitive[Any, Any]):
    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        raise LookupError(input_data)


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


async def test_each_step_takes_what_the_one_before_gave() -> None:
    assert await (Add(1) >> (lambda n: n * 10) >> str).execute(2, WorkflowContext()) == "30"


async def test_an_author_need_not_call_super_init() -> None:
    assert Add(1).name == "Add"
    assert await Add(1).execute(1, WorkflowContext()) == 2


async def test_one_list_makes_the_same_chain() -> None:
    assert SequentialPrimitive([Add(1), Add(2)]).run(0) == (Add(1) >> Add(2)).run(0) == 3


def test_composing_changes_neither_side() -> None:
    a, b, c = Add(1), Add(2), Add(3)
    ab = a >> b
    abc = ab >> c
    other = ab >> Add(100)
    assert [len(each.steps) for each in (ab, abc, other)] == [2, 3, 3]
    assert (ab.run(0), abc.run(0), other.run(0), a.run(0)) == (3, 6, 103, 1)


def test_however_it_is_bracketed_the_chain_is_flat() -> None:
    a, b, c, d = (Add(n) for n in range(4))
    chains = [a >> b >> c >> d, a >> (b >> (c >> d)), (a >> b) >> (c >> d), a >> (b >> c) >> d]
    assert all(chain.steps == (a, b, c, d) for chain in chains)


def test_a_sequence_with_a_name_of_its_own_stays_together() -> None:
    inner = SequentialPrimitive([Add(1), Add(2)], name="inner")
    outer = inner >> Add(3)
    assert [each.name for each in outer.steps] == ["inner", "Add"]
    assert outer.run(0) == 6


def test_a_subclass_of_the_sequence_stays_together() -> None:
    class Logged(SequentialPrimitive[int, int]):
        pass

    assert len((Logged([Add(1), Add(2)]) >> Add(3)).steps) == 2


async def test_the_same_workflow_runs_many_times_at_once() -> None:
    workflow = Add(1) >> (lambda n: asyncio.sleep(0, n)) >> Add(1)
    results = await asyncio.gather(*(workflow.execute(n, WorkflowContext()) for n in range(50)))
    assert results == list(range(2, 52))


@pytest.mark.parametrize("nested", ["left", "right"])
async def test_a_chain_of_5000_steps_composes_and_runs(nested: str) -> None:
    parts: list[Any] = [Add(1) for _ in range(5_000)]
    if nested == "left":
        chain = reduce(rshift, parts)
    else:
        # Right-nesting copies the chain at each step: in blocks, to stay at thousands of copies.
        blocks = (
            [SequentialPrimitive(block) for block in itertools.batched(parts, 50)]
            if hasattr(itertools, "batched")
            else [SequentialPrimitive(parts[i : i + 50]) for i in range(0, 5_000, 50)]
        )
        chain = reduce(lambda right, left: left >> right, reversed(blocks))
    assert len(chain.steps) == 5_000
    assert await chain.execute(0, WorkflowContext()) == 5_000
    assert [piece async for piece in chain.stream(0, WorkflowContext())] == [5_000]


async def test_wrappers_nested_150_deep_run() -> None:
    inner: Any = Add(1)
    for _ in range(150):
        inner = SequentialPrimitive([inner], name="wrapped")
    assert await inner.execute(0, WorkflowContext()) == 1


# ------------------------------------------------------------------------------------------- errors


async def test_an_error_is_the_one_raised_and_notes_its_step() -> None:
    error = LookupError("gone")
    workflow = Add(1) >> Add(2) >> MockPrimitive(raises=error, name="rerank") >> Add(3)
    with pytest.raises(LookupError) as told:
        await workflow.execute(0, WorkflowContext())
    assert told.value is error
    assert notes(error) == ["in step 3 of 4 'rerank'"]


async def test_a_nested_error_notes_the_whole_path() -> None:
    inner = SequentialPrimitive([Add(1), Fails()], name="inner")
    workflow = Add(1) >> (step(str) | inner)
    with pytest.raises(LookupError) as told:
        await workflow.execute(0, WorkflowContext())
    assert notes(told.value) == [
        "in step 2 of 2 'ParallelPrimitive', branch 'inner', step 2 of 2 'Fails'"
    ]


async def test_notes_of_ones_own_are_kept_and_come_apart() -> None:
    error = LookupError("gone")
    error.add_note("ask the librarian")
    with pytest.raises(LookupError):
        await (Add(1) >> MockPrimitive(raises=error, name="look")).execute(0, WorkflowContext())
    assert notes(error) == ["ask the librarian", "in step 2 of 2 'look'"]


async def test_an_error_raised_again_and_again_does_not_grow_for_ever() -> None:
    error = LookupError("one object")

    def always(data: Any) -> Any:
        raise error

    for _ in range(500):
        with pytest.raises(LookupError):
            await (Add(1) >> always).execute(0, WorkflowContext())
    assert sum(map(len, notes(error))) < 3_000


async def test_an_error_in_a_chain_of_5000_names_its_step() -> None:
    chain = SequentialPrimitive([*[Add(1)] * 4_998, Fails(), Add(1)])
    with pytest.raises(LookupError) as told:
        await chain.execute(0, WorkflowContext())
    assert notes(told.value) == ["in step 4999 of 5000 'Fails'"]


async def test_cancellation_passes_through_at_once() -> None:
    begun = asyncio.Event()
    after: list[int] = []

    async def waits(data: int) -> int:
        begun.set()
        await asyncio.Event().wait()
        return data

    task = asyncio.ensure_future((Add(1) >> waits >> after.append).execute(0, WorkflowContext()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not after


# ------------------------------------------------------------------------------ joins when composed


def gives_strings(question: str) -> list[str]:
    return [question]


def takes_string(text: str) -> int:
    return len(text)


def takes_strings(texts: list[str]) -> int:
    return len(texts)


def gives_optional(text: str) -> str | None:
    return text


def takes_float(number: float) -> float:
    return number


def takes_sequence_of_int(numbers: list[int]) -> int:
    return len(numbers)


def unannotated(data):  # type: ignore[no-untyped-def]
    return data


def test_a_wrong_join_fails_when_composed_and_names_both_sides_and_types() -> None:
    with pytest.raises(CompositionError) as told:
        step(gives_strings, name="search") >> step(takes_string, name="count")
    assert str(told.value) == "cannot join 'search' (gives list[str]) to 'count' (takes str)"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Add(1), Shout()),
        (takes_string, Shout()),
        (Shout(), Add(1)),
        (step(gives_strings), takes_sequence_of_int),
        (step(takes_string) | step(takes_string), Shout()),
        (Add(1) >> Add(2), Shout()),
        (Add(1), Shout() >> Shout()),
    ],
)
def test_wrong_joins_are_refused_for_functions_classes_and_groups(left: Any, right: Any) -> None:
    with pytest.raises(CompositionError, match="cannot join"):
        left >> right


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (step(gives_strings), takes_strings),
        (step(gives_optional), takes_string),
        (Add(1), takes_float),
        (step(unannotated), Shout()),
        (Shout(), unannotated),
        (Shout(), lambda text: text),
        (MockPrimitive(), Shout()),
        (Shout(), len),
        (step(gives_strings), list),
    ],
)
def test_what_may_fit_is_joined(left: Any, right: Any) -> None:
    assert isinstance(left >> right, SequentialPrimitive)


def test_an_empty_list_of_steps_is_refused() -> None:
    with pytest.raises(CompositionError, match="at least one step, and the list is empty"):
        SequentialPrimitive([])


# -------------------------------------------------------------------------------- the one signature


@pytest.mark.parametrize(
    "workflow", [Add(1), Add(1) >> Add(2), Add(1) | Add(2), step(takes_string), Add(1).map()]
)
async def test_execute_without_a_context_fails_at_once_and_names_what_to_pass(
    workflow: WorkflowPrimitive[Any, Any],
) -> None:
    with pytest.raises(
        TypeError, match=r"with a WorkflowContext, not None: pass WorkflowContext\(\)"
    ):
        workflow.execute(1, None)  # type: ignore[arg-type, unused-coroutine]
    with pytest.raises(TypeError, match="not None: pass WorkflowContext"):
        workflow.stream(1, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not a dict"):
        workflow.execute(1, {"user": 1})  # type: ignore[arg-type, unused-coroutine]


async def test_a_context_of_ones_own_class_is_a_context() -> None:
    class Mine(WorkflowContext):
        __slots__ = ()

    assert await (Add(1) >> Add(2)).execute(0, Mine()) == 3


async def test_super_execute_is_part_of_the_step_that_calls_it() -> None:
    class More(Add):
        async def execute(self, input_data: int, context: WorkflowContext) -> int:
            return await super().execute(input_data, context) * 10

    assert await More(1).execute(1, WorkflowContext()) == 20


def test_an_execute_that_yields_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Odd.execute yields.*yield from `stream`"):

        class Odd(WorkflowPrimitive[int, int]):
            async def execute(self, input_data: int, context: WorkflowContext) -> Any:
                yield input_data


def test_a_stream_that_does_not_yield_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Odd.stream must yield its pieces"):

        class Odd(Add):
            async def stream(self, input_data: int, context: WorkflowContext) -> Any:  # type: ignore[override]
                return input_data


def test_a_class_without_execute_can_not_be_made() -> None:
    class Unfinished(WorkflowPrimitive[int, int]):
        pass

    with pytest.raises(TypeError, match="execute"):
        Unfinished()  # type: ignore[abstract]


@dataclass(frozen=True)
class FrozenError(Exception):
    """Takes no notes, and no other attribute either."""

    code: int


async def test_an_error_that_takes_no_notes_is_raised_as_it_is() -> None:
    def fail(_: str) -> str:
        raise FrozenError(7)

    with pytest.raises(FrozenError):
        await (step(str.strip) >> fail).execute("x", WorkflowContext())
