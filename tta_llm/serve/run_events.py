"""The pieces of an answer as the events of `POST /run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tta_llm.core import WorkflowContext
from tta_llm.messages import (
    ChatResponse,
    Finish,
    ReasoningDelta,
    ResponseBuilder,
    StreamRestart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolFinished,
    ToolStarted,
    UsageEvent,
    WholeResponse,
)
from tta_llm.serve.figures import attempts, cost, reason, usage
from tta_llm.serve.sse import frame

__all__ = ["Telling", "told"]


class Telling:
    """Tells of a stream as it comes, and remembers what its end must say.

    Args:
        context: The request's.
    """

    def __init__(self, context: WorkflowContext) -> None:
        self._context = context
        self._builder = ResponseBuilder()
        self._citations: list[dict[str, Any]] = []
        self._end: Any = None

    def frame(self, event: Any) -> bytes | None:
        """Give the event to send for this piece; None for none.

        Raises:
            TypeError: When it is no piece of a chat.
        """
        self._builder.add(event)
        match event:
            case TextDelta():
                return frame("text", {"text": event.text}) if event.text else None
            case ReasoningDelta():
                return frame("reasoning", {"text": event.text}) if event.text else None
            case StreamRestart():
                self._citations.clear()
                return frame("restart", {"choice": event.choice, "reason": reason(event.reason)})
            case ToolStarted() | ToolFinished():
                return frame("tool", _tool(event))
            case ToolCallDelta() | UsageEvent() | Finish():
                return None
            case _:
                return self._progress(event)

    def _progress(self, event: Any) -> bytes | None:
        """Tell of a step's own event, by what it has."""
        if (citation := getattr(event, "citation", None)) is not None:
            self._citations.append(_citation(citation))
            return frame("citation", self._citations[-1])
        if isinstance(event, WholeResponse):
            self._end = event.response
        return None

    def done(self, seconds: float) -> bytes:
        """Give the last event.

        Raises:
            InvalidResponseError: When the stream ended too early.
        """
        response = self._builder.build()
        end = told(self._end or response, self._context, seconds)
        return frame("done", {**end, "citations": end["citations"] or self._citations})


def told(response: ChatResponse, context: WorkflowContext, seconds: float) -> dict[str, Any]:
    """Give a whole answer with its figures."""
    answer = getattr(response, "answer", None)
    pending = getattr(response, "pending", None) or response.tool_calls
    return {
        "text": response.text,
        "model": response.model,
        "provider": response.provider,
        "finish_reason": response.finish_reason,
        "cost_usd": cost(context, response),
        "usage": usage(response.usage),
        "seconds": round(seconds, 3),
        "failed_attempts": attempts(response.failed_attempts),
        "notes": list(getattr(answer, "notes", ())),
        "citations": [_citation(each) for each in getattr(answer, "citations", ())],
        "stopped_by": getattr(response, "stopped_by", None),
        "run_id": getattr(response, "run_id", None),
        "pending": [_call(each) for each in pending],
    }


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": dict(call.arguments)}


def _tool(event: ToolStarted | ToolFinished) -> Mapping[str, Any]:
    if isinstance(event, ToolStarted):
        return {**_call(event.call), "state": "started", "is_error": False, "seconds": None}
    return {
        "id": event.call.id,
        "name": event.call.name,
        "state": "finished",
        "is_error": event.result.is_error,
        "seconds": round(event.seconds, 3),
    }


def _citation(citation: Any) -> dict[str, Any]:
    return {
        "number": citation.number,
        "quote": citation.quote,
        "claim": citation.claim,
        "path": citation.path,
        "title": citation.title,
        "headings": list(citation.headings),
        "location": citation.location,
        "line_start": citation.line_start,
        "line_end": citation.line_end,
        "page": citation.page,
        "problem": citation.problem,
    }
