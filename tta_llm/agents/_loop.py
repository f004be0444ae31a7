"""The loop of an agent: the model is asked, its calls are made, until it has an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from tta_llm.agents._asker import Asker, Emit, Stopped, without_calls
from tta_llm.agents._calling import Caller
from tta_llm.agents._checkpoints import Checkpoints
from tta_llm.agents._plan import Planner, allowed
from tta_llm.agents._purse import Purse
from tta_llm.agents._run import Run
from tta_llm.agents._setup import Setup
from tta_llm.agents.agent_response import AgentResponse, StopReason
from tta_llm.agents.confirmation import Decision
from tta_llm.core import WorkflowContext
from tta_llm.errors import (
    AgentLimitError,
    AllFailedError,
    BudgetExceededError,
    DeadlineExceededError,
)
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Finish,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    WholeResponse,
    assistant,
    events_of,
    user,
)
from tta_llm.providers.structured import StructuredOutputError, parse_answer

__all__ = ["Loop"]

_LIMITS = (Stopped, BudgetExceededError, DeadlineExceededError, AllFailedError)
_AS_ASKED = "Give that answer again as JSON that fits the schema, and nothing else."
# So long may a last answer be, when it is tokens or money that there are too few of.
_SHORT_TOKENS = 512


class Loop:
    """One run, from where it stands to its end.

    Args:
        setup: The agent.
        run: Where it stands; it is kept up to date.
        context: The request.
        decisions: What people said of its calls.
        kept: Where it is kept, and under whose name.
        emit: Takes the events of a stream; None when nobody wants them.
    """

    def __init__(
        self,
        setup: Setup,
        run: Run,
        context: WorkflowContext,
        *,
        decisions: Mapping[str, Decision],
        kept: tuple[Checkpoints, str] | None,
        emit: Emit | None,
    ) -> None:
        self._setup, self._run, self._decisions = setup, run, decisions
        self._kept, self._emit = kept, emit
        self._purse = Purse(setup.policy.limits, run, context)
        self._context = self._purse.context
        self._asker = Asker(setup, run, self._purse, emit)
        self._caller = Caller(run, setup.policy.limits.max_parallel, emit, self._save)
        self._saving = asyncio.Lock()
        self._asked_to_save = self._saved = 0

    async def work(self) -> AgentResponse:
        """Work until there is an answer, or a person's word is needed."""
        if self._run.finished is not None:
            return self._show(self._run.finished)
        self._asker.may = await allowed(self._setup.tools, self._setup.allow, self._context)
        try:
            return await self._steps()
        except _LIMITS as error:
            stopped, cause = self._mine(error), error
        return await self._stop(stopped, cause)

    def _mine(self, error: Exception) -> Stopped:
        """Say which limit of this run's an error comes from; raise it when it is another's."""
        if isinstance(error, Stopped):
            return error
        if (reason := self._purse.reason_of(error)) is None:
            raise error
        return Stopped(reason, str(error))

    async def _steps(self) -> AgentResponse:
        run = self._run
        while True:
            if run.stop is not None and not run.calls:
                raise Stopped(run.stop, run.why)
            if not run.calls:
                answer = await self._asker.ask(self._asker.request())
                if not answer.tool_calls:
                    return await self._finish(answer)
                run.take(answer)
                self._asker.take_back(_told(answer.tool_calls))
                await self._save()
            if pending := await self._call_tools():
                return await self._wait_for_a_word(pending)

    async def _call_tools(self) -> tuple[ToolCall, ...]:
        """Make the calls of this step, but for those that wait for a person's word."""
        planner = Planner(
            self._run,
            self._setup.policy,
            tools=self._setup.tools,
            may=self._asker.may,
            decisions=self._decisions,
            context=self._context,
        )
        # Ids may come again: what was said of a call is not said of one in a later step.
        self._decisions = {}
        plan = await planner.plan()
        if plan.ready:
            await self._caller.make(plan.ready, self._context)
        if not plan.pending:
            self._run.close_step()
        return tuple(plan.pending)

    # -------------------------------------------------------------------------------- the end

    async def _finish(self, answer: ChatResponse) -> AgentResponse:
        wanted = self._setup.response_format
        if wanted is None or answer.parsed is not None:
            return await self._end(answer)
        try:
            parsed = parse_answer(answer.text, wanted, answer.finish_reason)
        except StructuredOutputError:
            self._asker.take_back("the answer is put into the form asked for")
            draft = [answer.message] if answer.text.strip() else []
            request = self._asker.request(*draft, user(_AS_ASKED), final=True)
            return await self._end(without_calls(await self._asker.ask(request)))
        return await self._end(replace(answer, parsed=parsed))

    async def _stop(self, stopped: Stopped, cause: Exception) -> AgentResponse:
        """End at a limit: by an answer without tools, or by an error."""
        self._asker.take_back(stopped.why)
        if self._setup.on_limit == "answer" and stopped.reason not in ("time", "answer_format"):
            try:
                answer = without_calls(await self._asker.ask(self._last_request(stopped)))
            except _LIMITS as error:
                self._mine(error)
            else:
                if answer.text.strip():
                    return await self._end(answer, stopped_by=stopped.reason)
        raise self._limit_error(stopped) from (None if isinstance(cause, Stopped) else cause)

    def _last_request(self, stopped: Stopped) -> ChatRequest:
        told = f"No tool can be called any more: {stopped.why}. Answer now, with what you know."
        request = self._asker.request(user(told), final=True)
        if stopped.reason not in ("cost", "tokens"):
            return request
        return replace(request, max_tokens=min(request.max_tokens or _SHORT_TOKENS, _SHORT_TOKENS))

    def _limit_error(self, stopped: Stopped) -> AgentLimitError:
        self._purse.note_total()
        answer = None if self._run.answer is None else without_calls(self._run.answer)
        return AgentLimitError(
            f"the agent {self._setup.name!r} stopped ({stopped.reason}): {stopped.why}; "
            "AgentLimits may allow more, and the error's response holds what there is",
            stopped.reason,
            self._run.response(answer, stopped_by=stopped.reason),
        )

    async def _wait_for_a_word(self, pending: tuple[ToolCall, ...]) -> AgentResponse:
        assert self._run.answer is not None
        names = ", ".join(dict.fromkeys(call.name for call in pending))
        said = without_calls(self._run.answer)
        text = f"{said.text}\n\nWaiting for a person's confirmation of: {names}.".lstrip()
        answer = replace(said, message=assistant(text))
        return await self._end(answer, stopped_by="confirmation", pending=pending)

    async def _end(
        self,
        answer: ChatResponse,
        *,
        stopped_by: StopReason | None = None,
        pending: tuple[ToolCall, ...] = (),
    ) -> AgentResponse:
        self._purse.note_total()
        response = self._run.response(answer, stopped_by=stopped_by, pending=pending)
        if not pending:
            self._run.finished = response
        await self._save()
        return self._show(response)

    def _show(self, response: AgentResponse) -> AgentResponse:
        """Give the last events of a stream, and those before them that were not shown yet."""
        if self._emit is not None:
            for event in events_of(response):
                if isinstance(event, Finish):
                    self._emit(WholeResponse(response))
                is_text = isinstance(event, (TextDelta, ReasoningDelta))
                if not (is_text and self._asker.is_shown):
                    self._emit(event)
        return response

    async def _save(self) -> None:
        """Write the run down as it is now, or later: those who ask meanwhile share one writing."""
        if self._kept is None:
            return
        checkpoints, owner = self._kept
        self._asked_to_save += 1
        mine = self._asked_to_save
        async with self._saving:
            await asyncio.sleep(0)  # calls that end at the same moment come first
            if self._saved < mine:
                all_so_far = self._asked_to_save
                self._purse.note_total()
                await checkpoints.save(self._run, owner)
                self._saved = all_so_far


def _told(calls: tuple[ToolCall, ...]) -> str:
    names = list(dict.fromkeys(call.name for call in calls))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"tools are called: {', '.join(names[:5])}{more}"
