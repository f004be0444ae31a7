"""What runs and steps tell in the standard `logging` tree, for whoever listens there.

The events are at INFO and DEBUG, below what Python shows by itself: an application that sets no
level hears nothing, and then they cost the question whether it listens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

if TYPE_CHECKING:
    from tta_llm.observability.scopes import StepScope

__all__ = ["RunRecord", "heard", "log_end", "log_event"]

_log = logging.getLogger("tta_llm.workflow")
_hears = _log.isEnabledFor

# What `isEnabledFor` found out by level, until a level changes: a step costs little more than the
# two calls behind `heard`. It is Python's own; without it, these are made each time.
known: dict[int, bool] = getattr(_log, "_cache", {})
"""Of each level, whether the application listens; what is missing is not known."""


def heard() -> bool:
    """Tell whether the application listens to the events of runs."""
    return _hears(logging.INFO)


class RunRecord:
    """What the end of a run tells of it."""

    __slots__ = ("steps_completed",)

    def __init__(self) -> None:
        self.steps_completed: int = 0


def log_event(
    event: str, step: StepScope | None, more: Mapping[str, Any], level: int = logging.INFO
) -> None:
    """Log an event, and where in which run it happened, as attributes of the record."""
    if _hears(level):
        record = _log.makeRecord(_log.name, level, __file__, 0, event, (), None)
        # Not by `extra=`, which refuses names that the application's own record factory sets.
        told = {**place_of(step), **more}
        known = {name: value for name, value in told.items() if value is not None}
        vars(record).update({**told, **vars(record), **known})
        _log.handle(record)


def place_of(step: StepScope | None) -> dict[str, Any]:
    """Give what a record says of the step that it is about; None stands for what is unknown."""
    span = trace.get_current_span() if step is None else step.span
    where = span.get_span_context()
    return {
        "correlation_id": step and step.request.correlation_id,
        "workflow_id": step and step.request.workflow_id,
        "trace_id": trace.format_trace_id(where.trace_id) if where.is_valid else None,
        "span_id": trace.format_span_id(where.span_id) if where.is_valid else None,
        "path": step and step.path,
    }


def log_end(step: StepScope, run: RunRecord) -> None:
    """Log that a step has ended; of a run's first, that the run has."""
    error = step.error_type
    outcome = "failed" if error else "cancelled" if step.is_cancelled else "complete"
    if outcome == "complete" and not step.has_inner:
        run.steps_completed += 1
    more: dict[str, Any] = {"duration_ms": round((time.perf_counter() - step.begun) * 1e3, 3)}
    if error:
        more["error_type"] = error
    log_event(f"step_{outcome}", step, more, logging.DEBUG)
    if step.is_first:
        more["steps_completed"] = run.steps_completed
        log_event(f"workflow_{outcome}", step, more)
