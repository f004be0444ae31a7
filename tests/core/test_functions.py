"""Functions are steps."""

from __future__ import annotations

import asyncio
import functools
import gc
import math
import threading
import warnings
from typing import Any

import pytest

from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.core import FunctionStep, GeneratorStep, as_step
from tta_llm.errors import CompositionError


def double(data: int) -> int:
    return data * 2


def with_context(data: int, context: WorkflowContext) -> int:
    context.data["seen"] = data
    return data * 2


async def double_async(data: int) -> int:
    await asyncio.sleep(0)
    return data * 2


async def async_with_context(data: int, context: WorkflowContext) -> int:
    context.data["seen"] = data
    return data * 2


class Doubler:
    def __call__(self, data: int) -> int:
        return data * 2

    def method(self, data: int) -> int:
        return data * 2

    async def async_method(self, data: int, context: WorkflowContext) -> int:
        assert isinstance(context, WorkflowContext)
        return data * 2

    @staticmethod
    def static(data: int) -> int:
        return data * 2

    @classmethod
    def of_class(cls, data: int) -> int:
        return data * 2


class AsyncDoubler:
    async def __call__(self, data: int, context: WorkflowContext) -> int:
        assert isinstance(context, WorkflowContext)
        return data * 2


class Boxed:
    def __init__(self, value: int) -> None:
        self.value = value


def times(factor: int, data: int) -> int:
    return data * factor


def with_options(data: int, factor: int = 2, offset: int = 0) -> int:
    return data * factor + offset


def with_variadic(*arguments: int) -> int:
    (data,) = arguments
    return data * 2


def with_optional_context(data: int, context: WorkflowContext | None = None) -> int:
    assert isinstance(context, WorkflowContext)
    return data * 2


def with_annotated_context(data: int, where: WorkflowContext) -> int:
    assert isinstance(where, WorkflowContext)
    return data * 2


def with_keywords(data: int, **options: int) -> int:
    assert not options
    return data * 2


KINDS: dict[str, Any] = {
    "sync": double,
    "sync with context": with_context,
    "async": double_async,
    "async with context": async_with_context,
    "callable object": Doubler(),
    "async callable object": AsyncDoubler(),
    "bound method": Doubler().method,
    "bound async method": Doubler().async_method,
    "static method": Doubler.static,
    "class method": Doubler.of_class,
    "partial": functools.partial(times, 2),
    "partial of async": functools.partial(async_with_context),
    "partial by keyword": functools.partial(with_options, factor=2),
    "defaults": with_options,
    "variadic": with_variadic,
    "optional context": with_optional_context,
    "annotated context": with_annotated_context,
    "keywords": with_keywords,
    "lambda": lambda data: data * 2,
    "lambda with ctx": lambda data, ctx: data * 2,
    "lambda that gives a coroutine": lambda data: double_async(data),  # noqa: PLW0108  # on purpose
    "built-in method": (2).__mul__,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_any_callable_of_the_data_is_a_step(kind: str) -> None:
    function = KINDS[kind]
    context = WorkflowContext()
    assert await (step(str.strip) >> int >> function).execute(" 21 ", context) == 42
    assert await (function >> step(str)).execute(21, context) == "42"
    assert await (step(int) | function).execute(21, context) == (21, 42)
    assert await (function | step(int)).execute(21, context) == (42, 21)


async def test_what_a_function_writes_to_the_context_the_caller_sees() -> None:
    context = WorkflowContext()
    await (step(with_context) >> async_with_context).execute(1, context)
    assert context.data == {"seen": 2}


@pytest.mark.parametrize(
    ("function", "data", "result"),
    [
        (len, [1, 2], 2),
        (int, "3", 3),
        (str, 3, "3"),
        (str.upper, "a", "A"),
        (str.split, "a b", ["a", "b"]),
        (sorted, [2, 1], [1, 2]),
        (sum, [1, 2], 3),
        (list, (1, 2), [1, 2]),
        (dict, [("a", 1)], {"a": 1}),
        (math.sqrt, 4.0, 2.0),
        (",".join, ["a", "b"], "a,b"),
    ],
)
def test_built_ins_are_steps(function: Any, data: Any, result: Any) -> None:
    assert step(function).run(data) == result


def test_a_class_of_ones_own_is_a_step_that_makes_an_instance() -> None:
    assert step(Boxed).run(3).value == 3


def test_a_default_of_the_second_parameter_is_left_alone() -> None:
    def by_two(data: int, factor: int = 2) -> int:
        return data * factor

    assert step(by_two).run(4) == 8


def test_a_step_is_called_what_the_function_is_called() -> None:
    assert step(double).name == "double"
    assert step(functools.partial(times, 2)).name == "times"
    assert step(Doubler()).name == "Doubler"
    assert step(len).name == "len"
    assert step(double, name="twice").name == "twice"


def test_a_decorated_function_can_still_be_called() -> None:
    assert step(double)(4) == 8
    assert step(with_options)(4, factor=3) == 12


def test_decorating_works_bare_with_brackets_and_with_a_name() -> None:
    @step
    def bare(data: int) -> int:
        return data + 1

    @step()
    def bracketed(data: int) -> int:
        return data + 1

    @step(name="the step")
    def named(data: int) -> int:
        return data + 1

    assert [each.name for each in (bare, bracketed, named)] == ["bare", "bracketed", "the step"]
    assert (bare >> bracketed >> named).run(0) == 3


def test_a_primitive_given_to_step_stays_what_it_is() -> None:
    primitive = step(double)
    assert step(primitive) is primitive
    assert as_step(primitive) is primitive


# ---------------------------------------------------------------------------------- what is refused


def test_a_coroutine_object_is_refused_with_the_remedy_and_closed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coroutine: Any = double_async(1)
        with pytest.raises(CompositionError, match=r"itself: write double_async") as told:
            step(double) >> coroutine
        assert "double_async(…) was called" in str(told.value)
        assert coroutine.cr_frame is None, "it must be closed"
        del coroutine
        gc.collect()


async def test_a_future_is_refused() -> None:
    future = asyncio.get_running_loop().create_future()
    with pytest.raises(CompositionError, match="a primitive or a function"):
        step(double) >> future  # type: ignore[operator]


@pytest.mark.parametrize("thing", [3, "text", None, [double], {"a": double}])
def test_what_can_not_be_called_is_refused_by_its_type(thing: Any) -> None:
    with pytest.raises(CompositionError, match=f"a {type(thing).__name__} is not a step"):
        step(double) >> thing
    with pytest.raises(CompositionError, match=f"a {type(thing).__name__} is not a step"):
        thing >> step(double)
    with pytest.raises(CompositionError, match="is not a step"):
        step(double) | thing


def test_the_class_of_a_primitive_is_refused_with_the_remedy() -> None:
    class Mine(WorkflowPrimitive[int, int]):
        async def execute(self, input_data: int, context: WorkflowContext) -> int:
            return input_data

    with pytest.raises(CompositionError, match=r"Mine is a class; .* write Mine\(\)"):
        step(double) >> Mine  # type: ignore[operator]


def no_parameters() -> int:
    return 1


def three(data: int, context: WorkflowContext, more: int) -> int:
    return 1


def needs_keyword(data: int, *, factor: int) -> int:
    return 1


@pytest.mark.parametrize("function", [no_parameters, three, needs_keyword])
def test_a_function_of_the_wrong_parameters_is_refused_when_composed(function: Any) -> None:
    with pytest.raises(CompositionError, match="called with the data") as told:
        step(double) >> function
    assert f"{function.__name__}(" in str(told.value)


async def pieces_of(data: str) -> Any:
    for letter in data:
        yield letter


def letters(data: str) -> Any:
    yield from data


@pytest.mark.parametrize("function", [pieces_of, letters])
def test_a_generator_function_is_refused_with_the_remedy(function: Any) -> None:
    with pytest.raises(CompositionError, match=rf"{function.__name__} yields.*@step\(join="):
        step(str) >> function


def test_join_is_for_async_generator_functions_only() -> None:
    with pytest.raises(CompositionError, match="join= is for async generator functions"):
        step(join=list)(double)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- steps that stream


async def test_an_async_generator_function_joins_its_pieces() -> None:
    spell = step(join="".join)(pieces_of)
    context = WorkflowContext()
    assert isinstance(spell, GeneratorStep)
    assert await spell.execute("abc", context) == "abc"
    assert [piece async for piece in spell.stream("abc", context)] == ["a", "b", "c"]


async def test_an_async_generator_function_may_take_the_context() -> None:
    @step(join=list, name="spell it")
    async def spell(data: str, context: WorkflowContext) -> Any:
        for letter in data:
            context.data["last"] = letter
            yield letter

    context = WorkflowContext()
    assert await spell.execute("ab", context) == ["a", "b"]
    assert context.data == {"last": "b"}
    assert spell.name == "spell it"


# ------------------------------------------------------------------------------------------ threads


async def test_a_blocking_function_can_ask_for_a_thread() -> None:
    blocking = step(thread=True)(lambda data: (data, threading.get_ident()))
    data, thread = await blocking.execute("x", WorkflowContext())
    assert data == "x"
    assert thread != threading.get_ident()


async def test_the_thread_gets_the_context_too() -> None:
    @step(thread=True)
    def note(data: str, context: WorkflowContext) -> str:
        context.data["note"] = data
        return data

    context = WorkflowContext()
    await note.execute("x", context)
    assert context.data == {"note": "x"}


async def test_an_error_in_the_thread_reaches_the_caller() -> None:
    @step(thread=True)
    def fails(data: str) -> str:
        raise KeyError(data)

    with pytest.raises(KeyError, match="x"):
        await fails.execute("x", WorkflowContext())


async def test_a_cancelled_thread_is_awaited_and_not_left_behind() -> None:
    begun, go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    @step(thread=True)
    def blocking(data: str) -> None:
        begun.set()
        go_on.wait(5)
        ended.append(data)

    task = asyncio.ensure_future(blocking.execute("x", WorkflowContext()))
    while not begun.is_set():  # noqa: ASYNC110  # a thread sets it
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # impatience doesn't help
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["x"]


def test_a_function_step_tells_its_function() -> None:
    made = step(double)
    assert isinstance(made, FunctionStep)
    assert made.function is double


def test_a_name_that_is_no_string_is_refused_where_it_is_given() -> None:
    with pytest.raises(TypeError, match="the name of a step is a string, not 5"):
        step(str.strip, name=5)  # type: ignore[call-overload]
