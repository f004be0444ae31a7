"""Going on to the next choice when one fails."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast, overload

from tta_llm.core._checks import listed
from tta_llm.core._paths import add_place, note_once
from tta_llm.core._streams import begun
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import as_step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import AllFailedError, CompositionError
from tta_llm.recovery._mending import ErrorFilter, error_filter

__all__ = ["FallbackPrimitive"]


class FallbackPrimitive(WorkflowPrimitive[In, Out]):
    """Runs the primary, and when it fails the fallbacks in order, until one succeeds.

    Only errors that another choice can mend fall through; a bug or a bad request is raised at once.
    When every choice failed, the error holds each attempt. No choice is begun after the context's
    deadline.

    A stream goes over to the next choice until its first piece is out; after that its error is
    raised, with a note of how many pieces were delivered.

    Args:
        primary: The first choice.
        fallbacks: The other choices, in order; at least one.
        fallback_on: Which errors fall through: exception types, or a function of the error. By
            default rate limits, overload, connections, time-outs and server errors.
        name: What spans and errors call it.

    Raises:
        CompositionError: When there is no fallback.
        AllFailedError: From `execute` and `stream`, when every choice failed. It is an
            ExceptionGroup.

    Example:
        ```python
        from tta_llm.recovery import FallbackPrimitive
        from tta_llm.testing import MockPrimitive

        answer = FallbackPrimitive(
            primary=MockPrimitive(raises=ConnectionError("down")),
            fallbacks=[MockPrimitive(return_value="from the second")],
        )
        assert answer.run("a question") == "from the second"
        ```
    """

    @overload
    def __init__(
        self,
        primary: WorkflowPrimitive[In, Out],
        fallbacks: Sequence[Step[In, Out]],
        *,
        fallback_on: ErrorFilter | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primary: AwaitedStep[In, Out],
        fallbacks: Sequence[Step[In, Out]],
        *,
        fallback_on: ErrorFilter | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primary: PlainStep[In, Out],
        fallbacks: Sequence[Step[In, Out]],
        *,
        fallback_on: ErrorFilter | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primary: Step[In, Out],
        fallbacks: Sequence[Step[In, Out]],
        *,
        fallback_on: ErrorFilter | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        others = listed(fallbacks, "fallbacks")
        if not others:
            raise CompositionError(
                "a fallback needs at least one other choice, and `fallbacks` is empty"
            )
        self.choices: tuple[WorkflowPrimitive[Any, Any], ...] = tuple(
            map(as_step, (primary, *others))
        )
        self._falls_through = error_filter(fallback_on, None)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the choices in order until one succeeds."""
        failed: list[Exception] = []
        for choice in self.choices:
            try:
                return cast("Out", await choice.execute(input_data, context))
            except Exception as error:
                self._go_on_after(error, failed, context)
        raise self._all_failed(failed)

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the first choice that gives a piece."""
        failed: list[Exception] = []
        for choice in self.choices:
            try:
                _, pieces = await begun(choice.stream(input_data, context))
            except Exception as error:
                self._go_on_after(error, failed, context)
                continue
            async with aclosing(_counted(pieces, self._place(len(failed) + 1))) as rest:
                async for delivered in rest:
                    yield delivered
            return
        raise self._all_failed(failed)

    def _go_on_after(
        self, error: Exception, failed: list[Exception], context: WorkflowContext
    ) -> None:
        """Keep the error, or raise it when no other choice may or can be tried."""
        failed.append(error)
        add_place(error, self._place(len(failed)))
        if not self._falls_through(error):
            raise error
        if context.remaining_seconds() == 0.0 and len(failed) < len(self.choices):
            note_once(error, f"no time was left for {self.choices[len(failed)].name!r}")
            raise error if len(failed) == 1 else self._all_failed(failed)

    def _place(self, number: int) -> str:
        return f"choice {number} of {len(self.choices)} {self.choices[number - 1].name!r}"

    def _all_failed(self, failed: list[Exception]) -> AllFailedError:
        return AllFailedError(
            f"{len(failed)} of {len(self.choices)} choices were tried and failed", failed
        )

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The choices, in order."""
        return [
            ("first" if not number else f"else {number}", choice)
            for number, choice in enumerate(self.choices)
        ]

    @property
    def input_type(self) -> Any:
        """What the primary takes."""
        return self.choices[0].input_type

    @property
    def output_type(self) -> Any:
        """What the choices give, when they agree."""
        gives = [choice.output_type for choice in self.choices]
        return gives[0] if all(each == gives[0] for each in gives) else Any


async def _counted(pieces: Pieces, place: str) -> Pieces:
    """Yield the pieces of a choice; an error tells how many there were."""
    delivered = 0
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                delivered += 1
                yield piece
        except Exception as error:
            add_place(error, place)
            note_once(error, f"{delivered} pieces of the stream had been delivered")
            raise
