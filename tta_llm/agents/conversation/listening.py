"""What a stream said so far, as the messages that a turn keeps."""

from __future__ import annotations

from tta_llm.agents.agent_response import AgentResponse
from tta_llm.messages import (
    ChatResponse,
    Finish,
    Message,
    ResponseBuilder,
    StreamEvent,
    ToolCall,
    ToolFinished,
    ToolResult,
    WholeResponse,
    assistant,
    tool,
)

__all__ = ["Listener", "said_in", "waiting_run"]


def said_in(response: ChatResponse) -> tuple[Message, ...]:
    """Give all messages of an answer: those of an agent's run, or the one there is."""
    said = response.new_messages if isinstance(response, AgentResponse) else ()
    return said or (response.message,)


def waiting_run(response: ChatResponse | None) -> str | None:
    """Name the run that waits for a person's word, and can be taken up afterwards."""
    if isinstance(response, AgentResponse) and response.stopped_by == "confirmation":
        return response.run_id
    return None


class Listener:
    """Follows a stream's events."""

    def __init__(self) -> None:
        self._builder = ResponseBuilder()
        self._calls: list[tuple[ToolCall, ToolResult]] = []
        self.whole: ChatResponse | None = None
        """The answer with all that belongs to it, where the stream tells it."""

    @property
    def finish(self) -> Finish:
        """The end of the answer.

        Raises:
            InvalidResponseError: It has not come.
        """
        self._builder.build()
        assert self._builder.finish is not None
        return self._builder.finish

    def add(self, event: StreamEvent) -> None:
        """Take the next event."""
        self._builder.add(event)
        if isinstance(event, ToolFinished):
            self._calls.append((event.call, event.result))
        if isinstance(event, WholeResponse):
            self.whole = event.response

    def said(self) -> tuple[Message, ...]:
        """The whole answer, with the tools that were called for it."""
        if self.whole is not None:
            return said_in(self.whole)
        return (*self._tools(), self._builder.message())

    def said_so_far(self) -> tuple[Message, ...]:
        """What there is of an answer that broke off; calls that were not made are left out."""
        text = self._builder.text
        return (*self._tools(), *([assistant(text)] if text else []))

    def _tools(self) -> list[Message]:
        messages = []
        for call, result in self._calls:
            messages += [assistant((call,)), tool(result)]
        return messages
