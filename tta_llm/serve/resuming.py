"""`POST /runs/{run_id}`: a person's word on the calls that a run of an agent waits with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeAlias

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.messages import ChatInput, ChatResponse, StreamEvent, WholeResponse
from tta_llm.serve.exchange import Exchange
from tta_llm.serve.faults import RefusedError
from tta_llm.serve.run import Run
from tta_llm.serve.workflows import ChatStep, Served

__all__ = ["Resume"]

_Amend: TypeAlias = Callable[[Any, WorkflowContext], Awaitable[bool]]


_NOTHING_NEW = "Go on."


class Resume(Run):
    """`POST /runs/{run_id}` with `{"decisions": {call_id: true | false}}`; else as `/run`.

    It goes on with a run of the same tenant, where the workflow is an agent, or holds one directly.
    A conversation then keeps what came of it in the turn that waited.
    """

    async def answer(self, exchange: Exchange, body: dict[str, Any]) -> None:
        """Take up the run."""
        served, decisions = self._asked(body), _decisions(body)
        run_id = exchange.scope["path_params"]["run_id"]
        chat = _resumed(served, run_id, decisions)
        await self._chat(exchange, body, replace(served, chat=chat), _NOTHING_NEW)


class _Resumption(WorkflowPrimitive[ChatInput, ChatResponse]):
    """Goes on with a run, whatever is said, and has the conversation keep what came of it."""

    def __init__(
        self, agent: Any, run_id: str, decisions: Mapping[str, bool], amend: _Amend | None
    ) -> None:
        super().__init__(name=agent.name)
        self._agent, self._run_id, self._decisions = agent, run_id, decisions
        self._amend = amend

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        response = await self._agent.resume(self._run_id, context, decisions=self._decisions)
        await self._keep(response, context)
        whole: ChatResponse = response
        return whole

    async def stream(
        self, input_data: ChatInput, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        run = self._agent.stream_resumed(self._run_id, context, decisions=self._decisions)
        async with aclosing(run) as events:
            async for event in events:
                if isinstance(event, WholeResponse):
                    await self._keep(event.response, context)
                yield event

    async def _keep(self, response: Any, context: WorkflowContext) -> None:
        if self._amend is not None:
            await self._amend(response, context)

    def children(self) -> list[tuple[str, WorkflowPrimitive[Any, Any]]]:
        return [("agent", self._agent)]


def _resumed(served: Served, run_id: str, decisions: Mapping[str, bool]) -> ChatStep:
    workflow = served.workflow
    for agent in (workflow, *(inner for _, inner in workflow.children())):
        if hasattr(agent, "stream_resumed"):
            return _Resumption(agent, run_id, decisions, getattr(workflow, "amend", None))
    raise RefusedError(404, "unknown_run", "This workflow has no runs that can be taken up.")


def _decisions(body: Mapping[str, Any]) -> dict[str, bool]:
    decisions = body.get("decisions")
    if isinstance(decisions, dict) and all(isinstance(each, bool) for each in decisions.values()):
        return decisions
    raise RefusedError(
        422, "invalid_decisions", "The decisions are {call_id: true or false}.", param="decisions"
    )
