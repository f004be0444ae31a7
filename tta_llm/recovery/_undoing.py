"""One run of a saga: what it has done so far, and undoing it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import aclosing
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from tta_llm.core._paths import add_place, carry_path, note_once
from tta_llm.core._supervision import run_observed
from tta_llm.core._typing import Pieces
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.observability import names, tell

__all__ = ["Pair", "SagaRun", "Uncompensated", "uncompensated"]

T = TypeVar("T")
Pair: TypeAlias = tuple[WorkflowPrimitive[Any, Any], WorkflowPrimitive[Any, Any] | None]

_END: Final[Any] = object()
_log = logging.getLogger("tta_llm.recovery")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Uncompensated:
    """A step that was done and is not undone: its compensation failed."""

    step: str
    """The name of the step."""
    result: Any
    """What the step gave."""
    error: BaseException
    """Why its compensation failed."""

    def __repr__(self) -> str:
        return f"Uncompensated(step={self.step!r}, error={type(self.error).__name__})"


def uncompensated(error: BaseException) -> tuple[Uncompensated, ...]:
    """Give what a saga did and could not undo, from the error of the workflow it was in.

    The saga leaves it on its own error, as `error.uncompensated`. That may be wrapped since, as a
    time limit does it, or be one of a group: the causes and the parts of the error are looked
    through.

    Example:
        ```python
        from tta_llm.recovery import CompensationPrimitive, uncompensated

        def down(_):
            raise ConnectionError("down")

        saga = CompensationPrimitive([(lambda order: "seat 12", down), down])
        try:
            saga.run("an order")
        except ConnectionError as error:
            assert [left.result for left in uncompensated(error)] == ["seat 12"]
        ```
    """
    return tuple(dict.fromkeys(left for each in _family(error) for left in _left_on(each)))


def _left_on(error: BaseException) -> tuple[Uncompensated, ...]:
    return getattr(error, "uncompensated", ())


def _family(error: BaseException) -> Iterator[BaseException]:
    """Give the error and all that it came from, or consists of, each once."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        parts = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        waiting += [each.__cause__, each.__context__, *parts]


class Done(NamedTuple):
    """A step that succeeded, and how to undo it."""

    step: str
    result: Any
    compensation: WorkflowPrimitive[Any, Any]
    seconds: float


# What the run of the saga around has done. A saga that comes to its end adds what it did itself,
# for that is final only when the one around is.
_DONE: ContextVar[list[Done] | None] = ContextVar("tta_llm_saga", default=None)


class SagaRun:
    """What one run of a saga has done so far.

    Args:
        pairs: The steps of the saga and their compensations.
        seconds: How long each compensation may take.
        context: The context of the run.
    """

    def __init__(self, pairs: Sequence[Pair], seconds: float, context: WorkflowContext) -> None:
        self._pairs, self._seconds, self._context = pairs, seconds, context
        self._around = _DONE.get()
        self._done: list[Done] = []
        self._begun = 0

    @property
    def is_inside_another(self) -> bool:
        """Whether there is a saga around, which may undo later what this one did."""
        return self._around is not None

    async def through(self, value: Any, count: int) -> Any:
        """Run the first so many steps, each on what the one before gave."""
        for step, compensation in self._pairs[:count]:
            self._begun += 1
            before = len(self._done)
            value = await self._inside(run_observed(step, value, self._context))
            if compensation is not None:  # it stands for those of sagas inside the step
                done = Done(step.name, value, compensation, self._seconds)
                self._done[before:] = [done]
        return value

    async def last(self, value: Any) -> Pieces:
        """Stream the last step."""
        self._begun += 1
        async with aclosing(self._pairs[-1][0].stream(value, self._context)) as pieces:
            while (piece := await self._inside(anext(pieces, _END))) is not _END:
                yield piece

    async def _inside(self, work: Awaitable[T]) -> T:
        """Await a step so that sagas in it know what they are in."""
        token = _DONE.set(self._done)
        try:
            return await work
        finally:
            _DONE.reset(token)

    def end(self) -> None:
        """Hand what was done over to the saga around, if there is one."""
        if self._around is not None:
            self._around.extend(self._done)

    async def undo(self, error: BaseException, within: Context | None = None) -> None:
        """Undo what was done, the last first, and tell on the error what came of it.

        It goes on to the end however often it is cancelled, and raises CancelledError then.

        Args:
            error: What went wrong.
            within: The context variables to undo in, when they are not the current ones.
        """
        undoing, stopped = _Undoing(self._done, self._context), None
        while self._done:  # again when the task was cancelled by itself before it began
            task = asyncio.get_running_loop().create_task(undoing.run(), context=within)
            stopped = await _wait_to_the_end(task) or stopped
            if not task.cancelled():
                task.result()
        step = self._pairs[self._begun - 1][0]
        add_place(error, f"step {self._begun} of {len(self._pairs)} {step.name!r}")
        if stopped is None or isinstance(error, asyncio.CancelledError):
            undoing.tell_on(error)
            return
        carry_path(error, stopped)
        undoing.tell_on(stopped)
        raise stopped from error


async def _wait_to_the_end(task: asyncio.Task[Any]) -> asyncio.CancelledError | None:
    """Wait until a task is done, however often that is cancelled; give the first cancellation."""
    stopped = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            stopped = stopped or error
    return stopped


class _Undoing:
    """Undoes what was done, the last first, and knows what came of it."""

    def __init__(self, done: list[Done], context: WorkflowContext) -> None:
        self._done, self._context = done, context
        self._undone: list[str] = []
        self._left: list[Uncompensated] = []

    async def run(self) -> None:
        """Run the compensations; what they raise keeps none of the others from running."""
        _DONE.set(None)  # a compensation may be a saga, and nothing is around that one
        while self._done:
            step, result, compensation, seconds = self._done.pop()
            own = self._context.without_deadline().child(timeout_seconds=seconds)
            try:
                await compensation.execute(result, own)
            except (Exception, asyncio.CancelledError) as error:
                add_place(error, f"compensation {compensation.name!r} of step {step!r}")
                self._left.append(Uncompensated(step, result, error))
                _tell_failed(step, error, self._context)
            else:
                self._undone.append(step)
                tell("compensated", step)

    def tell_on(self, error: BaseException) -> None:
        """Note on the error what was undone, and leave with it what was not."""
        if self._undone:
            note_once(error, f"compensated: {', '.join(map(repr, self._undone))}")
        if self._left:
            told = ", ".join(f"{each.step!r} ({type(each.error).__name__})" for each in self._left)
            note_once(error, f"not compensated: {told}")
            error.uncompensated = (*_left_on(error), *self._left)  # type: ignore[attr-defined]


def _tell_failed(step: str, error: BaseException, context: WorkflowContext) -> None:
    kind = type(error).__name__
    tell("compensation_failed", step, **{names.ERROR_TYPE: kind})
    _log.error(
        "step %r is not compensated: its compensation failed with %s",
        step,
        kind,
        extra={"correlation_id": context.correlation_id},
    )
