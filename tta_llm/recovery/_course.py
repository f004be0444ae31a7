"""One call's way along the choices of a fallback: what comes next, and what is told in the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry import trace

from tta_llm.core._paths import add_place, note_once
from tta_llm.core._streams import shows
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.errors import AllFailedError, BudgetExceededError, CallRefusedError
from tta_llm.messages import ChatResponse, FailedAttempt, Finish, RefusalDelta, WholeResponse
from tta_llm.observability import configured, names, tell
from tta_llm.recovery._hints import retry_after
from tta_llm.recovery._mending import will_last
from tta_llm.recovery._targets import guard_of
from tta_llm.recovery._windows import outgrown_window, too_small_windows
from tta_llm.recovery.hold_out import HoldOut

__all__ = ["Choice", "Course", "Policy", "choices_of", "signed", "told_name"]

_log = logging.getLogger("tta_llm.recovery")


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One of the choices, with its place among them."""

    primitive: WorkflowPrimitive[Any, Any]
    name: str
    place: str
    held_out: HoldOut


def choices_of(primitives: Sequence[WorkflowPrimitive[Any, Any]]) -> tuple[Choice, ...]:
    """Give the choices, each with what all fallbacks over the same target know of it."""
    choices = []
    for number, primitive in enumerate(primitives, 1):
        name, held_out = told_name(primitive), guard_of(HoldOut, None, primitive)
        place = f"choice {number} of {len(primitives)} {name!r}"
        choices.append(Choice(primitive, name, place, held_out))
    return tuple(choices)


def told_name(primitive: WorkflowPrimitive[Any, Any]) -> str:
    """Give the name that tells a reader which choice it is: that of a wrapper says little."""
    while isinstance(primitive, WrapperPrimitive) and primitive.name == type(primitive).__name__:
        primitive = primitive.primitive
    return primitive.name


def signed(answer: Any, failed: Sequence[FailedAttempt]) -> Any:
    """Say on a model's answer, whole or at its end, what was tried before it."""
    if isinstance(answer, WholeResponse):
        return WholeResponse(signed(answer.response, failed))
    if not failed or not isinstance(answer, (ChatResponse, Finish)):
        return answer
    return replace(answer, failed_attempts=(*failed, *answer.failed_attempts))


@dataclass(frozen=True, slots=True)
class Policy:
    """What makes a fallback go on to the next choice.

    Args:
        falls_through: Which errors do.
        finish_reasons: Which reasons for the end of an answer do.
        is_bad: Which results do.
        hold_out_seconds: How long a choice comes last after a failure that lasts; None for never.
    """

    falls_through: Callable[[Exception], bool]
    finish_reasons: frozenset[str]
    is_bad: Callable[[Any], bool] | None
    hold_out_seconds: float | None

    def shows(self, piece: Any) -> bool:
        """Tell whether a consumer may see a piece: not the words of a refusal that won't do."""
        is_refusal = isinstance(piece, RefusalDelta) and "refusal" in self.finish_reasons
        return shows(piece) and not is_refusal

    def objection(self, result: Any) -> str | None:
        """Say what is wrong with an answer; None when it will do."""
        if isinstance(result, (ChatResponse, Finish)):
            reason = result.finish_reason
            if reason in self.finish_reasons:
                return f"finish_reason {reason}"
        if self.is_bad is not None and self.is_bad(result):
            return "a bad result"
        return None


class Course:
    """Gives the choices of one call one after the other, and keeps what came of each."""

    # Most calls are over with the first choice; what only others need is made when they do.
    failed: tuple[FailedAttempt, ...] = ()
    _errors: tuple[Exception, ...] = ()
    _passed_over: tuple[str, ...] = ()
    _late: tuple[Choice, ...] = ()
    _is_late: bool = False
    _outgrown: int | None = None

    def __init__(self, choices: Sequence[Choice], policy: Policy, context: WorkflowContext) -> None:
        self._choices, self.policy, self._context = choices, policy, context
        self._in_order = iter(choices)

    def next(self) -> Choice | None:
        """Give the choice that is to try now; None when none is left."""
        for choice in self._in_order:
            if choice.held_out.is_on(self._context.clock):
                self._late += (choice,)
            elif not self.failed or self._may_try(choice):
                return choice
        while self._late:
            choice, *rest = self._late
            self._late, self._is_late = tuple(rest), True
            if self._may_try(choice):
                return choice
        return None

    def _may_try(self, choice: Choice) -> bool:
        """Tell whether there is time for one more, and room for the input; keep it when not."""
        objection = None
        if self.failed and self._context.remaining_seconds() == 0.0:
            objection = "no time is left"
        elif self._outgrown is not None:
            windows = too_small_windows(choice.primitive, self._outgrown)
            objection = windows and f"its window ({windows}) is not known to be larger"
        if objection is None:
            return True
        self.failed += (FailedAttempt(choice.name, f"passed over: {objection}"),)
        self._passed_over += (f"{choice.name!r} was passed over: {objection}",)
        tell("passed_over", choice.name, reason=objection)
        return False

    # --------------------------------------------------------------------------- what came of one

    def add_error(self, choice: Choice, error: Exception, *, may_go_on: bool = True) -> None:
        """Keep the error of a choice; raise it when it is none to go on after."""
        add_place(error, choice.place)
        falls_through = self.policy.falls_through(error)
        if falls_through:
            self._hold_out(choice, error)
        if not falls_through or not may_go_on:
            for earlier in self.failed:
                note_once(error, f"before that, {earlier.choice!r} failed: {earlier.reason}")
            raise error
        self._errors += (error,)
        told = ": ".join(filter(None, (type(error).__name__, str(error))))
        self._add(choice, told, type(error).__name__)
        if (outgrown := outgrown_window(error, choice.primitive)) is not None:
            self._outgrown = max(self._outgrown or 0, outgrown)

    def objects_to(self, choice: Choice, result: Any) -> bool:
        """Tell whether another choice shall answer instead; keep why."""
        objection = self.policy.objection(result)
        if objection is not None:
            self._add(choice, objection, objection, getattr(result, "cost_usd", None))
        return objection is not None

    def _add(self, choice: Choice, told: str, kind: str, cost_usd: float | None = None) -> None:
        self.failed += (FailedAttempt(choice.name, told, cost_usd),)
        tell("fallback", choice.name, reason=kind)

    def _hold_out(self, choice: Choice, error: Exception) -> None:
        kind, seconds = type(error).__name__, self.policy.hold_out_seconds
        lasts = will_last(error)
        if not lasts and seconds is not None:
            # A guard tells by itself, and without delay, when it lets calls through again.
            seconds = None if isinstance(error, CallRefusedError) else retry_after(error)
        begins = seconds is not None and choice.held_out.hold(seconds, kind, self._context.clock)
        if begins:
            tell("held_out", choice.name, reason=kind)
        if lasts and (begins or seconds is None):
            _log.error(
                "%s failed with %s, which another try will not mend%s",
                choice.name,
                kind,
                f": for {seconds:g} s it is tried last" if seconds else "",
                extra={"correlation_id": self._context.correlation_id},
            )

    # -------------------------------------------------------------------------------- in the end

    def answered_by(self, choice: Choice) -> None:
        """Say on the span which choice it is that answers, and take it in again."""
        if self._is_late:
            choice.held_out.release()
        if configured():
            trace.get_current_span().set_attribute(names.CHOICE, choice.name)

    def signed(self, answer: Any) -> Any:
        """Say on an answer why those that were to give it before did not."""
        waiting = [FailedAttempt(each.name, each.held_out.status()) for each in self._late]
        return signed(answer, (*waiting, *self.failed))

    def error(self) -> Exception:
        """Give the error when nothing answered: the only one, or a group of them."""
        error, *others = self._errors
        if others and not all(isinstance(each, BudgetExceededError) for each in self._errors):
            tried = f"{len(self._errors)} of {len(self._choices)} choices were tried and failed"
            error = AllFailedError(tried, self._errors)
        for told in self._passed_over:
            note_once(error, told)
        return error
