"""What taking a cheaper route saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tta_llm.core.usage import UsageLedger
from tta_llm.messages import ChatResponse, Finish, Usage, UsageEvent
from tta_llm.observability import configured, tell_route_saving
from tta_llm.providers import ChatModel

__all__ = ["Saving"]


class Saving:
    """Follows what a route answers, and tells what the dearest one would have cost besides.

    Args:
        router: The router's name.
        models: The models that may answer on each route.
        ledger: The request's. When it has no new call, the answer was a cache's, whose saving it
            is.
    """

    def __init__(
        self, router: str, models: Mapping[str, Sequence[ChatModel]], ledger: UsageLedger
    ) -> None:
        self._router, self._models = router, models
        self._ledger, self._calls = ledger, ledger.calls
        self._usage: Usage | None = None

    def follow(self, answer: Any) -> None:
        """Take an answer, or the pieces of one."""
        if isinstance(answer, UsageEvent):
            self._usage = answer.usage
        elif isinstance(answer, ChatResponse):
            self._tell(answer.usage, answer.cost_usd)
        elif isinstance(answer, Finish) and self._usage is not None:
            self._tell(self._usage, answer.cost_usd)

    def _tell(self, usage: Usage, cost_usd: float | None) -> None:
        if not configured() or self._ledger.calls == self._calls:
            return
        dearest = self._dearest(usage)
        if dearest is not None and cost_usd is not None and dearest > cost_usd:
            tell_route_saving(self._router, dearest - cost_usd)

    def _dearest(self, usage: Usage) -> float | None:
        """Give what these tokens cost on the dearest route; None when a price is unknown.

        Where several models may answer on a route, the cheapest stands for it.
        """
        costs: list[float] = []
        for models in self._models.values():
            prices = [model.price for model in models]
            known = [price.cost(usage) for price in prices if price is not None]
            if not known or len(known) < len(prices):
                return None
            costs.append(min(known))
        return max(costs)
