"""Beginning runs, and taking them up."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from opentelemetry import trace

from tta_llm.agents._asker import Emit
from tta_llm.agents._checkpoints import Checkpoints
from tta_llm.agents._loop import Loop
from tta_llm.agents._run import Run
from tta_llm.agents._setup import DEPTH, Setup
from tta_llm.agents.agent_response import AgentResponse
from tta_llm.agents.confirmation import Decision, checked, holds_untrusted
from tta_llm.agents.requester import session_of, tenant_of
from tta_llm.core import WorkflowContext
from tta_llm.core._tasks import end_tasks
from tta_llm.errors import AgentLimitError, AgentRunError, InvalidRequestError
from tta_llm.messages import ChatInput, ChatRequest, StreamEvent
from tta_llm.observability import SpanDetails, conventions, names

__all__ = ["RUN_ID", "Events", "Runner", "events_of_run"]

Events: TypeAlias = AsyncGenerator[StreamEvent, None]

RUN_ID = "run_id"
"""In a context's data: by which name the run of an agent with checkpoints is kept."""


class Runner:
    """Has the runs of one agent.

    Args:
        setup: The agent.
        checkpoints: Where its runs are kept.
    """

    def __init__(self, setup: Setup, checkpoints: Checkpoints | None) -> None:
        self.setup, self._checkpoints = setup, checkpoints

    def span_details(self) -> SpanDetails:
        """Name the span as the GenAI conventions do."""
        name = self.setup.name
        told = {
            conventions.OPERATION: conventions.INVOKE_AGENT,
            conventions.AGENT_NAME: name,
            names.PRIMITIVE_NAME: name,
        }
        return SpanDetails(f"{conventions.INVOKE_AGENT} {name}", attributes=told)

    async def begin(
        self, input_data: ChatInput, context: WorkflowContext, emit: Emit | None = None
    ) -> AgentResponse:
        """Begin a run and see it to its end."""
        run, setup = self._new_run(input_data, context)
        self._refuse_depth(run)
        if self._checkpoints is None:
            return await _work(Loop(setup, run, context, decisions={}, kept=None, emit=emit), run)
        run.run_id = _run_id(context)
        async with self._checkpoints.lease(run.run_id) as owner:
            await self._checkpoints.refuse_known(run.run_id)
            await self._checkpoints.save(run, owner)
            kept = self._checkpoints, owner
            return await _work(Loop(setup, run, context, decisions={}, kept=kept, emit=emit), run)

    async def take_up(
        self,
        run_id: str,
        decisions: Mapping[str, Decision],
        context: WorkflowContext,
        emit: Emit | None = None,
    ) -> AgentResponse:
        """Go on with a run, to its end or to where a person's word is needed."""
        if self._checkpoints is None:
            raise AgentRunError(
                f"the agent {self.setup.name!r} keeps no runs: give it checkpoints=", run_id
            )
        words = {
            key: word for key, each in decisions.items() if (word := checked(each)) is not None
        }
        tenant = tenant_of(context)
        await self._checkpoints.load(run_id, tenant)  # before it waits for its turn
        async with self._checkpoints.lease(run_id) as owner:
            run = await self._checkpoints.load(run_id, tenant)
            self._refuse_depth(run)
            self._refuse_other_format(run)
            kept = self._checkpoints, owner
            loop = Loop(self.setup, run, context, decisions=words, kept=kept, emit=emit)
            return await _work(loop, run)

    def _new_run(self, input_data: ChatInput, context: WorkflowContext) -> tuple[Run, Setup]:
        _tell({conventions.CONVERSATION: session_of(context)})
        request = ChatRequest.of(input_data)
        if request.tools or request.tool_choice is not None:
            raise InvalidRequestError(
                f"the agent {self.setup.name!r} has tools of its own: "
                "leave tools and tool_choice out of the request"
            )
        wanted = request.response_format or self.setup.response_format
        run = Run(
            run_id=None,
            tenant=tenant_of(context),
            request=replace(request, response_format=None),
            format_name=None if wanted is None else wanted.__name__,
            tainted=holds_untrusted(request.messages, self.setup.tools),
        )
        return run, replace(self.setup, response_format=wanted)

    def _refuse_depth(self, run: Run) -> None:
        most = self.setup.policy.limits.max_depth
        if DEPTH.get() >= most:
            raise AgentLimitError(
                f"the agent {self.setup.name!r} was not begun: {most} agents are around it "
                "already, which is its max_depth",
                "depth",
                run.response(None, stopped_by="depth"),
            )

    def _refuse_other_format(self, run: Run) -> None:
        mine = self.setup.response_format
        if run.format_name != (None if mine is None else mine.__name__):
            raise AgentRunError(
                f"the run {run.run_id!r} was asked for a {run.format_name}, and this agent has "
                f"the response_format {mine and mine.__name__}: give it the same one",
                run.run_id or "",
            )


async def _work(loop: Loop, run: Run) -> AgentResponse:
    """Have a run go on, and put on the span what it came to."""
    stopped: str | None = None
    try:
        response = await loop.work()
        stopped = response.stopped_by
    except AgentLimitError as error:
        stopped = error.reason
        raise
    finally:
        told = {names.AGENT_STEPS: run.steps, names.AGENT_CALLS: run.made}
        _tell({**told, names.AGENT_STOPPED: stopped, names.AGENT_RUN: run.run_id})
    return response


def _tell(attributes: Mapping[str, Any]) -> None:
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes({key: each for key, each in attributes.items() if each is not None})


def _run_id(context: WorkflowContext) -> str:
    """Give the name that the request wants for its run; runs within another have their own."""
    asked = context.data.get(RUN_ID)
    if asked is None or DEPTH.get():
        return secrets.token_urlsafe(16)
    if not isinstance(asked, str):
        raise TypeError(f"context.data[{RUN_ID!r}] is a string, not {type(asked).__name__}")
    return asked


async def events_of_run(work: Callable[[Emit], Awaitable[AgentResponse]]) -> Events:
    """Yield the events of a run as they come; closing stops the run."""
    news: asyncio.Queue[StreamEvent | None] = asyncio.Queue()

    async def run() -> None:
        await work(news.put_nowait)

    task = asyncio.create_task(run())
    task.add_done_callback(lambda _: news.put_nowait(None))
    try:
        while (event := await news.get()) is not None:
            yield event
    finally:
        await end_tasks([task])
    task.result()
