"""What an agent answers, and what that took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tta_llm.messages import ChatResponse, Message, ToolCall

__all__ = ["AgentResponse", "StopReason"]

StopReason: TypeAlias = Literal[
    "steps",
    "tool_calls",
    "cost",
    "tokens",
    "time",
    "repetition",
    "unknown_tool",
    "denied",
    "answer_format",
    "depth",
    "confirmation",
]
"""Which limit ended a run: those of `AgentLimits`; tools again and again that there are not, or
that may not be called; an answer that doesn't fit; or calls that wait for a person's word."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AgentResponse(ChatResponse):
    """An agent's whole answer. Its usage and cost are those of all the run.

    Args:
        new_messages: All that was said in the run, calls and results included, in the order in
            which a model may be given it again; the last one is `message`.
        steps: How often the model was asked.
        tool_calls_made: How many tools were called.
        stopped_by: What ended the run before the model was done; None when it was.
        pending: The calls that wait for a person's word.
        run_id: By which name the run can be taken up; None when nothing of it is kept.

    Example:
        ```python
        from tta_llm.agents import Agent
        from tta_llm.testing import FakeChatModel

        response = Agent(FakeChatModel("Hello.")).run("Hi!")
        assert (response.text, response.steps, response.stopped_by) == ("Hello.", 1, None)
        ```
    """

    new_messages: tuple[Message, ...] = ()
    steps: int = 0
    tool_calls_made: int = 0
    stopped_by: StopReason | None = None
    pending: tuple[ToolCall, ...] = ()
    run_id: str | None = None

    def __repr__(self) -> str:
        stopped = "" if self.stopped_by is None else f", stopped_by={self.stopped_by!r}"
        return (
            f"AgentResponse({self.provider}:{self.model}, {len(self.text)} chars, "
            f"{self.steps} steps, {self.tool_calls_made} tool calls{stopped})"
        )
