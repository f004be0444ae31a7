"""One step after the other: `>>`."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, ClassVar, TypeAlias, cast

from tta_llm.core import _builders, _joins
from tta_llm.core._checks import listed
from tta_llm.core._paths import add_place
from tta_llm.core._streams import begun
from tta_llm.core._supervision import observed, run_observed, stream_observed
from tta_llm.core._typing import In, Out, Pieces, Run, Shape
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import as_step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import CompositionError
from tta_llm.observability import Timed, configured, names
from tta_llm.observability.telemetry import telemetry

__all__ = ["SequentialPrimitive"]

# Each is a generator that asks the one before it, and Python's stack bounds how deep that may go.
# A longer tail is executed up to its last hundred steps, which gives the same result.
_MOST_TRANSFORMS = 100


class SequentialPrimitive(WorkflowPrimitive[In, Out]):
    """Steps one after the other, each taking what the one before gave; `a >> b >> c` makes it.

    Sequences inside are taken apart, so that however it is bracketed the chain is flat; one with a
    name of its own stays together, with its own span.

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

    shape: ClassVar[Shape] = "sequence"

    def __init__(
        self: SequentialPrimitive[Any, Any], steps: Sequence[Any], *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        parts = [as_step(part) for part in listed(steps, "steps")]
        if not parts:
            raise CompositionError("a sequence needs at least one step, and the list is empty")
        for left, right in itertools.pairwise(parts):
            _joins.refuse_wrong_join(
                _last_name(left), left.output_type, _first_name(right), right.input_type
            )
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
        if configured() and observed(context):
            with Timed(telemetry().sequential_total):
                measured = await self._run_through(self._measured_runs, input_data, context)
                return cast("Out", measured)
        return cast("Out", await self._run_through(self._runs, input_data, context))

    async def _run_through(self, runs: Sequence[Run], value: Any, context: WorkflowContext) -> Any:
        remaining = iter(runs)
        try:
            for run in remaining:
                value = await run(value, context)
        except BaseException as error:
            self._note(error, len(runs) - operator.length_hint(remaining) - 1)
            raise
        return value

    def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the last step that makes pieces, through the steps that can transform them."""
        if configured() and observed(context):
            pieces = self._stream_through(input_data, context, _open_measured, self._measured_runs)
            return _timed(pieces, Timed(telemetry().sequential_total))
        return self._stream_through(input_data, context, _open, self._runs)

    async def _stream_through(
        self, input_data: In, context: WorkflowContext, open_: _Open, runs: Sequence[Run]
    ) -> Pieces:
        first = self._first_streamed
        source, *transforms = self.steps[first:]
        if source._streams:
            value = await self._run_through(runs[:first], input_data, context)
            pieces = open_(source, source._pieces(value, context), context)
        else:
            pieces = _just(await self._run_through(runs[: first + 1], input_data, context))
        frames = [_frame(pieces)]
        async with AsyncExitStack() as opened:
            opened.push_async_callback(pieces.aclose)
            try:
                for part in transforms:
                    if open_ is _open_measured:
                        # Otherwise a step would have a span although nothing ever reached it.
                        _, pieces = await begun(pieces)
                    pieces = open_(part, part.transform(pieces, context), context)
                    opened.push_async_callback(pieces.aclose)
                    frames.append(_frame(pieces))
                async for piece in pieces:
                    yield piece
            except Exception as error:
                self._note(error, first + _deepest(error, frames))
                raise

    @functools.cached_property
    def _first_streamed(self) -> int:
        index = last = len(self.steps) - 1
        while index and self.steps[index]._transforms and last - index < _MOST_TRANSFORMS:
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


async def _run_measured(
    part: WorkflowPrimitive[Any, Any], value: Any, context: WorkflowContext
) -> Any:
    with _timed_step(part):
        return await run_observed(part, value, context)


async def _just(value: Any) -> Pieces:
    yield value


_Open: TypeAlias = Callable[[WorkflowPrimitive[Any, Any], Pieces, WorkflowContext], Pieces]


def _open(_: WorkflowPrimitive[Any, Any], pieces: Pieces, __: WorkflowContext) -> Pieces:
    return pieces


def _open_measured(
    part: WorkflowPrimitive[Any, Any], pieces: Pieces, context: WorkflowContext
) -> Pieces:
    return _timed(stream_observed(part, pieces, context), _timed_step(part))


def _timed_step(part: WorkflowPrimitive[Any, Any]) -> Timed:
    current = telemetry()
    return Timed(current.sequential_step, current.about(names.STEP, part.name))


async def _timed(pieces: Pieces, timed: Timed) -> Pieces:
    with timed:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece


def _frame(pieces: Pieces) -> Any:
    return getattr(pieces, "ag_frame", None)


def _deepest(error: BaseException, frames: list[Any]) -> int:
    """Tell which of the chained generators raised: the last of them that the traceback passes."""
    found, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame in frames:
            found = frames.index(trace.tb_frame)
        trace = trace.tb_next
    return found


_builders.sequence = SequentialPrimitive
