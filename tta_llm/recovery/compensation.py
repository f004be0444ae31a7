"""Steps that are undone when a later one fails."""

from __future__ import annotations

import contextvars
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, ClassVar, cast

from tta_llm.core._checks import listed, positive
from tta_llm.core._joins import refuse_wrong_join
from tta_llm.core._typing import In, Out, Pieces, Shape
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import as_step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import CompositionError
from tta_llm.messages import ChatResponse, events_of
from tta_llm.recovery._undoing import Pair, SagaRun, Uncompensated, uncompensated

__all__ = ["CompensationPrimitive", "Uncompensated", "uncompensated"]


class CompensationPrimitive(WorkflowPrimitive[In, Out]):
    """Runs steps one after the other, and undoes those that succeeded when a later one fails.

    This is the saga of Garcia-Molina and Salem (1987). When a step fails, or the run is cancelled
    or out of time, the compensations of the steps before it run, the last first. Each gets what its
    own step gave, and `compensation_seconds` of its own, whatever is left of the request's time. No
    cancellation stops them half-way: it waits until they have ended, and is raised then. One that
    fails doesn't keep the others from running.

    The error is the one that was raised. Notes on it tell what was undone and what was not; the
    function `uncompensated` gives the latter with the results of the steps, and a message at level
    ERROR on the logger `tta_llm.recovery` tells each, also when something outside, such as a
    retry, hides the error.

    The step that fails is not compensated, and a cancellation may reach it when its work is done
    already: let a step do all or nothing, or let the one before it give the key under which it is
    undone. A compensation may be a retry or a fallback itself; make it idempotent.

    A saga that is done inside a step of another one is final only when the other is: when the other
    fails later its steps are undone as well, unless the step of the other has a compensation, which
    runs in their place.

    Streaming, it yields the pieces of the last step. Whoever closes the stream before its end gives
    the saga up, and the steps before the last are undone: read it to the end.

    Args:
        steps: Pairs `(step, compensation)`, or a step alone where nothing is to be undone; at least
            one. A compensation is `f(result)` or `f(result, context)`, or any primitive.
        compensation_seconds: How long each compensation may take.
        name: What spans and errors call it.

    Raises:
        CompositionError: When there is no step, one is not a step, or two can't be joined.

    Example:
        ```python
        from tta_llm.recovery import CompensationPrimitive
        from tta_llm.testing import MockPrimitive

        seats = {"12"}

        def reserve(seat: str) -> str:
            seats.remove(seat)
            return seat

        saga = CompensationPrimitive([
            (reserve, seats.add),
            MockPrimitive(raises=ConnectionError("the bank is down"), name="pay"),
        ])
        try:
            saga.run("12")
        except ConnectionError as error:
            assert error.__notes__ == ["in step 2 of 2 'pay'", "compensated: 'reserve'"]
        assert seats == {"12"}
        ```
    """

    shape: ClassVar[Shape] = "sequence"

    def __init__(
        self: CompensationPrimitive[Any, Any],
        steps: Sequence[Any],
        *,
        compensation_seconds: float = 30.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.compensation_seconds: float = positive(compensation_seconds, "compensation_seconds")
        self._pairs: tuple[Pair, ...] = tuple(map(_pair, listed(steps, "steps")))
        if not self._pairs:
            raise CompositionError("a saga needs at least one step, and the list is empty")
        _refuse_wrong_joins(self._pairs)

    @property
    def steps(self) -> tuple[WorkflowPrimitive[Any, Any], ...]:
        """The steps, in order."""
        return tuple(step for step, _ in self._pairs)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the steps in order; undo those before the one that fails."""
        run = SagaRun(self._pairs, self.compensation_seconds, context)
        try:
            result = await run.through(input_data, len(self._pairs))
        except GeneratorExit:
            raise  # its event loop has ended, and nothing can be awaited any more
        except BaseException as error:
            await run.undo(error)
            raise
        run.end()
        return cast("Out", result)

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Run all steps but the last, and stream that one."""
        run = SagaRun(self._pairs, self.compensation_seconds, context)
        here = contextvars.copy_context()  # whoever closes the stream may be in another span
        # A saga around may have to undo the last step, too, and for that needs its whole result.
        whole = run.is_inside_another and self._pairs[-1][1] is not None
        try:
            value = await run.through(input_data, len(self._pairs) - (not whole))
            async with aclosing(_given(value) if whole else run.last(value)) as pieces:
                async for piece in pieces:
                    yield piece
        except BaseException as error:
            await run.undo(error, here)
            raise
        run.end()

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The steps, each followed by its compensation."""
        return [
            (f"{part} {number}", each)
            for number, pair in enumerate(self._pairs, 1)
            for part, each in zip(("step", "undo"), pair, strict=True)
            if each is not None
        ]

    @property
    def input_type(self) -> Any:
        """What the first step takes."""
        return self._pairs[0][0].input_type

    @property
    def output_type(self) -> Any:
        """What the last step gives."""
        return self._pairs[-1][0].output_type


def _pair(given: Any) -> Pair:
    if not isinstance(given, tuple):
        return as_step(given), None
    if len(given) != 2:
        raise CompositionError(
            f"a step stands alone or in a pair (step, compensation), not in a tuple of {len(given)}"
        )
    step, compensation = given
    return as_step(step), None if compensation is None else as_step(compensation)


def _refuse_wrong_joins(pairs: Sequence[Pair]) -> None:
    """Raise when a step can't take what the one before gives, or a compensation its step's."""
    followers = [following for following, _ in pairs[1:]] + [None]
    for (step, compensation), following in zip(pairs, followers, strict=True):
        for taker in (compensation, following):
            if taker is not None:
                refuse_wrong_join(step.name, step.output_type, taker.name, taker.input_type)


async def _given(result: Any) -> Pieces:
    for piece in events_of(result) if isinstance(result, ChatResponse) else (result,):
        yield piece
