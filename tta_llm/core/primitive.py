"""The primitive, its two operators, and what they build.

`WorkflowPrimitive`, `SequentialPrimitive` and `ParallelPrimitive` speak of each other, so they live together.
"""

from __future__ import annotations

import functools
import itertools
import operator
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, TypeVarTuple, cast, overload

from tta_llm.core import _functions, _joins, _outline, _tasks
from tta_llm.core._paths import add_place
from tta_llm.core._supervision import mark_public, run_observed, stream_observed, supervise
from tta_llm.core._tasks import BatchItem
from tta_llm.core.context import WorkflowContext, require_context
from tta_llm.errors import CompositionError
from tta_llm.observability import Timed, configured, names, telemetry

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
Bs = TypeVarTuple("Bs")

Run: TypeAlias = Callable[[Any, WorkflowContext], Awaitable[Any]]
Pieces: TypeAlias = AsyncGenerator[Any, None]


class WorkflowPrimitive(ABC, Generic[In, Out]):
    """One step of a workflow, or a whole one: an input and a context in, an output out.

    Override `execute`; the rest follows. Whoever calls it gets, without the author doing anything, a check of
    the context, a span, the deadline's clock, and errors that tell where they arose.

    Args:
        name: What spans, metrics, errors and drawings call it; the class's name when missing.

    Example:
        ```python
        from tta_llm import WorkflowContext, WorkflowPrimitive

        class Shout(WorkflowPrimitive[str, str]):
            async def execute(self, input_data: str, context: WorkflowContext) -> str:
                return input_data.upper()

        workflow = Shout() >> (lambda text: text + "!")
        assert workflow.run("hello") == "HELLO!"
        ```
    """

    _name: str | None = None
    _transforms = False
    _run: Run
    _pieces: Callable[..., Pieces]

    shape: ClassVar[Literal["group", "sequence", "choice"]] = "group"
    """How its children hang together, for whoever draws it."""

    def __init__(self, *, name: str | None = None) -> None:
        self._name = name

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        supervise(cls)
        if cls.transform is not WorkflowPrimitive.transform:
            cls._transforms = True

    # ------------------------------------------------------------------ what an author writes

    @abstractmethod
    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Do the work of this step.

        Raises:
            TypeError: When `context` is not a WorkflowContext.
            DeadlineExceededError: When the context's deadline passes.
        """

    @mark_public
    def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Yield what `execute` would return, in pieces; a step that has no pieces yields its result.

        Override it as `async def stream(…): … yield piece`. Close it (`contextlib.aclosing`) to stop
        early: that stops the step.

        Raises:
            TypeError: When `context` is not a WorkflowContext.
            DeadlineExceededError: When the context's deadline passes.
        """
        require_context(context)
        return _one_piece(self, input_data, context)

    def transform(self, pieces: AsyncIterator[Any], context: WorkflowContext) -> Pieces:
        """Work on the pieces that the step before yields, as they come.

        Override it as `async def transform(…): async for piece in pieces: … yield …`, beside `execute`,
        in a step that need not wait for the whole: a sequence then streams through it.
        """
        raise NotImplementedError(f"{self.name} needs its whole input; it does not work piece by piece")

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The primitives inside this one, each with a label that tells its part."""
        return ()

    # ------------------------------------------------------------------------- what it is used by

    @property
    def name(self) -> str:
        """What spans, metrics, errors and drawings call it."""
        return self._name or type(self).__name__

    @property
    def input_type(self) -> Any:
        """What it takes, by its annotations; `Any` when they don't tell."""
        return _joins.primitive_types(type(self), WorkflowPrimitive)[0]

    @property
    def output_type(self) -> Any:
        """What it gives, by its annotations; `Any` when they don't tell."""
        return _joins.primitive_types(type(self), WorkflowPrimitive)[1]

    def run(self, input_data: In, context: WorkflowContext | None = None) -> Out:
        """Execute from code without an event loop; works in a notebook, too, whose loop waits meanwhile."""

        async def work() -> Out:
            return await self.execute(input_data, WorkflowContext() if context is None else context)

        return _tasks.run_to_end(work())

    def map(
        self: WorkflowPrimitive[A, B],
        *,
        max_concurrency: int = 16,
        on_error: Literal["raise", "collect"] = "raise",
    ) -> MapPrimitive[A, B]:
        """Give the step that does this to each item of an iterable; see `MapPrimitive`."""
        return MapPrimitive(self, max_concurrency=max_concurrency, on_error=on_error)

    async def batch(
        self: WorkflowPrimitive[A, B],
        inputs: Iterable[A] | AsyncIterable[A],
        context: WorkflowContext | None = None,
        *,
        max_concurrency: int = 16,
        ordered: bool = False,
    ) -> AsyncGenerator[BatchItem[B], None]:
        """Execute for each input and yield a `BatchItem` for each, as they finish.

        An input that fails yields an item with its error; the others go on. The inputs are drawn as they are
        needed and at most `max(64, 2 * max_concurrency)` of them are in memory.

        Args:
            inputs: Any number of inputs; an asynchronous iterable is fine.
            context: Shared by all of them; each gets one of its own when missing.
            max_concurrency: At most this many at the same time.
            ordered: Yield in the order of the inputs instead.
        """
        at_least_one(max_concurrency, "max_concurrency")
        if context is not None:
            require_context(context)
        call = _batch_call(self, context)
        async with aclosing(_tasks.Pool(call, inputs, max_concurrency, ordered=ordered).outcomes()) as outcomes:
            async for outcome in outcomes:
                yield outcome

    def to_mermaid(self) -> str:
        """Draw the workflow as a Mermaid flowchart."""
        return _outline.mermaid(self)

    def __repr__(self) -> str:
        return _outline.outline(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/vnd.mermaid": self.to_mermaid()}

    # ------------------------------------------------------------------------------- operators

    @overload
    def __rshift__(self, other: WorkflowPrimitive[Out, C]) -> SequentialPrimitive[In, C]: ...
    @overload
    def __rshift__(self, other: Callable[[Out], Awaitable[C]]) -> SequentialPrimitive[In, C]: ...
    @overload
    def __rshift__(self, other: Callable[[Out, WorkflowContext], Awaitable[C]]) -> SequentialPrimitive[In, C]: ...
    @overload
    def __rshift__(self, other: Callable[[Out], C]) -> SequentialPrimitive[In, C]: ...
    @overload
    def __rshift__(self, other: Callable[[Out, WorkflowContext], C]) -> SequentialPrimitive[In, C]: ...
    def __rshift__(self, other: Any) -> SequentialPrimitive[In, Any]:
        """`a >> b`: what a gives, b takes."""
        return SequentialPrimitive([self, other])

    @overload
    def __rrshift__(self, other: Callable[[A], Awaitable[In]]) -> SequentialPrimitive[A, Out]: ...
    @overload
    def __rrshift__(self, other: Callable[[A, WorkflowContext], Awaitable[In]]) -> SequentialPrimitive[A, Out]: ...
    @overload
    def __rrshift__(self, other: Callable[[A], In]) -> SequentialPrimitive[A, Out]: ...
    @overload
    def __rrshift__(self, other: Callable[[A, WorkflowContext], In]) -> SequentialPrimitive[A, Out]: ...
    def __rrshift__(self, other: Any) -> SequentialPrimitive[Any, Out]:
        """`function >> a`."""
        return SequentialPrimitive([other, self])

    @overload
    def __or__(self: WorkflowPrimitive[A, B], other: WorkflowPrimitive[A, C]) -> ParallelPrimitive[A, tuple[B, C]]: ...
    @overload
    def __or__(self, other: Callable[[In], Awaitable[C]]) -> ParallelPrimitive[In, tuple[Out, C]]: ...
    @overload
    def __or__(
        self, other: Callable[[In, WorkflowContext], Awaitable[C]]
    ) -> ParallelPrimitive[In, tuple[Out, C]]: ...
    @overload
    def __or__(self, other: Callable[[In], C]) -> ParallelPrimitive[In, tuple[Out, C]]: ...
    @overload
    def __or__(self, other: Callable[[In, WorkflowContext], C]) -> ParallelPrimitive[In, tuple[Out, C]]: ...
    def __or__(self, other: Any) -> ParallelPrimitive[Any, Any]:
        """`a | b`: both take the same, and give a tuple."""
        return ParallelPrimitive([self, other])

    @overload
    def __ror__(self, other: Callable[[In], Awaitable[C]]) -> ParallelPrimitive[In, tuple[C, Out]]: ...
    @overload
    def __ror__(
        self, other: Callable[[In, WorkflowContext], Awaitable[C]]
    ) -> ParallelPrimitive[In, tuple[C, Out]]: ...
    @overload
    def __ror__(self, other: Callable[[In], C]) -> ParallelPrimitive[In, tuple[C, Out]]: ...
    @overload
    def __ror__(self, other: Callable[[In, WorkflowContext], C]) -> ParallelPrimitive[In, tuple[C, Out]]: ...
    def __ror__(self, other: Any) -> ParallelPrimitive[Any, Any]:
        """`function | a`."""
        return ParallelPrimitive([other, self])


async def _one_piece(primitive: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext) -> Pieces:
    yield await primitive.execute(input_data, context)


WorkflowPrimitive._pieces = WorkflowPrimitive.stream


def _batch_call(primitive: WorkflowPrimitive[Any, Any], context: WorkflowContext | None) -> Callable[..., Any]:
    if context is None:
        return lambda item: primitive.execute(item, WorkflowContext())
    return lambda item: primitive.execute(item, context)


def at_least_one(number: int, name: str) -> int:
    """Refuse a count below 1."""
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {number!r}")
    return number


# ------------------------------------------------------------------------------- functions as steps


class FunctionStep(WorkflowPrimitive[In, Out]):
    """A function with the operators of a primitive; `step` and the operators make it.

    Args:
        function: `f(data)` or `f(data, context)`, sync or async.
        name: What spans and errors call it; the function's name when missing.
        thread: Call a function that blocks in a thread, off the event loop. A thread can't be stopped: when
            the step is cancelled, it waits until the function returns.
        per_piece: When the workflow streams, call it for each piece instead of for the whole.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        thread: bool = False,
        per_piece: bool = False,
    ) -> None:
        super().__init__(name=name or _functions.function_name(function))
        self.function = function
        self._run = _functions.runner(function, thread=thread)
        self._transforms = per_piece

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Call the function."""
        return cast("Out", await self._run(input_data, context))

    async def transform(self, pieces: AsyncIterator[Any], context: WorkflowContext) -> Pieces:
        """Call the function for each piece."""
        async for piece in pieces:
            yield await self._run(piece, context)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function itself, as before it became a step."""
        return self.function(*arguments, **keywords)

    @property
    def input_type(self) -> Any:
        """What the function's first parameter is annotated with."""
        return _joins.function_types(self.function)[0]

    @property
    def output_type(self) -> Any:
        """What the function is annotated to return."""
        return _joins.function_types(self.function)[1]


def as_step(thing: Any) -> WorkflowPrimitive[Any, Any]:
    """Give `thing` as a primitive: as it is, or a function made a step.

    Raises:
        CompositionError: When it is neither; the message says what was probably meant.
    """
    return thing if isinstance(thing, WorkflowPrimitive) else FunctionStep(checked_function(thing))


def checked_function(thing: Any) -> Callable[..., Any]:
    """Refuse what can't be called as a step."""
    if isinstance(thing, type) and issubclass(thing, WorkflowPrimitive):
        raise _functions.refuse_non_step(thing)
    if not callable(thing):
        raise _functions.refuse_non_step(thing)
    if _functions.is_generator(thing):
        name = _functions.function_name(thing)
        raise CompositionError(
            f"{name} yields; say how its pieces make one result: @step(join=\"\".join) or @step(join=list)"
        )
    return cast("Callable[..., Any]", thing)


# ------------------------------------------------------------------------------------ sequence: >>


class SequentialPrimitive(WorkflowPrimitive[In, Out]):
    """Steps one after the other, each taking what the one before gave; `a >> b >> c` makes it.

    Sequences inside are taken apart, so that however it is bracketed the chain is flat; one with a name of
    its own stays together, with its own span.

    Args:
        steps: Primitives or functions, at least one.
        name: What spans and errors call it.

    Raises:
        CompositionError: When there is no step, one is not a step, or two can't be joined.

    Example:
        ```python
        from tta_llm import SequentialPrimitive

        workflow = SequentialPrimitive([str.strip, str.title])
        assert workflow.run("  ada lovelace ") == "Ada Lovelace"
        ```
    """

    shape = "sequence"

    def __init__(self, steps: Sequence[Any], *, name: str | None = None) -> None:
        super().__init__(name=name)
        parts = [as_step(part) for part in steps]
        if not parts:
            raise CompositionError("a sequence needs at least one step, and the list is empty")
        for left, right in itertools.pairwise(parts):
            _joins.refuse_wrong_join(_last_name(left), left.output_type, _first_name(right), right.input_type)
        self.steps: tuple[WorkflowPrimitive[Any, Any], ...] = tuple(
            itertools.chain.from_iterable(map(_flat_steps, parts))
        )

    @functools.cached_property
    def _runs(self) -> tuple[Run, ...]:
        return tuple(part._run for part in self.steps)

    @functools.cached_property
    def _measured_runs(self) -> tuple[Run, ...]:
        return tuple(functools.partial(_run_measured, part) for part in self.steps)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the steps in order."""
        if not configured():
            return cast("Out", await self._run_through(self._runs, input_data, context))
        with Timed(telemetry().sequential_total):
            return cast("Out", await self._run_through(self._measured_runs, input_data, context))

    async def _run_through(self, runs: Sequence[Run], value: Any, context: WorkflowContext) -> Any:
        remaining = iter(runs)
        try:
            for run in remaining:
                value = await run(value, context)
        except BaseException as error:
            self._note(error, len(runs) - operator.length_hint(remaining) - 1)
            raise
        return value

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the last step that makes pieces, through the steps after it that can transform them."""
        first = self._first_streamed
        runs = self._measured_runs if configured() else self._runs
        value = await self._run_through(runs[:first], input_data, context)
        opened = self._open_streams(first, value, context)
        frames = [getattr(pieces, "ag_frame", None) for pieces in opened]
        try:
            async for piece in opened[-1]:
                yield piece
        except Exception as error:
            self._note(error, first + _deepest(error, frames))
            raise
        finally:
            for pieces in reversed(opened):
                await pieces.aclose()

    def _open_streams(self, first: int, value: Any, context: WorkflowContext) -> list[Pieces]:
        source, *transforms = self.steps[first:]
        opened = [_open(source, source._pieces(value, context), context)]
        for part in transforms:
            opened.append(_open(part, part.transform(opened[-1], context), context))
        return opened

    @functools.cached_property
    def _first_streamed(self) -> int:
        index = len(self.steps) - 1
        while index and self.steps[index]._transforms:
            index -= 1
        return index

    def _note(self, error: BaseException, index: int) -> None:
        add_place(error, f"step {index + 1} of {len(self.steps)} {self.steps[index].name!r}")

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The steps, in order."""
        return [(str(number), part) for number, part in enumerate(self.steps, 1)]

    @property
    def input_type(self) -> Any:
        """What the first step takes."""
        return self.steps[0].input_type

    @property
    def output_type(self) -> Any:
        """What the last step gives."""
        return self.steps[-1].output_type


def _flat_steps(part: WorkflowPrimitive[Any, Any]) -> tuple[WorkflowPrimitive[Any, Any], ...]:
    return part.steps if type(part) is SequentialPrimitive and part._name is None else (part,)


def _first_name(part: WorkflowPrimitive[Any, Any]) -> str:
    return _flat_steps(part)[0].name


def _last_name(part: WorkflowPrimitive[Any, Any]) -> str:
    return _flat_steps(part)[-1].name


async def _run_measured(part: WorkflowPrimitive[Any, Any], value: Any, context: WorkflowContext) -> Any:
    with Timed(telemetry().sequential_step, {names.STEP: part.name}):
        return await run_observed(part, value, context)


def _open(part: WorkflowPrimitive[Any, Any], pieces: Pieces, context: WorkflowContext) -> Pieces:
    if not configured() or pieces.__name__ == _one_piece.__name__:
        return pieces
    return _stream_measured(part, stream_observed(part, pieces, context))


async def _stream_measured(part: WorkflowPrimitive[Any, Any], pieces: Pieces) -> Pieces:
    with Timed(telemetry().sequential_step, {names.STEP: part.name}):
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece


def _deepest(error: BaseException, frames: list[Any]) -> int:
    """Tell which of the chained generators raised: the last of them that the traceback passes."""
    found, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame in frames:
            found = frames.index(trace.tb_frame)
        trace = trace.tb_next
    return found


# ------------------------------------------------------------------------------------- fan-out: |


class ParallelPrimitive(WorkflowPrimitive[In, Out]):
    """Branches that take the same input at the same time; `a | b | c` makes it.

    The results are a tuple in the order written, or, for a mapping of named branches, a dictionary. When a
    branch fails the others are cancelled and awaited, and its error is raised with the branch's name on it.

    `group | c` adds a branch to the group; to keep the group as one branch put it on the right, in brackets.

    Args:
        branches: Primitives or functions, at least one; or a mapping of names to them.
        max_concurrency: At most this many branches at the same time; all of them when missing.
        on_error: `"collect"` lets the others finish and gives the error in the place of a result.
        name: What spans and errors call it.

    Raises:
        CompositionError: When there is no branch, one is not a step, or two can't take the same input.

    Example:
        ```python
        from tta_llm import ParallelPrimitive

        count = ParallelPrimitive({"characters": len, "words": lambda text: len(text.split())})
        assert count.run("to be or not") == {"characters": 12, "words": 4}
        ```
    """

    @overload
    def __init__(
        self: ParallelPrimitive[A, tuple[B, ...]],
        branches: Sequence[WorkflowPrimitive[A, B]],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[A, dict[str, B]],
        branches: Mapping[str, WorkflowPrimitive[A, B]],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[A, tuple[B | Exception, ...]],
        branches: Sequence[WorkflowPrimitive[A, B]],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["collect"],
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[A, dict[str, B | Exception]],
        branches: Mapping[str, WorkflowPrimitive[A, B]],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["collect"],
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        branches: Sequence[Any] | Mapping[str, Any],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "collect"] = "raise",
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        branches: Sequence[Any] | Mapping[str, Any],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "collect"] = "raise",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._keyed = isinstance(branches, Mapping)
        parts = branches.values() if isinstance(branches, Mapping) else branches
        self.branches: tuple[WorkflowPrimitive[Any, Any], ...] = tuple(map(as_step, parts))
        if not self.branches:
            raise CompositionError("a fan-out needs at least one branch, and there is none")
        keys = branches if isinstance(branches, Mapping) else _unique(part.name for part in self.branches)
        self._labels = tuple(keys)
        _joins.refuse_different_inputs(zip(self._labels, self.branches, strict=True))
        self.max_concurrency = None if max_concurrency is None else at_least_one(max_concurrency, "max_concurrency")
        self.on_error = one_of(on_error, ("raise", "collect"), "on_error")

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the branches at the same time."""
        if not configured():
            return cast("Out", await self._run_branches(self._run_branch, input_data, context))
        with Timed(telemetry().parallel_total):
            return cast("Out", await self._run_branches(self._run_measured, input_data, context))

    async def _run_branches(self, run: _RunBranch, input_data: In, context: WorkflowContext) -> Any:
        collect = self.on_error == "collect"
        calls = [run(number, input_data, context) for number in range(len(self.branches))]
        results = await _tasks.run_together(list(map(_collected, calls)) if collect else calls, self.max_concurrency)
        return dict(zip(self._labels, results, strict=True)) if self._keyed else tuple(results)

    async def _run_branch(self, number: int, input_data: In, context: WorkflowContext) -> Any:
        try:
            return await self.branches[number]._run(input_data, context)
        except BaseException as error:
            add_place(error, f"branch {self._labels[number]!r}")
            raise

    async def _run_measured(self, number: int, input_data: In, context: WorkflowContext) -> Any:
        try:
            with Timed(telemetry().parallel_branch, {names.BRANCH: self._labels[number]}):
                return await run_observed(self.branches[number], input_data, context)
        except BaseException as error:
            add_place(error, f"branch {self._labels[number]!r}")
            raise

    @overload  # type: ignore[override]
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: WorkflowPrimitive[A, C]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: Callable[[A], Awaitable[C]]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: Callable[[A, WorkflowContext], Awaitable[C]]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: Callable[[A], C]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: Callable[[A, WorkflowContext], C]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(self: WorkflowPrimitive[A, B], other: WorkflowPrimitive[A, C]) -> ParallelPrimitive[A, tuple[B, C]]: ...
    def __or__(self, other: Any) -> ParallelPrimitive[Any, Any]:
        """Add a branch, with the group's own options; a group of named branches becomes the first of two."""
        if self._keyed:
            return ParallelPrimitive([self, other])
        return ParallelPrimitive(
            [*self.branches, other],
            max_concurrency=self.max_concurrency,
            on_error=self.on_error,
            name=self._name,
        )

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The branches, under their names."""
        return list(zip(self._labels, self.branches, strict=True))

    @property
    def input_type(self) -> Any:
        """What the first branch takes whose annotations tell."""
        return next((t for part in self.branches if (t := part.input_type) is not Any), Any)

    @property
    def output_type(self) -> Any:
        """A tuple of what the branches give, or a dictionary."""
        return dict if self._keyed else tuple[tuple(part.output_type for part in self.branches)]  # type: ignore[misc]


_RunBranch: TypeAlias = Callable[[int, Any, WorkflowContext], Coroutine[Any, Any, Any]]


async def _collected(call: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await call
    except Exception as error:
        return error
    finally:
        call.close()


def _unique(labels: Iterable[str]) -> list[str]:
    """Number what is called the same, so that errors and metrics tell the branches apart."""
    listed = list(labels)
    seen: dict[str, int] = {}
    for index, label in enumerate(listed):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] > 1:
            listed[index] = f"{label}#{seen[label]}"
    return listed


# ---------------------------------------------------------------------------------- over an iterable


class MapPrimitive(WorkflowPrimitive[Iterable[A] | AsyncIterable[A], list[B]]):
    """The same step for each item of an iterable; `step.map()` makes it. The results keep the items' order.

    Args:
        primitive: What is done to each item.
        max_concurrency: At most this many items at the same time.
        on_error: `"raise"` cancels the others when an item fails and raises its error, with the item's number
            on it; `"collect"` lets them finish and gives the error in the place of a result.
        name: What spans and errors call it.

    Example:
        ```python
        from tta_llm import step

        assert step(len).map().run(["a", "bc"]) == [1, 2]
        ```
    """

    def __init__(
        self,
        primitive: WorkflowPrimitive[A, B],
        *,
        max_concurrency: int = 16,
        on_error: Literal["raise", "collect"] = "raise",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.primitive = as_step(primitive)
        self.max_concurrency = at_least_one(max_concurrency, "max_concurrency")
        self.on_error = one_of(on_error, ("raise", "collect"), "on_error")

    async def execute(self, input_data: Iterable[A] | AsyncIterable[A], context: WorkflowContext) -> list[B]:
        """Run the step for each item.

        Raises:
            TypeError: When the input is a single text, or not iterable at all.
        """
        if isinstance(input_data, (str, bytes)) or not isinstance(input_data, (Iterable, AsyncIterable)):
            raise TypeError(f"map takes an iterable of inputs, not a {type(input_data).__name__}: put it in a list")
        pool = _tasks.Pool(self._call(context), input_data, self.max_concurrency, ordered=True)
        results: list[Any] = []
        async with aclosing(pool.outcomes()) as outcomes:
            async for index, value, error in outcomes:
                if error is not None:
                    add_place(error, f"item {index}")
                    if self.on_error == "raise":
                        raise error
                results.append(value if error is None else error)
        return results

    def _call(self, context: WorkflowContext) -> Callable[[Any], Awaitable[Any]]:
        run = functools.partial(run_observed, self.primitive) if configured() else self.primitive._run
        return lambda item: run(item, context)

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """What is done to each item."""
        return [("each", self.primitive)]

    @property
    def input_type(self) -> Any:
        """Unknown: any kind of iterable will do."""
        return Any

    @property
    def output_type(self) -> Any:
        """A list of what the step gives."""
        return list[self.primitive.output_type] if self.on_error == "raise" else list  # type: ignore[name-defined]


def one_of(value: Any, allowed: tuple[Any, ...], name: str) -> Any:
    """Refuse a value that is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {' or '.join(map(repr, allowed))}, not {value!r}")
    return value
