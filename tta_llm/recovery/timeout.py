"""A time limit for a part of the workflow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, overload

from tta_llm.core._checks import positive
from tta_llm.core._clockwork import narrowed, out_of_time, stop_at
from tta_llm.core._paths import add_place, note_once
from tta_llm.core._streams import begun
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import as_step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.errors import DeadlineExceededError
from tta_llm.observability import tell
from tta_llm.recovery._waits import Waits

__all__ = ["TimeoutPrimitive"]


class TimeoutPrimitive(WrapperPrimitive[In, Out]):
    """Gives a step so many seconds, or what is left of the request's own time, if that is less.

    It narrows the deadline of the context that the step gets, and cancels the step when that
    passes. For a stream, `timeout_seconds` is the time for all of it, the consumer's included; the
    other two limits count only the waiting for the step. Of limits that end at the same time the
    outermost counts. Put a circuit breaker around it: to one inside, a stream that is stopped by
    one of those two looks like one that its consumer closed.

    Args:
        primitive: The step.
        timeout_seconds: For the whole. At least one of the three limits is needed, each above 0.
        first_chunk_seconds: How long a stream may take to its first piece that shows something of
            the answer. `execute` has no pieces, and takes no notice of it.
        idle_seconds: How long a stream may take, after that, to each further piece and to its end.
            `execute` takes no notice of it.
        fallback: Runs with the same input when a limit of this primitive's own ran out, in what is
            left of the request's time; in a stream only before the first piece. It does not run
            for other errors, time-outs of the step itself among them: `FallbackPrimitive` does.
        name: What spans and errors call it.

    Raises:
        ValueError: When there is no limit.
        DeadlineExceededError: From `execute` and `stream`, when the time ran out. It is a
            TimeoutError, and says whose time it was, and which limit.

    Example:
        ```python
        from tta_llm.recovery import TimeoutPrimitive
        from tta_llm.testing import MockPrimitive

        slow_model = MockPrimitive(return_value="late", delay_seconds=5)
        slow = TimeoutPrimitive(slow_model, timeout_seconds=0.01)
        try:
            slow.run("a question")
        except TimeoutError as error:
            assert "ran out of time" in str(error)

        sure = TimeoutPrimitive(slow_model, 0.01, fallback=lambda question: "ask me later")
        assert sure.run("a question") == "ask me later"
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        timeout_seconds: float | None = None,
        *,
        first_chunk_seconds: float | None = None,
        idle_seconds: float | None = None,
        fallback: Step[In, Out] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        timeout_seconds: float | None = None,
        *,
        first_chunk_seconds: float | None = None,
        idle_seconds: float | None = None,
        fallback: Step[In, Out] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        timeout_seconds: float | None = None,
        *,
        first_chunk_seconds: float | None = None,
        idle_seconds: float | None = None,
        fallback: Step[In, Out] | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        timeout_seconds: float | None = None,
        *,
        first_chunk_seconds: float | None = None,
        idle_seconds: float | None = None,
        fallback: Step[In, Out] | None = None,
        name: str | None = None,
    ) -> None:
        self.timeout_seconds: float | None = _limit(timeout_seconds, "timeout_seconds")
        self.first_chunk_seconds: float | None = _limit(first_chunk_seconds, "first_chunk_seconds")
        self.idle_seconds: float | None = _limit(idle_seconds, "idle_seconds")
        super().__init__(primitive, label=self._limits(), name=name)
        self.fallback: WorkflowPrimitive[In, Out] | None = (
            None if fallback is None else as_step(fallback)
        )

    def _limits(self) -> str:
        limits = {
            "within {:g} s": self.timeout_seconds,
            "first piece within {:g} s": self.first_chunk_seconds,
            "each further piece within {:g} s": self.idle_seconds,
        }
        told = [text.format(limit) for text, limit in limits.items() if limit is not None]
        if not told:
            raise ValueError(
                "a time limit needs a time: give timeout_seconds=, first_chunk_seconds= or "
                "idle_seconds="
            )
        return ", ".join(told)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step within `timeout_seconds`, and the fallback if it takes longer."""
        run = self.primitive.execute
        limited, when = narrowed(context, self.timeout_seconds)
        if when is None:
            return await run(input_data, context)
        try:
            return await stop_at(when, context.clock, self._told, run, input_data, limited)
        except DeadlineExceededError as error:
            if error.deadline != when:
                raise
            tell("timed_out", self.primitive.name, limit="timeout_seconds")
            return await self._run_instead(error, input_data, context)

    def _told(self) -> str:
        return out_of_time(self.primitive.name, self.timeout_seconds)()

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step within the limits; the fallback, if one ends before the first piece."""
        async with aclosing(await self._begin(input_data, context)) as pieces:
            async for piece in pieces:
                yield piece

    async def _begin(self, input_data: In, context: WorkflowContext) -> Pieces:
        waits = self._waits(input_data, context)
        if self.fallback is None:  # then nothing need be held back
            return waits.pieces()
        try:
            _, pieces = await begun(waits.pieces())
        except DeadlineExceededError as error:
            if error is not waits.ran_out:
                raise
            return self._stream_instead(error, input_data, context)
        return pieces

    def _waits(self, input_data: In, context: WorkflowContext) -> Waits:
        limited, when = narrowed(context, self.timeout_seconds)
        return Waits(
            self.primitive.stream(input_data, limited),
            self.primitive.name,
            context,
            when=when,
            timeout_seconds=self.timeout_seconds,
            first_chunk_seconds=self.first_chunk_seconds,
            idle_seconds=self.idle_seconds,
        )

    async def _run_instead(self, error: Exception, input_data: In, context: WorkflowContext) -> Out:
        fallback = self._fallback_in_time(error, context)
        try:
            return await fallback.execute(input_data, context)
        except BaseException as later:
            _explain(later, fallback, error)
            raise

    async def _stream_instead(
        self, error: Exception, input_data: In, context: WorkflowContext
    ) -> Pieces:
        fallback = self._fallback_in_time(error, context)
        try:
            async with aclosing(fallback.stream(input_data, context)) as pieces:
                async for piece in pieces:
                    yield piece
        except Exception as later:
            _explain(later, fallback, error)
            raise

    def _fallback_in_time(
        self, error: Exception, context: WorkflowContext
    ) -> WorkflowPrimitive[In, Out]:
        """Give the fallback, or raise the error when there is none, or no time for it."""
        if self.fallback is None:
            raise error
        if context.remaining_seconds() == 0.0:
            note_once(error, f"no time was left for {self.fallback.name!r}")
            raise error
        return self.fallback

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The step, and the fallback."""
        return [*super().children(), *([("else", self.fallback)] if self.fallback else [])]

    @property
    def output_type(self) -> Any:
        """What the step gives, when the fallback gives the same."""
        gives = self.primitive.output_type
        return gives if self.fallback is None or self.fallback.output_type == gives else Any


def _limit(seconds: float | None, name: str) -> float | None:
    return None if seconds is None else positive(seconds, name)


def _explain(later: BaseException, fallback: WorkflowPrimitive[Any, Any], error: Exception) -> None:
    add_place(later, f"fallback {fallback.name!r}")
    note_once(later, f"tried because {error}")
