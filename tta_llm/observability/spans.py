"""Beginning a step's span, where one is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from tta_llm.observability import names
from tta_llm.observability.contents import Capture
from tta_llm.observability.harmless import log_failure
from tta_llm.observability.logs import RunRecord, heard
from tta_llm.observability.scopes import Request, StepScope, current_step
from tta_llm.observability.telemetry import telemetry

__all__ = ["SpanDetails", "begin", "is_followed"]


class SpanDetails(NamedTuple):
    """How a primitive's span differs from others, as conventions ask of a model's."""

    name: str
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, AttributeValue] = {}


def is_followed(request: Request, parent: Span | None) -> bool:
    """Tell whether a step that begins here gets a span that somebody keeps, or is logged.

    Args:
        request: What it works for.
        parent: The span to nest the request's run under.
    """
    here = otel_context.get_current()
    around = current_step(here)
    # The quick way out: it is what a step of a run that the sampler dropped costs.
    if around is not None and around.is_silent and around.context is here and parent is None:
        return False
    has_tracer = telemetry().tracer is not None  # also makes the gauges, for whatever runs first
    return heard() or (has_tracer and not _is_dropped(around, here, request, parent))


def _is_dropped(
    around: StepScope | None, here: Context, request: Request, parent: Span | None
) -> bool:
    """Tell whether the span around is one of ours that nobody keeps: then so are those inside."""
    return (
        around is not None
        and around.is_dropped
        and (parent is None or around.request is request)
        and trace.get_current_span(here) is around.span  # not one that a step began by itself
    )


def begin(
    name: str,
    kind: str,
    details: SpanDetails | None,
    *,
    request: Request,
    parent: Span | None,
    outer: Context,
    outline: Callable[[], str],
) -> StepScope:
    """Begin a step under the one current in `outer`; a run's first, under `parent` if given.

    Args:
        name: Of the step.
        kind: The primitive's class.
        details: How its span differs from others.
        request: What it works for.
        parent: The span to nest the request's run under.
        outer: The context of OpenTelemetry's that it begins in.
        outline: Gives the workflow as JSON, for a run's first span; empty for none.
    """
    around = current_step(outer)
    if parent is not None and (around is None or around.request is not request):
        around, outer = None, trace.set_span_in_context(parent, outer)
    current = telemetry()
    if current.tracer is None or _is_dropped(around, outer, request, parent):
        span: Span = trace.NonRecordingSpan(trace.get_current_span(outer).get_span_context())
    else:
        span = _started(
            current.tracer, name, details, _attributes(kind, request, around, outline), outer
        )
        outer = trace.set_span_in_context(span, outer)
    run = (RunRecord() if heard() else None) if around is None else around.run
    may_tell = Capture.SPAN in current.capture
    return StepScope(name, span, outer, request=request, around=around, run=run, may_tell=may_tell)


def _attributes(
    kind: str, request: Request, around: StepScope | None, outline: Callable[[], str]
) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        names.PRIMITIVE: kind,
        names.CORRELATION_ID: request.correlation_id,
    }
    if request.workflow_id is not None:
        attributes[names.WORKFLOW_ID] = request.workflow_id
    if around is None:
        attributes[names.VERSION] = telemetry().version
        if workflow := outline():
            attributes[names.OUTLINE] = workflow
    elif around.retries:
        attributes[names.ATTEMPT] = around.retries + 1
    return attributes


def _started(
    tracer: Tracer,
    name: str,
    details: SpanDetails | None,
    attributes: dict[str, AttributeValue],
    outer: Context,
) -> Span:
    """Start the span; one that nobody keeps when the application's sampler or processor fails."""
    details = details or SpanDetails(name)
    if details.name != name:
        attributes[names.PRIMITIVE_NAME] = name
    attributes |= details.attributes
    try:
        return tracer.start_span(details.name, outer, details.kind, attributes)
    except Exception as error:
        log_failure(error)
        return trace.NonRecordingSpan(trace.get_current_span(outer).get_span_context())
