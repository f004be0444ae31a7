"""The ledger of what the models of one request used."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from tta_llm.messages import Usage

__all__ = ["ModelUsage", "UsageLedger"]


@dataclass(slots=True)
class ModelUsage:
    """The sum over the calls to one model."""

    calls: int = 0
    unpriced_calls: int = 0
    cost_usd: float = 0.0
    usage: Usage = field(default_factory=Usage)


class UsageLedger:
    """Sums of calls, tokens and dollars, by provider and model.

    It keeps sums, not calls: a context that serves a million calls is no larger than one that
    serves ten.

    Args:
        under: Another ledger in which each call is noted as well.
    """

    def __init__(self, under: UsageLedger | None = None) -> None:
        self._under = under
        # Reentrant: while it is held, the garbage collector may close a call that somebody dropped,
        # which is noted then and there.
        self._lock = threading.RLock()
        self._models: dict[tuple[str, str], ModelUsage] = {}

    def add(self, usage: Usage, *, provider: str, model: str, cost_usd: float | None) -> None:
        """Add one call; `cost_usd` is None when the price is unknown."""
        if self._under is not None:
            self._under.add(usage, provider=provider, model=model, cost_usd=cost_usd)
        with self._lock:
            entry = self._models.setdefault((provider, model), ModelUsage())
            entry.calls += 1
            entry.usage = _added(entry, usage)
            if cost_usd is None:
                entry.unpriced_calls += 1
            else:
                entry.cost_usd += cost_usd

    @property
    def by_model(self) -> dict[tuple[str, str], ModelUsage]:
        """A copy of the sums, keyed by (provider, model)."""
        with self._lock:
            return {key: replace(entry) for key, entry in list(self._models.items())}

    @property
    def calls(self) -> int:
        """How many model calls were made."""
        return sum(entry.calls for entry in self.by_model.values())

    @property
    def unpriced_calls(self) -> int:
        """How many of them had an unknown price; `cost_usd` leaves these out."""
        return sum(entry.unpriced_calls for entry in self.by_model.values())

    @property
    def input_tokens(self) -> int:
        """All input tokens, cached ones included."""
        return sum(entry.usage.input_tokens for entry in self.by_model.values())

    @property
    def output_tokens(self) -> int:
        """All output tokens, reasoning included."""
        return sum(entry.usage.output_tokens for entry in self.by_model.values())

    @property
    def cost_usd(self) -> float:
        """The sum of the known prices, in US dollars."""
        return sum(entry.cost_usd for entry in self.by_model.values())

    def __repr__(self) -> str:
        unpriced = f" and {self.unpriced_calls} of unknown price" if self.unpriced_calls else ""
        tokens = f"{self.input_tokens} + {self.output_tokens} tokens"
        return f"UsageLedger({self.calls} calls, {tokens}, ${self.cost_usd:g}{unpriced})"


def _added(entry: ModelUsage, usage: Usage) -> Usage:
    """Give the sum of both, also when the garbage collector had one more call noted meanwhile."""
    while True:
        before = entry.usage
        total = before + usage
        if entry.usage is before:
            return total
