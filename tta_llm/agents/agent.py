"""The agent: a model that may call tools until it has an answer."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from tta_llm.agents._checkpoints import Checkpoints
from tta_llm.agents._plan import Allow, Policy
from tta_llm.agents._runner import Runner, events_of_run
from tta_llm.agents._setup import Setup
from tta_llm.agents.agent_response import AgentResponse
from tta_llm.agents.confirmation import ConfirmHook, Decision
from tta_llm.agents.limits import AgentLimits
from tta_llm.agents.tools import Tool, tool
from tta_llm.core import WorkflowContext, WorkflowPrimitive, as_step
from tta_llm.core._checks import listed, one_of, positive
from tta_llm.errors import CompositionError
from tta_llm.messages import ChatInput, ChatResponse
from tta_llm.observability import SpanDetails
from tta_llm.performance import CacheStore

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Agent"]

_WEEK = 7 * 24 * 3600.0


class Agent(WorkflowPrimitive[ChatInput, AgentResponse]):
    """Asks a model, calls the tools that it asks for, and tells it the results, until it answers.

    What goes wrong by the model's fault (an unknown tool, wrong arguments, a tool that failed) is
    told to it, so that it can mend it. `limits` end whatever it does for ever. What it reads from
    tools that are `untrusted`, from documents and from pictures may hold orders of others: from
    then on each tool that is not `idempotent` waits for a person's word, as those do that need it
    anyway. The model's own errors are raised as they are; a fallback belongs around the model.

    Without `confirm`, or where that gives None, a run that needs a person's word stops with
    `stopped_by="confirmation"`, after the other calls of that step were made. With `checkpoints`
    it can then be taken up by `resume`, as can one that was cancelled or whose process died.

    Args:
        model: A chat model, or any step that stands in for one.
        tools: What it may call: tools, or functions that `tool` makes tools of.
        instructions: How it is to behave; they stand before what it is asked.
        limits: How far it may go.
        allow: Which tools a request may use: their names, or a function of a tool and the context.
            Others are not shown to the model.
        confirm: Is asked, one call after the other, for a person's word; sync or async.
        trust_results: Whether to go on without a person's word after something untrusted was read.
        response_format: A pydantic model that the answer must fit; `parsed` holds it.
        on_limit: What happens at a limit: `"answer"` asks the model once more, without tools, if
            time and money allow it, and raises where it gives none; `"raise"` raises at once.
        checkpoints: Where runs are kept; any store of a cache. A store that drops the run for want
            of room ends what can be resumed, so give it one of its own. Prompts and results lie in
            it as they are.
        keep_seconds: How long a run is kept after its last step.
        lease_seconds: How long a run whose process died is left to it, before another may take it.
        name: What spans and errors call it.

    Raises:
        CompositionError: When two tools have the same name, or something is no tool.
        AgentLimitError: From `execute` and `stream`, at a limit.
        InvalidRequestError: From both, when the request brings tools of its own.

    Example:
        ```python
        from tta_llm.agents import Agent, tool
        from tta_llm.messages import ToolCall, assistant
        from tta_llm.testing import FakeChatModel

        @tool(idempotent=True)
        def temperature(city: str) -> str:
            "Tell how warm it is in a city."
            return f"21 degrees in {city}"

        call = assistant([ToolCall("1", "temperature", {"city": "Rome"})])
        agent = Agent(FakeChatModel([call, "It is 21 degrees."]), [temperature])
        response = agent.run("How warm is it in Rome?")
        assert response.text == "It is 21 degrees." and response.tool_calls_made == 1
        ```
    """

    def __init__(
        self,
        model: WorkflowPrimitive[ChatInput, ChatResponse],
        tools: Sequence[Tool | Callable[..., Any]] = (),
        *,
        instructions: str = "",
        limits: AgentLimits | None = None,
        allow: Allow | None = None,
        confirm: ConfirmHook | None = None,
        trust_results: bool = False,
        response_format: type[BaseModel] | None = None,
        on_limit: Literal["answer", "raise"] = "answer",
        checkpoints: CacheStore | None = None,
        keep_seconds: float = _WEEK,
        lease_seconds: float = 5.0,
        name: str = "agent",
    ) -> None:
        super().__init__(name=name)
        if isinstance(allow, str):
            raise TypeError(f"allow is a list of tools' names: write [{allow!r}]")
        self.model: WorkflowPrimitive[ChatInput, ChatResponse] = as_step(model)
        self.tools: tuple[Tool, ...] = tuple(map(_as_tool, listed(tools, "tools")))
        self.limits: AgentLimits = AgentLimits() if limits is None else limits
        self.response_format = response_format
        setup = Setup(
            self.name,
            self.model,
            _by_name(self.tools),
            instructions,
            Policy(self.limits, confirm, trust_results),
            allow,
            response_format,
            one_of(("answer", "raise"), on_limit, "on_limit"),
        )
        kept = (positive(keep_seconds, "keep_seconds"), positive(lease_seconds, "lease_seconds"))
        self._runner = Runner(
            setup, None if checkpoints is None else Checkpoints(checkpoints, self.name, *kept)
        )

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> AgentResponse:
        """Work until there is an answer."""
        return await self._runner.begin(input_data, context)

    async def stream(
        self, input_data: ChatInput, context: WorkflowContext
    ) -> AsyncGenerator[Any, None]:
        """Yield the answer's events, and which tools are called meanwhile.

        What the model says before it calls tools is taken back by a StreamRestart. An
        `WholeResponse` near the end holds what `execute` gives.
        """
        work = functools.partial(self._runner.begin, input_data, context)
        async with aclosing(events_of_run(work)) as events:
            async for event in events:
                yield event

    async def resume(
        self,
        run_id: str,
        context: WorkflowContext,
        *,
        decisions: Mapping[str, Decision] | None = None,
    ) -> AgentResponse:
        """Go on with a run, without doing anything again that was done.

        A call that was under way when the run broke off is made again if its tool is `idempotent`,
        or if a decision says so. Of any other the model is told that nobody knows whether it was
        carried out. A run that has finished gives its answer again. If somebody else works on the
        run, it waits for a while.

        Args:
            run_id: As the response tells it, or as `context.data["run_id"]` gave it.
            context: Of the same tenant as the run's. Time limits begin anew; money and tokens count
                on.
            decisions: By the id of a call: True to make it, False or the reason not to, or the
                arguments to make it with instead.

        Raises:
            AgentRunError: When there is no such run for this tenant, or somebody works on it.
            AgentLimitError: As from `execute`.
        """
        return await _Resumption(self._runner, run_id, decisions or {}).execute(None, context)

    def stream_resumed(
        self,
        run_id: str,
        context: WorkflowContext,
        *,
        decisions: Mapping[str, Decision] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Go on with a run as `resume` does, and yield what `stream` does."""
        return _Resumption(self._runner, run_id, decisions or {}).stream(None, context)

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The model and the tools."""
        return [("model", self.model), *((f"tool {each.name}", each) for each in self.tools)]

    def _span_details(self) -> SpanDetails:
        return self._runner.span_details()


class _Resumption(WorkflowPrimitive[None, AgentResponse]):
    """A run taken up, as a step: so it has the agent's span, and the request's clock."""

    def __init__(self, runner: Runner, run_id: str, decisions: Mapping[str, Decision]) -> None:
        super().__init__(name=runner.setup.name)
        self._runner, self._run_id, self._decisions = runner, run_id, decisions

    async def execute(self, input_data: None, context: WorkflowContext) -> AgentResponse:
        return await self._runner.take_up(self._run_id, self._decisions, context)

    async def stream(self, input_data: None, context: WorkflowContext) -> AsyncGenerator[Any, None]:
        work = functools.partial(self._runner.take_up, self._run_id, self._decisions, context)
        async with aclosing(events_of_run(work)) as events:
            async for event in events:
                yield event

    def _span_details(self) -> SpanDetails:
        return self._runner.span_details()


def _as_tool(thing: Any) -> Tool:
    if isinstance(thing, Tool):
        return thing
    if isinstance(thing, WorkflowPrimitive):
        raise CompositionError(
            f"{thing.name!r} is no tool: as_tool(step, name=..., description=...) makes one of it"
        )
    return tool(thing)


def _by_name(tools: Sequence[Tool]) -> dict[str, Tool]:
    named: dict[str, Tool] = {}
    for each in tools:
        if each.name in named:
            raise CompositionError(f"two tools are called {each.name!r}: give one another name")
        named[each.name] = each
    return named
