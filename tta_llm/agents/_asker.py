"""How an agent asks its model, and what it shows of the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from tta_llm.agents._purse import Purse
from tta_llm.agents._run import Run
from tta_llm.agents._setup import Setup
from tta_llm.agents.agent_response import StopReason
from tta_llm.agents.tools import Tool
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Message,
    ProgressEvent,
    ReasoningDelta,
    ResponseBuilder,
    StreamEvent,
    StreamRestart,
    TextDelta,
    ToolCall,
    WholeResponse,
    assistant,
    events_of,
    joined,
    system,
)
from tta_llm.providers.structured import StructuredOutputError, asked_again

__all__ = ["Asker", "Emit", "Stopped", "without_calls"]

Emit: TypeAlias = Callable[[StreamEvent], None]


class Stopped(Exception):  # noqa: N818  # no error: it ends the loop
    """The run has come to a limit."""

    def __init__(self, reason: StopReason, why: str) -> None:
        super().__init__(why)
        self.reason: StopReason = reason
        self.why = why


class Asker:
    """Asks the model of one run.

    Args:
        setup: The agent.
        run: What was said so far.
        purse: What it may cost.
        emit: Takes the events of the answer; None when nobody wants them.
    """

    def __init__(self, setup: Setup, run: Run, purse: Purse, emit: Emit | None) -> None:
        self._setup, self._run, self._purse, self._emit = setup, run, purse, emit
        self.may: Mapping[str, Tool] = {}
        """The tools that the model is shown."""
        self.is_shown = False
        """Whether anything of an answer was shown and not taken back."""

    def request(self, *more: Message, final: bool = False) -> ChatRequest:
        """Give what the model is asked now; at the end, without tools and in the form asked for."""
        setup, run = self._setup, self._run
        rules = [system(setup.instructions)] if setup.instructions else []
        tools = tuple(tool.definition for tool in self.may.values())
        return replace(
            run.request,
            messages=(*rules, *run.request.messages, *run.told(), *more),
            tools=tools,
            tool_choice="none" if final and tools else None,
            response_format=setup.response_format if final or not tools else None,
        )

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """Ask the model; again, when its answer is not in the form that was asked for."""
        left = self._setup.policy.limits.max_reasks
        while True:
            self._run.steps += 1
            try:
                answer = await self._ask_once(request)
            except StructuredOutputError as error:
                if error.cut_short or not left:
                    raise Stopped("answer_format", str(error)) from error
                request, left = asked_again(request, error), left - 1
                self.take_back("the answer was not in the form asked for")
            else:
                self._run.answer = replace(answer, raw=None)
                self._purse.note(answer)
                return answer

    async def _ask_once(self, request: ChatRequest) -> ChatResponse:
        model, context = self._setup.model, self._purse.context
        if self._emit is None:
            return await model.execute(request, context)
        builder, whole = ResponseBuilder(), None
        async with aclosing(model.stream(request, context)) as pieces:
            async for piece in pieces:
                if isinstance(piece, ChatResponse):  # it came in one piece
                    whole = piece
                for event in (piece,) if whole is None else events_of(whole):
                    builder.add(event)
                    self._pass_on(event, self._emit)
        return builder.build() if whole is None else whole

    def _pass_on(self, event: StreamEvent, emit: Emit) -> None:
        """Show those of the model's events that are the agent's, too."""
        if isinstance(event, (TextDelta, ReasoningDelta)):
            self.is_shown = True
            emit(event)
        elif isinstance(event, StreamRestart):
            self.is_shown = False
            emit(event)
        elif isinstance(event, ProgressEvent) and not isinstance(event, WholeResponse):
            emit(event)

    def take_back(self, reason: str) -> None:
        """Take back what was shown, if anything was."""
        if self._emit is not None and self.is_shown:
            self._emit(StreamRestart(self._setup.name, reason))
        self.is_shown = False


def without_calls(answer: ChatResponse) -> ChatResponse:
    """Give what an answer says, without what it asks for."""
    if not answer.tool_calls:
        return answer
    said = joined(part for part in answer.message.parts if not isinstance(part, ToolCall))
    return replace(answer, message=assistant(said), finish_reason="stop")
