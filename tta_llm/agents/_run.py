"""What is known of a run at any moment: all that is needed to go on with it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tta_llm.agents.agent_response import AgentResponse, StopReason
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Message,
    Part,
    ToolCall,
    ToolResult,
    Usage,
    assistant,
    joined,
    tool,
)

__all__ = ["Run", "key_of"]

_WAITS = "This was not called yet: it waits for a person's confirmation."
_BROKEN_OFF = "The run ended before this was called."


@dataclass(slots=True, kw_only=True)
class Run:
    """A run under way, stopped or finished.

    Args:
        run_id: Its name, where it is kept.
        tenant: Whose it is.
        request: What was asked, without its response format, which is code.
        format_name: That format's name.
    """

    run_id: str | None
    tenant: str
    request: ChatRequest
    format_name: str | None
    tainted: bool
    """Whether anything was read that may hold orders."""
    messages: list[Message] = field(default_factory=list)
    """What was said since the request."""
    calls: tuple[ToolCall, ...] = ()
    """Those of the last message, until all are answered."""
    results: dict[int, ToolResult] = field(default_factory=dict)
    """The answers to them so far."""
    begun: set[int] = field(default_factory=set)
    """Which of them were called."""
    steps: int = 0
    made: int = 0
    refused_steps: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    """How often each tool was called with the same arguments."""
    unsure: set[str] = field(default_factory=set)
    """Calls of which nobody knows whether they were carried out."""
    stop: StopReason | None = None
    why: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = 0.0
    answer: ChatResponse | None = None
    """The model's last one."""
    finished: AgentResponse | None = None

    def ends_by(self, reason: StopReason, why: str) -> None:
        """Say that the run ends once the calls at hand are answered; the first reason counts."""
        if self.stop is None:
            self.stop, self.why = reason, why

    def take(self, answer: ChatResponse) -> None:
        """Take an answer that asks for tools."""
        message = _with_own_ids(answer.message)
        self.messages.append(message)
        self.calls, self.results, self.begun = message.tool_calls, {}, set()

    def begin(self, index: int, call: ToolCall) -> None:
        """Say that a call is made now."""
        if index not in self.begun:
            self.begun.add(index)
            self.made += 1
            key = key_of(call)
            self.seen[key] = self.seen.get(key, 0) + 1

    def waiting(self) -> Iterator[tuple[int, ToolCall]]:
        """Give the calls that are not answered, each with its place."""
        return (each for each in enumerate(self.calls) if each[0] not in self.results)

    def close_step(self) -> None:
        """Put the results, in the order of the calls, among the messages."""
        self.messages.append(self._answered(_BROKEN_OFF))
        self.calls, self.results, self.begun = (), {}, set()

    def told(self) -> tuple[Message, ...]:
        """Give what was said, with an answer to each call, as models ask for it."""
        waits = _WAITS if self.stop is None else _BROKEN_OFF
        return (*self.messages, *([self._answered(waits)] if self.calls else []))

    def _answered(self, otherwise: str) -> Message:
        return tool(
            *(
                self.results.get(index)
                or ToolResult(call.id, otherwise, name=call.name, is_error=True)
                for index, call in enumerate(self.calls)
            )
        )

    def response(
        self,
        answer: ChatResponse | None,
        *,
        stopped_by: StopReason | None = None,
        pending: tuple[ToolCall, ...] = (),
    ) -> AgentResponse:
        """Give the answer as the agent's, with what the whole run took."""
        message = assistant("") if answer is None else answer.message
        ends = [message] if message.parts and message.content else []
        return AgentResponse(
            message=message,
            finish_reason="other" if answer is None else answer.finish_reason,
            usage=self.usage,
            model="" if answer is None else answer.model,
            provider="" if answer is None else answer.provider,
            parsed=None if answer is None else answer.parsed,
            cost_usd=self.cost_usd,
            request_id=None if answer is None else answer.request_id,
            failed_attempts=() if answer is None else answer.failed_attempts,
            rate_limits=None if answer is None else answer.rate_limits,
            cache_match=None if answer is None else answer.cache_match,
            new_messages=(*self.told(), *ends),
            steps=self.steps,
            tool_calls_made=self.made,
            stopped_by=stopped_by,
            pending=pending,
            run_id=self.run_id,
        )


def _with_own_ids(message: Message) -> Message:
    """Give each call an id of its own: a person's yes to one must not be a yes to another."""
    ids = [call.id for call in message.tool_calls]
    taken, seen, numbers = set(ids), set[str](), itertools.count(2)
    if len(taken) == len(ids):
        return message

    def own(part: Part) -> Part:
        if not isinstance(part, ToolCall):
            return part
        if part.id not in seen:
            seen.add(part.id)
            return part
        names = (f"{part.id}-{number}" for number in numbers)
        return replace(part, id=next(name for name in names if name not in taken))

    return Message(message.role, joined(map(own, message.parts)), cache=message.cache)


def key_of(call: ToolCall) -> str:
    """Give the same text for the same call."""
    return f"{call.name} {json.dumps(dict(call.arguments), sort_keys=True, default=str)}"
