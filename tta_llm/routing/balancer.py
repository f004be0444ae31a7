"""Spreading calls over choices that are equally good."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, overload

from tta_llm.core import WorkflowContext, as_step
from tta_llm.core._checks import listed, one_of
from tta_llm.core._typing import AwaitedStep, In, Out, PlainStep, Step
from tta_llm.core.clock import Clock
from tta_llm.core.parallel import unique_names
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import CompositionError
from tta_llm.recovery._course import told_name
from tta_llm.routing._candidate import COSTS, BalanceBy, Candidate, candidate
from tta_llm.routing._followed import FollowedRouter
from tta_llm.routing._keys import Key, choice_of, key_reader, key_text, shares
from tta_llm.routing._needs import Needs

__all__ = ["LoadBalancer"]


class LoadBalancer(FollowedRouter[In, Out]):
    """Sends each call to one of several choices that are equally good.

    A choice whose circuit is open is left out while another one can be called; when all are open,
    the one that is tried again the soonest is called. A call that fails is not sent elsewhere: put
    `RetryPrimitive` around the balancer for that, so that each try is balanced anew, or make it the
    first choice of a `FallbackPrimitive`.

    Args:
        choices: The steps, at least one; or a mapping of names to them. Sticky keys belong to
            names, so give names of your own where they shall last.
        by: How to choose. `least_busy` takes the one with the fewest calls under way, and each
            failure in a row counts as twice as many. `weight` takes turns in proportion to the
            weights. `latency` takes the one where an answer, or the first piece of a stream, is
            likely the soonest, by a moving average that is forgotten after a minute. `cost` takes
            the cheapest for the request by its model's price, unknown prices last. `headroom` takes
            the one whose rate limits are used the least. Equals are taken the least busy first, and
            then in turn.
        weights: For `weight`, and for sticky keys; equal when missing.
        sticky: A field of the context's data, or a function of the input (and, if it likes, the
            context), sync or async. Calls with the same key go to the same choice as long as its
            circuit is closed, in every process, and few keys move when a choice is added. A call
            without a key is balanced.
        name: What spans and errors call it.

    Raises:
        CompositionError: When there is no choice, or what `by` compares can't be known of one.

    Example:
        ```python
        from tta_llm.routing import LoadBalancer
        from tta_llm.testing import MockPrimitive

        regions = {"eu": MockPrimitive("from eu"), "us": MockPrimitive("from us")}
        model = LoadBalancer(regions, by="weight", weights={"eu": 3, "us": 1})
        answers = [model.run("a question") for _ in range(400)]
        assert answers.count("from eu") == 300
        ```
    """

    @overload
    def __init__(
        self,
        choices: Mapping[str, WorkflowPrimitive[In, Out]] | Sequence[WorkflowPrimitive[In, Out]],
        by: BalanceBy = "least_busy",
        *,
        weights: Mapping[str, float] | None = None,
        sticky: str | Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        choices: Mapping[str, AwaitedStep[In, Out]] | Sequence[AwaitedStep[In, Out]],
        by: BalanceBy = "least_busy",
        *,
        weights: Mapping[str, float] | None = None,
        sticky: str | Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        choices: Mapping[str, PlainStep[In, Out]] | Sequence[PlainStep[In, Out]],
        by: BalanceBy = "least_busy",
        *,
        weights: Mapping[str, float] | None = None,
        sticky: str | Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        choices: Mapping[str, Step[In, Out]] | Sequence[Step[In, Out]],
        by: BalanceBy = "least_busy",
        *,
        weights: Mapping[str, float] | None = None,
        sticky: str | Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        choices: Mapping[str, Step[Any, Any]] | Sequence[Step[Any, Any]],
        by: BalanceBy = "least_busy",
        *,
        weights: Mapping[str, float] | None = None,
        sticky: Key | None = None,
        name: str | None = None,
    ) -> None:
        named = choices if isinstance(choices, Mapping) else _named(choices)
        super().__init__(named, self._pick, name=name)
        self.by: BalanceBy = one_of(get_args(BalanceBy), by, "by")
        if weights is not None and by != "weight" and sticky is None:
            raise CompositionError(f"weights are for by='weight' or sticky=, and by is {by!r}")
        self.weights: dict[str, float] = shares(self.routes, weights)
        self._candidates = tuple(
            candidate(route, primitive, self._loads[route], self.weights[route], by)
            for route, primitive in self.routes.items()
        )
        self._read_key = None if sticky is None else key_reader(sticky)
        self._turns = 0
        # Balanced in several threads at once, turns would be lost or taken twice.
        self._lock = threading.Lock()

    async def _pick(self, input_data: Any, context: WorkflowContext) -> str:
        key = None if self._read_key is None else await self._read_key(input_data, context)
        ready = self._ready(context.clock)
        if key is not None:
            weights = {each.name: each.weight for each in ready}
            return choice_of(key_text(key), weights)
        if self.by == "weight":
            return self._next_by_weight(ready).name
        needs = Needs(input_data) if self.by == "cost" else None
        return self._cheapest(ready, context.clock, needs).name

    def _ready(self, clock: Clock) -> list[Candidate]:
        """Give the choices that take calls now, or else the one that does so the soonest."""
        waits = [(each.wait_seconds(clock), each) for each in self._candidates]
        ready = [each for wait, each in waits if not wait]
        return ready or [min(waits, key=lambda pair: pair[0])[1]]

    def _cheapest(self, ready: Sequence[Candidate], clock: Clock, needs: Needs | None) -> Candidate:
        cost = COSTS[self.by]
        with self._lock:
            chosen = min(
                ready,
                key=lambda each: (cost(each, clock, needs), each.load.strain(clock), each.turn),
            )
            self._turns += 1
            chosen.turn = self._turns
        return chosen

    def _next_by_weight(self, ready: Sequence[Candidate]) -> Candidate:
        """Take turns as nginx does: all save up their weight, the richest pays for all."""
        with self._lock:
            for each in ready:
                each.credit += each.weight
            chosen = max(ready, key=lambda each: each.credit)
            chosen.credit -= sum(each.weight for each in ready)
        return chosen


def _named(choices: Sequence[Any]) -> dict[str, WorkflowPrimitive[Any, Any]]:
    steps = [as_step(each) for each in listed(choices, "choices")]
    return dict(zip(unique_names(map(told_name, steps)), steps, strict=True))
