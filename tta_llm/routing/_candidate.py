"""A choice of a balancer: what is known of it, and how the ways to balance compare it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tta_llm.core import WorkflowPrimitive, WrapperPrimitive
from tta_llm.core.clock import Clock
from tta_llm.errors import CompositionError
from tta_llm.providers import ChatModel
from tta_llm.recovery import CircuitBreaker, RateLimiter
from tta_llm.routing._load import Load
from tta_llm.routing._needs import Needs, models_in

__all__ = ["COSTS", "BalanceBy", "Candidate", "candidate"]

BalanceBy: TypeAlias = Literal["weight", "least_busy", "latency", "cost", "headroom"]

_INFINITY = float("inf")


@dataclass(slots=True, eq=False)
class Candidate:
    """One choice, with the guards on its way and what the balancer itself keeps of it."""

    name: str
    primitive: WorkflowPrimitive[Any, Any]
    load: Load
    weight: float
    limiters: tuple[RateLimiter, ...]
    models: tuple[ChatModel, ...]
    credit: float = 0.0
    """What it has saved up for its turn, by weight."""
    turn: int = 0
    """When it was last chosen."""

    def wait_seconds(self, clock: Clock) -> float:
        """Tell how long its circuit refuses calls."""
        return _wait_seconds(self.primitive, clock)

    # ----------------------------------------------- what it costs, by each way to balance

    def busy(self, clock: Clock, needs: Needs | None) -> float:
        """Give the calls under way."""
        return self.load.strain(clock)

    def latency(self, clock: Clock, needs: Needs | None) -> float:
        """Give about how long a call takes that comes now."""
        strain, latency = self.load.strain(clock), self.load.latency(clock)
        if latency is None:
            # One call finds out how fast it is, and the others go elsewhere meanwhile.
            return 0.0 if strain <= 1 else _INFINITY
        return strain * latency

    def dollars(self, clock: Clock, needs: Needs | None) -> float:
        """Give about what the call costs."""
        assert needs is not None
        return min(needs.dollars(model) for model in self.models)

    def use(self, clock: Clock, needs: Needs | None) -> float:
        """Give how much of its narrowest limit is used up."""
        return max(map(_use_of, self.limiters))


COSTS: Mapping[str, Callable[[Candidate, Clock, Needs | None], float]] = {
    "least_busy": Candidate.busy,
    "latency": Candidate.latency,
    "cost": Candidate.dollars,
    "headroom": Candidate.use,
}


def candidate(
    name: str, primitive: WorkflowPrimitive[Any, Any], load: Load, weight: float, by: BalanceBy
) -> Candidate:
    """Give a choice, and refuse one of which nothing can be known that is asked for."""
    limiters, models = tuple(_limiters_on(primitive)), tuple(models_in(primitive))
    if by == "headroom" and not limiters:
        raise CompositionError(
            f"{name!r} has no rate limit to have headroom under: put a RateLimitPrimitive around it"
        )
    if by == "cost" and not models:
        raise CompositionError(f"{name!r} has no model whose price could be compared")
    return Candidate(name, primitive, load, weight, limiters, models)


def _limiters_on(primitive: WorkflowPrimitive[Any, Any]) -> Iterator[RateLimiter]:
    """Give the rate limits that each call of a step passes."""
    while isinstance(primitive, WrapperPrimitive):
        guards = getattr(primitive, "guards", ())
        yield from (each for each in guards if isinstance(each, RateLimiter))
        primitive = primitive.primitive


def _wait_seconds(primitive: WorkflowPrimitive[Any, Any], clock: Clock) -> float:
    """Tell how long the open circuits on the way into a step refuse calls.

    Where there are several ways, as through a fallback, one that is free is enough.
    """
    guards = getattr(primitive, "guards", ())
    own = [each.wait_seconds(clock) for each in guards if isinstance(each, CircuitBreaker)]
    inside = [_wait_seconds(child, clock) for _, child in primitive.children()]
    narrowest = max if primitive.shape == "sequence" else min
    return max([*own, narrowest(inside, default=0.0)])


def _use_of(limiter: RateLimiter) -> float:
    """Tell how much of a limit is used up, above 0 where calls wait for it."""
    told = limiter.readings()
    queued = told["rate_limit_waiting"] + told["rate_limit_paused_seconds"]
    rates = {"requests": limiter.requests_per_minute, "tokens": limiter.tokens_per_minute}
    free = [told[f"rate_limit_{what}_available"] / rate for what, rate in rates.items() if rate]
    return queued or -min(free, default=_INFINITY)
