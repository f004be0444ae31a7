"""Answers in OpenAI's form, whole and in pieces."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from tta_llm.core import WorkflowContext
from tta_llm.errors import InvalidResponseError
from tta_llm.messages import (
    ChatResponse,
    FinishReason,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    ResponseBuilder,
    StreamRestart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from tta_llm.serve.faults import RefusedError
from tta_llm.serve.figures import attempts, cost
from tta_llm.serve.openai_requests import CompletionRequest

__all__ = ["Chunks", "completion"]

_FINISH: dict[FinishReason, str] = {"refusal": "stop", "other": "stop"}
_COMMENTARY = "tools are called"
"""How an agent says that what it wrote so far was not its answer yet."""


def completion(
    asked: CompletionRequest, response: ChatResponse, context: WorkflowContext
) -> dict[str, Any]:
    """Give a whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": response.text, "refusal": None}
    if response.finish_reason == "refusal":
        message |= {"content": None, "refusal": response.text}
    calls = response.tool_calls[:1] if asked.one_call else response.tool_calls
    if calls:
        message |= {"content": response.text or None, "tool_calls": [_call(each) for each in calls]}
    if thoughts := "".join(
        part.text for part in response.message.parts if isinstance(part, ReasoningPart)
    ):
        message["tta"] = {"reasoning": thoughts}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _end(response)}
    told = {"choices": [choice], "usage": _usage(response.usage), "tta": _own(response, context)}
    return {**_head("chat.completion", asked.model), **told}


class Chunks:
    """Makes the chunks of a stream of its events.

    Args:
        asked: The request.
        context: Its context.
        may_restart: Whether a restart after some text is passed over.
    """

    def __init__(
        self, asked: CompletionRequest, context: WorkflowContext, *, may_restart: bool
    ) -> None:
        self._asked, self._context, self._may_restart = asked, context, may_restart
        self._head = _head("chat.completion.chunk", asked.model)
        self._builder = ResponseBuilder()
        self._said = False

    def of(self, event: Any) -> Iterator[dict[str, Any]]:
        """Give the chunks for the next event.

        Raises:
            RefusedError: When the answer began anew after some of it was sent.
        """
        self._builder.add(event)
        match event:
            case StreamRestart():
                yield from self._restart(event)
            case RefusalDelta():
                yield from self._delta({"refusal": event.text} if event.text else {})
            case TextDelta():
                yield from self._delta({"content": event.text} if event.text else {})
            case ToolCallDelta():
                if not (self._asked.one_call and event.index):
                    yield from self._delta({"tool_calls": [_call_delta(event)]})
            case ReasoningDelta():
                yield from self._delta({"tta": {"reasoning": event.text}} if event.text else {})
            case _:
                pass

    def _restart(self, event: StreamRestart) -> Iterator[dict[str, Any]]:
        if not self._said:
            return
        if not self._may_restart and not event.reason.startswith(_COMMENTARY):
            raise RefusedError(
                502, "answer_restarted", "The answer broke off, and what was sent can't go on."
            )
        yield from self._delta({"content": "\n\n"})

    def end(self) -> Iterator[dict[str, Any]]:
        """Give the last chunks.

        Raises:
            InvalidResponseError: When the stream ended too early.
        """
        if self._builder.finish is None:
            raise InvalidResponseError("the stream ended without its finish event")
        response = self._builder.build()
        own = {"tta": _own(response, self._context)}
        first = {} if self._said else {"role": "assistant", "content": ""}
        yield self._chunk(first, _end(response), **own)
        if self._asked.include_usage:
            yield {**self._head, "choices": [], "usage": _usage(response.usage)}

    def _delta(self, delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not delta:
            return
        if not self._said:
            self._said = True
            delta = {"role": "assistant", **delta}
        yield self._chunk(delta, None)

    def _chunk(self, delta: dict[str, Any], finish: str | None, **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._asked.include_usage else {}
        return {**self._head, "choices": [choice], **usage, **more}


def _head(kind: str, model: str) -> dict[str, Any]:
    made = {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind}
    return {**made, "created": int(time.time()), "model": model}


def _end(response: ChatResponse) -> str:
    return _FINISH.get(response.finish_reason, response.finish_reason)


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    own = {} if call.signature is None else {"tta": {"signature": call.signature}}
    return {"id": call.id, "type": "function", "function": function, **own}


def _call_delta(event: ToolCallDelta) -> dict[str, Any]:
    function = {"arguments": event.arguments}
    delta: dict[str, Any] = {"index": event.index, "function": function}
    if event.name is not None:
        function["name"] = event.name
    if event.id is not None:
        delta |= {"id": event.id, "type": "function"}
    if event.signature is not None:
        delta["tta"] = {"signature": event.signature}
    return delta


def _usage(used: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.total_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }


def _own(response: ChatResponse, context: WorkflowContext) -> dict[str, Any]:
    """Give what OpenAI's form has no place for."""
    return {
        "provider": response.provider,
        "model": response.model,
        "finish_reason": response.finish_reason,
        "cost_usd": cost(context, response),
        "failed_attempts": attempts(response.failed_attempts),
        "correlation_id": context.correlation_id,
    }
