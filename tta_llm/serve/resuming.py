"""`POST /runs/{run_id}`: a person's word on the calls that a run of an agent waits with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.messages import ChatInput, ChatResponse, StreamEvent, WholeResponse
from tta_llm.serve.exchange import Exchange
from tta_llm.serve.faults import RefusedError
from tta_llm.serve.run import Run
from tta_llm.serve.workflows import ChatStep, Served

__all__ = ["Resume"]


class Resume(Run):
    """`POST /runs/{run_id}` with `{"decisions": {call_id: true | false}}`; else as `/run`.

    It goes on with a run of the same tenant, where the workflow is an agent, or holds one directly.
    A conversation keeps the word as what the person said, in `input` if the client tells, and what
    came of it as the answer.
    """

    async def answer(self, exchange: Exchange, body: dict[str, Any]) -> None:
        """Take up the run."""
        served, decisions = self._asked(body), _decisions(body)
        run_id = exchange.scope["path_params"]["run_id"]
        chat = _resumed(served, run_id, decisions)
        said = body.get("input", _words(decisions))
        await self._chat(exchange, body, replace(served, chat=chat), said)


class _Resumption(WorkflowPrimitive[ChatInput, ChatResponse]):
    """Goes on with a run, whatever is said."""

    def __init__(self, agent: Any, run_id: str, decisions: Mapping[str, bool]) -> None:
        super().__init__(name=agent.name)
        self._agent, self._run_id, self._decisions = agent, run_id, decisions

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        return _as_turn(await self._agent.resume(self._run_id, context, decisions=self._decisions))

    async def stream(
        self, input_data: ChatInput, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        run = self._agent.stream_resumed(self._run_id, context, decisions=self._decisions)
        async with aclosing(run) as events:
            async for event in events:
                is_whole = isinstance(event, WholeResponse)
                yield WholeResponse(_as_turn(event.response)) if is_whole else event

    def children(self) -> list[tuple[str, WorkflowPrimitive[Any, Any]]]:
        return [("agent", self._agent)]


def _as_turn(response: Any) -> ChatResponse:
    """Keep the end alone: an earlier turn has the calls, and their ids may stand there once."""
    kept: ChatResponse = replace(response, new_messages=(response.message,))
    return kept


def _resumed(served: Served, run_id: str, decisions: Mapping[str, bool]) -> ChatStep:
    workflow = served.workflow
    for agent in (workflow, *(inner for _, inner in workflow.children())):
        if hasattr(agent, "stream_resumed"):
            step = _Resumption(agent, run_id, decisions)
            answered_by = getattr(workflow, "answered_by", None)
            return step if answered_by is None else answered_by(step)
    raise RefusedError(404, "unknown_run", "This workflow has no runs that can be taken up.")


def _decisions(body: Mapping[str, Any]) -> dict[str, bool]:
    decisions = body.get("decisions")
    if isinstance(decisions, dict) and all(isinstance(each, bool) for each in decisions.values()):
        return decisions
    raise RefusedError(
        422, "invalid_decisions", "The decisions are {call_id: true or false}.", param="decisions"
    )


def _words(decisions: Mapping[str, bool]) -> str:
    told = {True: "I allow", False: "I refuse"}
    words = [f"{told[word]} {call_id}." for call_id, word in decisions.items()]
    return " ".join(words) or "Go on."
