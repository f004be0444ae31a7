"""Going on to the next choice when one fails."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast, get_args, overload

from tta_llm.core._checks import listed, one_of, positive
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import as_step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import CompositionError
from tta_llm.messages import ChatResponse, FinishReason, events_of
from tta_llm.recovery._course import Choice, Course, Policy, choices_of
from tta_llm.recovery._guard import Guard
from tta_llm.recovery._mending import ErrorFilter, another_can_mend, as_judge, error_filter
from tta_llm.recovery._relay import Relay

__all__ = ["FallbackPrimitive"]

FALLBACK_FINISHES: tuple[FinishReason, ...] = ("content_filter", "refusal")


class FallbackPrimitive(WorkflowPrimitive[In, Out]):
    """Runs the primary, and when it fails the fallbacks in order, until one succeeds.

    What falls through is what another choice can mend: rate limits, overload, connections,
    time-outs, server errors, a guard's refusal, a call too dear for the budget. A bad key, or a
    model that the provider doesn't know, falls through as well, but loudly: it is logged as an
    error, and the choice is tried last for a while, as is one whose provider asks to wait. An input
    too long goes only to models that are known to have a larger window. Bugs and bad requests are
    raised at once, also out of a group of errors.

    Which choice answered, and why those before it did not, stands on the response
    (`ChatResponse.failed_attempts`) and on the span. When every choice failed, the error holds each
    attempt. No choice is begun after the context's deadline.

    A stream goes over to the next choice unseen until its first piece is out. When it breaks off
    later, its error is raised with the text so far (`partial_text(error)`), unless
    `after_first_piece` says otherwise.

    Args:
        primary: The first choice.
        fallbacks: The other choices, in order; at least one.
        fallback_on: Errors to go on after besides those told above: exception types, or a function
            of the error.
        raise_on: Errors of those told above that are raised at once after all.
        fallback_if_result: Tells of a result whether another choice shall answer. A stream is then
            held back until it was judged.
        fallback_on_finish: Which reasons for the end of a model's answer make another choice
            answer. When no other has a better answer, the first of these is given after all.
        after_first_piece: What to do when a stream breaks off midway, or ends for one of those
            reasons: `raise` the error, and leave the answer as it ended; `restart`, which yields a
            StreamRestart and then the next choice's answer from its beginning; or `continue`, which
            has the next choice go on where the text ends, if its model takes a beginning of its
            answer (`ModelInfo.prefill`), and restarts if it does not.
        hold_out_seconds: How long a choice is tried last after a failure that lasts, above 0; None
            for never, whatever its provider asks.
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
        raise_on: ErrorFilter | None = None,
        fallback_if_result: Callable[[Out], bool] | None = None,
        fallback_on_finish: Iterable[FinishReason] = FALLBACK_FINISHES,
        after_first_piece: Literal["raise", "restart", "continue"] = "raise",
        hold_out_seconds: float | None = 60.0,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primary: AwaitedStep[In, Out],
        fallbacks: Sequence[Step[In, Out]],
        *,
        fallback_on: ErrorFilter | None = None,
        raise_on: ErrorFilter | None = None,
        fallback_if_result: Callable[[Out], bool] | None = None,
        fallback_on_finish: Iterable[FinishReason] = FALLBACK_FINISHES,
        after_first_piece: Literal["raise", "restart", "continue"] = "raise",
        hold_out_seconds: float | None = 60.0,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primary: PlainStep[In, Out],
        fallbacks: Sequence[Step[In, Out]],
        *,
        fallback_on: ErrorFilter | None = None,
        raise_on: ErrorFilter | None = None,
        fallback_if_result: Callable[[Out], bool] | None = None,
        fallback_on_finish: Iterable[FinishReason] = FALLBACK_FINISHES,
        after_first_piece: Literal["raise", "restart", "continue"] = "raise",
        hold_out_seconds: float | None = 60.0,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primary: Step[In, Out],
        fallbacks: Sequence[Step[In, Out]],
        *,
        fallback_on: ErrorFilter | None = None,
        raise_on: ErrorFilter | None = None,
        fallback_if_result: Callable[[Any], bool] | None = None,
        fallback_on_finish: Iterable[FinishReason] = FALLBACK_FINISHES,
        after_first_piece: Literal["raise", "restart", "continue"] = "raise",
        hold_out_seconds: float | None = 60.0,
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
        self.after_first_piece: str = one_of(
            ("raise", "restart", "continue"), after_first_piece, "after_first_piece"
        )
        finishes = _finish_reasons(fallback_on_finish)
        by_default = functools.partial(another_can_mend, filtered="content_filter" in finishes)
        if hold_out_seconds is not None:
            positive(hold_out_seconds, "hold_out_seconds")
        self._policy = Policy(
            error_filter(fallback_on, raise_on, by_default),
            finishes,
            as_judge(fallback_if_result, "fallback_if_result"),
            hold_out_seconds,
        )
        self._places = choices_of(self.choices)

    @property
    def guards(self) -> tuple[Guard, ...]:
        """What holds choices out."""
        return tuple(choice.held_out for choice in self._places)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the choices in order until one succeeds."""
        course = Course(self._places, self._policy, context)
        refused: tuple[Choice, Any] | None = None
        while (choice := course.next()) is not None:
            try:
                result = await choice.primitive.execute(input_data, context)
            except Exception as error:
                course.add_error(choice, error)
                continue
            if not course.objects_to(choice, result):
                break
            refused = refused or (choice, result)
        else:
            if refused is None:
                raise course.error()
            choice, result = refused
        course.answered_by(choice)
        return cast("Out", course.signed(result))

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the first choice that gives a piece."""
        if self._policy.is_bad is not None:
            result: Any = await self._run(input_data, context)
            for piece in events_of(result) if isinstance(result, ChatResponse) else (result,):
                yield piece
            return
        course = Course(self._places, self._policy, context)
        relay = Relay(course, self.after_first_piece, input_data, context)
        async with aclosing(relay.pieces()) as pieces:
            async for piece in pieces:
                yield piece

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


def _finish_reasons(reasons: Iterable[FinishReason]) -> frozenset[str]:
    if isinstance(reasons, str):
        raise TypeError(f"fallback_on_finish is a list of reasons: write [{reasons!r}]")
    return frozenset(one_of(get_args(FinishReason), each, "fallback_on_finish") for each in reasons)
