"""Which of an answer's calls are made, which are refused, and which wait for a person's word."""

from __future__ import annotations

import difflib
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tta_llm.agents._run import Run, key_of
from tta_llm.agents.agent_response import StopReason
from tta_llm.agents.confirmation import ConfirmHook, Decision, decided
from tta_llm.agents.limits import AgentLimits
from tta_llm.agents.tools import Tool
from tta_llm.core import WorkflowContext
from tta_llm.messages import ToolCall, ToolResult

__all__ = ["Allow", "Plan", "Planner", "Policy", "allowed"]

Allow: TypeAlias = Collection[str] | Callable[[Tool, WorkflowContext], bool | Awaitable[bool]]

_UNSURE = (
    "Nobody knows whether this was carried out: the run broke off while it was under way. "
    "It was not called again. Find out before you ask for it anew."
)

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Policy:
    """What an agent may call.

    Args:
        limits: How much of it.
        confirm: Asks for a person's word.
        trust_results: Whether what comes from outside may make the model call what it likes.
    """

    limits: AgentLimits
    confirm: ConfirmHook | None
    trust_results: bool


@dataclass(slots=True)
class Plan:
    """What becomes of the calls of one step; those that are refused are answered in the run."""

    ready: list[tuple[int, ToolCall, Tool]] = field(default_factory=list)
    pending: list[ToolCall] = field(default_factory=list)


async def allowed(
    tools: Mapping[str, Tool], allow: Allow | None, context: WorkflowContext
) -> dict[str, Tool]:
    """Give the tools that this request may use."""
    if allow is None:
        return dict(tools)
    if not callable(allow):
        return {name: tool for name, tool in tools.items() if name in allow}
    there = {}
    for name, tool in tools.items():
        word = allow(tool, context)
        if (await word if inspect.isawaitable(word) else word) is True:
            there[name] = tool
    return there


class Planner:
    """Judges the calls of one step.

    Args:
        run: Whose calls they are.
        policy: By which they are judged.
        tools: All that the agent has.
        may: Those that this request may use.
        decisions: What people said, by the call's id.
        context: The request.
    """

    def __init__(
        self,
        run: Run,
        policy: Policy,
        *,
        tools: Mapping[str, Tool],
        may: Mapping[str, Tool],
        decisions: Mapping[str, Decision],
        context: WorkflowContext,
    ) -> None:
        self._run, self._policy, self._limits = run, policy, policy.limits
        self._tools, self._may = tools, may
        self._decisions, self._context = decisions, context
        self._planned: Counter[str] = Counter()
        self._refused: tuple[StopReason, str] | None = None
        self._plan = Plan()

    async def plan(self) -> Plan:
        """Judge each call that is not answered yet."""
        for index, call in list(self._run.waiting()):
            if (why := self._past_a_limit(index, call)) is not None:
                self._answer(index, call, why)
            else:
                await self._judge(index, call)
        self._count_refused()
        return self._plan

    def _past_a_limit(self, index: int, call: ToolCall) -> str | None:
        """Say why a call is not even looked at; some limits end the run."""
        run, limits = self._run, self._limits
        if index in run.begun:
            return None
        if run.steps >= limits.max_steps:
            run.ends_by("steps", f"the limit of {limits.max_steps} steps is reached")
        elif index >= limits.max_calls_per_step:
            return f"Not called: at most {limits.max_calls_per_step} calls are run in one step."
        elif run.made + self._planned.total() >= limits.max_tool_calls:
            run.ends_by("tool_calls", f"the limit of {limits.max_tool_calls} calls is reached")
        elif self._times(call) >= limits.max_repeats:
            why = f"{call.name!r} was called {limits.max_repeats} times with the same arguments"
            run.ends_by("repetition", why)
        return None if run.stop is None else f"Not called: {run.why}."

    def _times(self, call: ToolCall) -> int:
        key = key_of(call)
        return self._run.seen.get(key, 0) + self._planned[key]

    async def _judge(self, index: int, call: ToolCall) -> None:
        tool = self._may.get(call.name)
        if tool is None:
            return self._refuse_unknown(index, call)
        word = self._decisions.get(call.id)
        if index in self._run.begun:
            return self._judge_begun(index, call, tool, word)
        if word is None and self._needs_word(tool, call):
            word = await decided(self._policy.confirm, call, self._context)
            if word is None:
                self._plan.pending.append(call)
                return None
        return self._follow(index, call, tool, True if word is None else word)

    def _judge_begun(self, index: int, call: ToolCall, tool: Tool, word: Decision | None) -> None:
        """Judge a call that was under way when the run broke off."""
        if tool.idempotent or word is not None:
            return self._follow(index, call, tool, True if word is None else word)
        self._run.unsure.add(key_of(call))
        return self._answer(index, call, _UNSURE)

    def _needs_word(self, tool: Tool, call: ToolCall) -> bool:
        distrusted = self._run.tainted and not (self._policy.trust_results or tool.idempotent)
        return distrusted or tool.must_confirm(call.arguments) or key_of(call) in self._run.unsure

    def _follow(self, index: int, call: ToolCall, tool: Tool, word: Decision) -> None:
        if word is False or isinstance(word, str):
            told = word if isinstance(word, str) else "a person said no"
            self._refuse(index, call, "denied", f"Not called: {told}.")
            return
        if isinstance(word, Mapping):
            call = replace(call, arguments=dict(word))
        self._planned[key_of(call)] += index not in self._run.begun
        self._plan.ready.append((index, call, tool))

    def _refuse_unknown(self, index: int, call: ToolCall) -> None:
        if call.name in self._tools:
            self._refuse(index, call, "denied", f"The tool {call.name!r} is not allowed here.")
            return
        name = call.name[:_LONGEST_NAME]
        near = difflib.get_close_matches(name, self._may, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        there = ", ".join(map(repr, self._may)) or "none"
        told = f"There is no tool {name!r}.{meant} There are: {there}."
        self._refuse(index, call, "unknown_tool", told)

    def _refuse(self, index: int, call: ToolCall, reason: StopReason, told: str) -> None:
        self._refused = reason, told
        self._answer(index, call, told)

    def _answer(self, index: int, call: ToolCall, told: str) -> None:
        self._run.results[index] = ToolResult(call.id, told, name=call.name, is_error=True)

    def _count_refused(self) -> None:
        """End the run when the model asks again and again for what it doesn't get."""
        run = self._run
        if self._refused is None or self._plan.ready or self._plan.pending:
            run.refused_steps = 0
            return
        run.refused_steps += 1
        if run.refused_steps >= self._limits.max_refused_steps:
            reason, told = self._refused
            run.ends_by(reason, told.rstrip("."))
