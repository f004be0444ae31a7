"""The workflows of a server, by the names that clients ask for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.messages import (
    ChatInput,
    ChatRequest,
    ChatResponse,
    Finish,
    StreamEvent,
    TextDelta,
    fold,
)
from tta_llm.serve.faults import RefusedError

__all__ = ["ChatStep", "Served", "TextChat", "named", "served"]

ChatStep = WorkflowPrimitive[ChatInput, ChatResponse]


@dataclass(frozen=True, slots=True)
class Served:
    """One workflow of a server.

    Args:
        name: What clients call it.
        workflow: As it was given.
        chat: The same as a step that one can chat with; None when it is of another kind.
    """

    name: str
    workflow: WorkflowPrimitive[Any, Any]
    chat: ChatStep | None


class TextChat(WorkflowPrimitive[ChatInput, ChatResponse]):
    """Chats with a workflow that takes one text, and gives a text or a model's answer.

    Args:
        workflow: From a text to a text or a `ChatResponse`.
    """

    def __init__(self, workflow: WorkflowPrimitive[Any, Any]) -> None:
        super().__init__(name=workflow.name)
        self.workflow = workflow

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        """Ask the workflow."""
        answer = await self.workflow.execute(_one_text(input_data), context)
        if isinstance(answer, ChatResponse):
            return answer
        return fold([TextDelta(str(answer)), _finish(self.name)])

    async def stream(
        self, input_data: ChatInput, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask the workflow and give its text as it comes."""
        texts = False
        async with aclosing(self.workflow.stream(_one_text(input_data), context)) as pieces:
            async for piece in pieces:
                texts = isinstance(piece, str)
                yield TextDelta(piece) if texts else piece
        if texts:
            yield _finish(self.name)

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The workflow."""
        return [("text", self.workflow)]


def _finish(name: str) -> Finish:
    return Finish(finish_reason="stop", model=name, provider="workflow")


def _one_text(input_data: ChatInput) -> str:
    request = ChatRequest.of(input_data)
    if len(request.messages) > 1 or request.tools or request.response_format:
        raise RefusedError(
            400, "one_text", "This workflow takes one message with a text, and nothing else."
        )
    return request.messages[0].text


def served(name: str, workflow: WorkflowPrimitive[Any, Any]) -> Served:
    """Say how a workflow is served, by what it takes and gives."""
    gives, takes = workflow.output_type, workflow.input_type
    if _is_answer(gives):
        # It loads all of rag, which who serves a model doesn't need.
        from tta_llm.agents import DocumentChat  # noqa: PLC0415

        return Served(name, workflow, DocumentChat(workflow))
    responds = isinstance(gives, type) and issubclass(gives, ChatResponse)
    if takes is str and (responds or gives is str):
        return Served(name, workflow, TextChat(workflow))
    return Served(name, workflow, workflow if responds else None)


def _is_answer(gives: Any) -> bool:
    if getattr(gives, "__name__", "") != "Answer":
        return False
    from tta_llm.rag import Answer  # noqa: PLC0415  # as above

    return gives is Answer


def named(
    workflows: WorkflowPrimitive[Any, Any] | Mapping[str, WorkflowPrimitive[Any, Any]],
) -> dict[str, Served]:
    """Give each workflow by its name; the first is asked when a client names none.

    Raises:
        ValueError: When there is none, or a name won't do.
        TypeError: When one is no workflow.
    """
    given = workflows if isinstance(workflows, Mapping) else {_name(workflows): workflows}
    if not given:
        raise ValueError("there is no workflow to serve: give one, or a mapping of names to them")
    for name, workflow in given.items():
        if not (name and name.strip() == name and name.isprintable()):
            raise ValueError(f"{name!r} can't name a workflow: give a string without blanks around")
        if not isinstance(workflow, WorkflowPrimitive):
            raise TypeError(_no_workflow(workflow))
    return {name: served(name, workflow) for name, workflow in given.items()}


def _name(workflow: Any) -> str:
    if not isinstance(workflow, WorkflowPrimitive):
        raise TypeError(_no_workflow(workflow))
    return workflow.name


def _no_workflow(thing: object) -> str:
    return f"a server serves workflows, and {type(thing).__name__} is none: wrap it with step()"
