"""How far an agent may go."""

from __future__ import annotations

from dataclasses import dataclass

from tta_llm.core._checks import amount, at_least, positive

__all__ = ["AgentLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimits:
    """What ends a run of an agent, whatever its model wants.

    Args:
        max_steps: How often the model may be asked; an answer about a limit, and one in another
            form, come on top.
        max_tool_calls: How many calls of tools are run, in all.
        max_calls_per_step: How many of one answer's calls are run; the model is told that the
            others were not.
        max_parallel: How many run at the same time.
        max_repeats: How often a tool may be called with the same arguments.
        max_refused_steps: After so many answers in a row that only ask for tools which are unknown,
            not allowed or denied, the run ends.
        max_reasks: How often an answer that doesn't fit the `response_format` is asked for again.
        max_cost_usd: What the run may cost in US dollars, agents that it calls included. A model
            whose price nobody knows can't be asked within such a limit.
        max_tokens: How many tokens it may use.
        timeout_seconds: How long it may take.
        max_depth: How many agents may call each other in a chain.

    Raises:
        ValueError: When a limit makes no sense.

    Example:
        ```python
        from tta_llm.agents import AgentLimits

        assert AgentLimits(max_cost_usd=0.05, timeout_seconds=60).max_steps == 10
        ```
    """

    max_steps: int = 10
    max_tool_calls: int = 50
    max_calls_per_step: int = 16
    max_parallel: int = 8
    max_repeats: int = 3
    max_refused_steps: int = 3
    max_reasks: int = 1
    max_cost_usd: float | None = None
    max_tokens: int | None = None
    timeout_seconds: float | None = None
    max_depth: int = 8

    def __post_init__(self) -> None:
        at_least(0, self.max_reasks, "max_reasks")
        for name in _COUNTS:
            at_least(1, getattr(self, name), name)
        if self.max_tokens is not None:
            at_least(1, self.max_tokens, "max_tokens")
        if self.timeout_seconds is not None:
            positive(self.timeout_seconds, "timeout_seconds")
        amount(self.max_cost_usd, "dollars")


_COUNTS = (
    "max_steps",
    "max_tool_calls",
    "max_calls_per_step",
    "max_parallel",
    "max_repeats",
    "max_refused_steps",
    "max_depth",
)
