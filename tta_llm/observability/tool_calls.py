"""What is told of a tool's call, by the GenAI conventions: on its span."""

from __future__ import annotations

import json

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from tta_llm.messages import ToolCall, ToolResult
from tta_llm.observability import conventions, names
from tta_llm.observability.contents import Capture, Contents
from tta_llm.observability.harmless import harmless
from tta_llm.observability.redaction import redacted
from tta_llm.observability.spans import SpanDetails
from tta_llm.observability.telemetry import configured, telemetry

__all__ = ["tell_tool_call", "tell_tool_result", "tool_details"]

_LONGEST = 1_000


def tool_details(name: str, description: str) -> SpanDetails:
    """Name the span of a tool's call as the conventions do."""
    return SpanDetails(
        f"{conventions.EXECUTE_TOOL} {name}",
        attributes={
            conventions.OPERATION: conventions.EXECUTE_TOOL,
            conventions.TOOL_NAME: name,
            conventions.TOOL_TYPE: "function",
            conventions.TOOL_DESCRIPTION: redacted(description)[:_LONGEST],
        },
    )


@harmless
def tell_tool_call(call: ToolCall) -> None:
    """Say on the current span which call it is; with what, only where contents may stand there."""
    span = _recording()
    if span is None:
        return
    span.set_attribute(conventions.TOOL_CALL_ID, redacted(str(call.id))[:_LONGEST])
    if Capture.SPAN in telemetry().capture:
        shown = Contents().arguments(call.arguments)
        text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
        span.set_attribute(conventions.TOOL_ARGUMENTS, text)


@harmless
def tell_tool_result(result: ToolResult, error_type: str | None) -> None:
    """Say on the current span how the call ended.

    Args:
        result: Stands there only where contents may.
        error_type: Why it failed; None when it did not.
    """
    span = _recording()
    if span is None:
        return
    if error_type is not None:
        span.set_attribute(names.ERROR_TYPE, error_type)
        span.set_status(Status(StatusCode.ERROR, error_type))
    if Capture.SPAN in telemetry().capture:
        span.set_attribute(conventions.TOOL_RESULT, Contents().fitting(result.content))


def _recording() -> Span | None:
    if not configured():
        return None
    span = trace.get_current_span()
    return span if span.is_recording() else None
