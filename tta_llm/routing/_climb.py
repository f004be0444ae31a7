"""One call's way up the tiers of a cascade."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from opentelemetry import trace

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._functions import function_name, runner
from tta_llm.core._paths import add_place, note_once
from tta_llm.core._typing import Pieces, Run
from tta_llm.core.functions import checked_function
from tta_llm.errors import AnswerRejectedError, BudgetExceededError
from tta_llm.messages import ChatResponse, FailedAttempt, events_of
from tta_llm.observability import configured, names, tell
from tta_llm.providers import StructuredOutputError
from tta_llm.recovery._course import signed, told_name

__all__ = ["NO_ANSWER", "Answered", "Climb", "NamedCheck", "Tier", "checks_of", "tiers_of"]

NO_ANSWER = (BudgetExceededError, StructuredOutputError)
"""After these the next tier is asked: there was no answer, or none that fits."""


class Answered(NamedTuple):
    """What a judge gets: the question and an answer to it.

    Args:
        input_data: What the cascade got.
        answer: What the tier gave.

    Example:
        ```python
        from tta_llm import step
        from tta_llm.routing import Answered, Cascade
        from tta_llm.testing import FakeChatModel

        @step
        async def longer(asked: Answered) -> bool:
            return len(asked.answer.text) > len(asked.input_data)

        small, large = FakeChatModel("Yes."), FakeChatModel("Yes, since it is odd.")
        assert Cascade([small, large], longer).run("Is 7 odd?").text == "Yes, since it is odd."
        ```
    """

    input_data: Any
    answer: Any


class Tier(NamedTuple):
    """One of the tiers, with its place among them."""

    primitive: WorkflowPrimitive[Any, Any]
    name: str
    place: str


def tiers_of(primitives: Sequence[WorkflowPrimitive[Any, Any]]) -> tuple[Tier, ...]:
    """Give each its place."""
    told = [(each, told_name(each)) for each in primitives]
    return tuple(
        Tier(each, name, f"tier {number} of {len(told)} {name!r}")
        for number, (each, name) in enumerate(told, 1)
    )


class NamedCheck(NamedTuple):
    """A check, and whether it is a judge that sees the question, too."""

    name: str
    run: Run
    judge: WorkflowPrimitive[Any, Any] | None


def checks_of(checks: Iterable[Any]) -> tuple[NamedCheck, ...]:
    """Give functions and judges one form."""
    return tuple(
        NamedCheck(each.name, each.execute, each)
        if isinstance(each, WorkflowPrimitive)
        else NamedCheck(function_name(each), runner(checked_function(each)), None)
        for each in checks
    )


class Climb:
    """Asks tiers and keeps what came of it.

    Args:
        checks: What an answer must pass.
        input_data: What the tiers get.
        context: The request.
    """

    def __init__(
        self, checks: Sequence[NamedCheck], input_data: Any, context: WorkflowContext
    ) -> None:
        self._checks, self._input, self._context = checks, input_data, context
        self._failed: list[tuple[Tier, FailedAttempt]] = []
        self._errors: list[Exception] = []
        self._answers: list[tuple[Tier, Any]] = []

    async def finds(self, tiers: Sequence[Tier]) -> bool:
        """Ask these in turn; tell whether an answer passed, which is then the last."""
        for tier in tiers:
            try:
                if await self._passes(tier):
                    return True
            except BaseException as error:
                add_place(error, tier.place)
                raise
        return False

    async def _passes(self, tier: Tier) -> bool:
        try:
            answer = await tier.primitive.execute(self._input, self._context)
        except NO_ANSWER as error:
            self._fail(tier, error)
            return False
        self._answers.append((tier, answer))
        objection = await self._objection(answer)
        if objection is not None:
            self._add(tier, objection, getattr(answer, "cost_usd", None))
        return objection is None

    async def _objection(self, answer: Any) -> str | None:
        for check in self._checks:
            asked = answer if check.judge is None else Answered(self._input, answer)
            if not await check.run(asked, self._context):
                return f"did not pass {check.name!r}"
        return None

    async def ask(self, tier: Tier) -> Any:
        """Give this tier's answer, unchecked; when it has none, the last before it."""
        try:
            answer = await tier.primitive.execute(self._input, self._context)
        except NO_ANSWER as error:
            self._fail(tier, error)
            return self.last()
        except BaseException as error:
            add_place(error, tier.place)
            raise
        self._answered_by(tier)
        return self._signed(answer)

    async def stream(self, tier: Tier) -> Pieces:
        """Stream it likewise, as it comes."""
        has_begun = False
        try:
            async with aclosing(tier.primitive.stream(self._input, self._context)) as pieces:
                async for piece in pieces:
                    if not has_begun:
                        self._answered_by(tier)
                    has_begun = True
                    yield self._signed(piece)
        except Exception as error:
            if has_begun or not isinstance(error, NO_ANSWER):
                add_place(error, tier.place)
                raise
            self._fail(tier, error)
            for piece in self.last_pieces():
                yield piece

    def _fail(self, tier: Tier, error: Exception) -> None:
        add_place(error, tier.place)
        self._errors.append(error)
        self._add(tier, f"{type(error).__name__}: {error}", None)

    def _add(self, tier: Tier, told: str, cost_usd: float | None) -> None:
        self._failed.append((tier, FailedAttempt(tier.name, told, cost_usd)))
        tell("rejected", tier.name, reason=told.partition(":")[0])

    # -------------------------------------------------------------------------------- in the end

    def _answered_by(self, tier: Tier) -> None:
        if configured():
            trace.get_current_span().set_attribute(names.CHOICE, tier.name)

    def _signed(self, answer: Any) -> Any:
        return signed(answer, [attempt for _, attempt in self._failed])

    def last(self) -> Any:
        """Give the last answer there was, or raise why there was none."""
        if not self._answers:
            raise self._errors[-1]
        tier, answer = self._answers[-1]
        self._answered_by(tier)
        return signed(answer, [attempt for other, attempt in self._failed if other is not tier])

    def last_pieces(self) -> Iterator[Any]:
        """Give it in pieces."""
        answer = self.last()
        return iter(events_of(answer) if isinstance(answer, ChatResponse) else (answer,))

    def rejection(self) -> AnswerRejectedError:
        """Give the error when no answer passed."""
        answer = self._answers[-1][1] if self._answers else None
        error = AnswerRejectedError(f"none of {len(self._failed)} answers passed the check", answer)
        for _, each in self._failed:
            note_once(error, f"{each.choice!r}: {each.reason}")
        return error
