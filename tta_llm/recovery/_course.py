"""One call's way along the choices of a fallback: what comes next, and what is told in the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry import trace

from tta_llm.core._paths import add_place, note_once
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import (
    AllFailedError,
    AuthenticationError,
    BudgetExceededError,
    ContextLengthError,
    PermissionDeniedError,
    UnknownModelError,
)
from tta_llm.messages import ChatResponse, FailedAttempt, Finish
from tta_llm.observability import configured, names, tell
from tta_llm.recovery._hints import retry_after
from tta_llm.recovery.hold_out import HoldOut

__all__ = ["Choice", "Course", "Policy"]

# These last until somebody acts; without a word they would never be found behind a good fallback.
_LASTING = (AuthenticationError, PermissionDeniedError, UnknownModelError)

_log = logging.getLogger("tta_llm.recovery")


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One of the choices, with its place among them."""

    primitive: WorkflowPrimitive[Any, Any]
    place: str
    held_out: HoldOut

    @property
    def name(self) -> str:
        """What it is called."""
        return self.primitive.name


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

    def objection(self, result: Any) -> str | None:
        """Say what is wrong with an answer; None when it will do."""
        reason = getattr(result, "finish_reason", None)
        if isinstance(result, (ChatResponse, Finish)) and reason in self.finish_reasons:
            return f"finish_reason {reason}"
        if self.is_bad is not None and self.is_bad(result):
            return "a bad result"
        return None


class Course:
    """Gives the choices of one call one after the other, and keeps what came of each."""

    __slots__ = (
        "_context",
        "_late",
        "_order",
        "_outgrown",
        "_passed_over",
        "_policy",
        "_total",
        "errors",
        "failed",
    )

    def __init__(self, choices: Sequence[Choice], policy: Policy, context: WorkflowContext) -> None:
        self._policy, self._context, self._total = policy, context, len(choices)
        self.errors: list[Exception] = []
        self.failed: list[FailedAttempt] = []
        self._passed_over: list[FailedAttempt] = []
        self._outgrown: int | None = None
        now = context.clock.now()
        self._late = [choice for choice in choices if choice.held_out.until > now]
        self._order = [*(each for each in choices if each not in self._late), *self._late]

    def __iter__(self) -> Iterator[Choice]:
        for choice in self._order:
            if self._has_no_time_for(choice):
                raise self.error()
            if self._outgrown is None or not self._is_too_small(choice, self._outgrown):
                if choice in self._late:
                    self._late.remove(choice)
                yield choice

    def _has_no_time_for(self, choice: Choice) -> bool:
        if not self.errors or self._context.remaining_seconds() != 0.0:
            return False
        note_once(self.errors[-1], f"no time was left for {choice.name!r}")
        return True

    # --------------------------------------------------------------------------- what came of one

    def add_error(self, choice: Choice, error: Exception) -> None:
        """Keep the error of a choice; raise it when it is none to go on after."""
        add_place(error, choice.place)
        if not self._policy.falls_through(error):
            for earlier in self.failed:
                note_once(error, f"before that, {earlier.choice!r} failed: {earlier.reason}")
            raise error
        self.errors.append(error)
        self._add(choice, f"{type(error).__name__}: {error}", type(error).__name__)
        self._hold_out(choice, error)
        if isinstance(error, ContextLengthError):
            self._outgrown = _outgrown(self._outgrown, choice)

    def objects_to(self, choice: Choice, result: Any) -> bool:
        """Tell whether another choice shall answer instead; keep why."""
        objection = self._policy.objection(result)
        if objection is not None:
            self._add(choice, objection, objection)
        return objection is not None

    def _add(self, choice: Choice, reason: str, kind: str) -> None:
        self.failed.append(FailedAttempt(choice.name, reason))
        tell("fallback", choice.name, reason=kind)

    def _hold_out(self, choice: Choice, error: Exception) -> None:
        seconds, kind = self._policy.hold_out_seconds, type(error).__name__
        if seconds is None:
            return
        if isinstance(error, _LASTING):
            tell("held_out", choice.name, reason=kind)
            _log.error(
                "%s failed with %s and is tried last for %g s: another try will not mend it",
                choice.name,
                kind,
                seconds,
                extra={"correlation_id": self._context.correlation_id},
            )
        elif (asked := retry_after(error)) is not None and getattr(error, "status", None) == 429:
            seconds = asked
        else:
            return
        choice.held_out.hold(seconds, kind, self._context.clock)

    def _is_too_small(self, choice: Choice, outgrown: int) -> bool:
        windows = _windows(choice.primitive)
        if all(window is not None and window > outgrown for window in windows):
            return False
        told = ", ".join("unknown" if each is None else f"{each} tokens" for each in windows)
        reason = f"passed over: its context window ({told}) is not known to be larger"
        self._add(choice, reason, "context window")
        self._passed_over.append(self.failed[-1])
        return True

    # -------------------------------------------------------------------------------- in the end

    def signed(self, answer: Any, choice: Choice) -> Any:
        """Say on the span and on the answer which choice it is from, and why not from others."""
        choice.held_out.release()
        if configured():
            trace.get_current_span().set_attribute(names.CHOICE, choice.name)
        failed = (*map(self._waiting, self._late), *self.failed)
        if failed and isinstance(answer, (ChatResponse, Finish)):
            return replace(answer, failed_attempts=(*failed, *answer.failed_attempts))
        return answer

    def _waiting(self, choice: Choice) -> FailedAttempt:
        seconds, why = choice.held_out.left(self._context.clock.now()), choice.held_out.reason
        return FailedAttempt(choice.name, f"to be tried last for {seconds:.3g} s after {why}")

    def error(self) -> Exception:
        """Give the error when nothing answered: the only one, or a group of them."""
        error, *others = self.errors
        if others and not all(isinstance(each, BudgetExceededError) for each in self.errors):
            tried = f"{len(self.errors)} of {self._total} choices were tried and failed"
            error = AllFailedError(tried, self.errors)
        for each in self._passed_over:
            note_once(error, f"{each.choice!r} was {each.reason}")
        return error


def _outgrown(before: int | None, choice: Choice) -> int:
    """Give the largest window that the input is known not to fit; 0 when none is known."""
    known = [window for window in _windows(choice.primitive) if window is not None]
    return max([before or 0, *known])


def _windows(primitive: WorkflowPrimitive[Any, Any]) -> list[int | None]:
    """Give the context windows of the models in a step, None for each that is unknown."""
    if hasattr(primitive, "info") and hasattr(primitive, "provider"):
        return [getattr(primitive.info, "context_window", None)]
    return [window for _, child in primitive.children() for window in _windows(child)]
