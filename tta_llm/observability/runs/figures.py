"""What spans used and what happened in them, added up."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NO_FIGURES", "Figures"]


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one span, or of many when added up.

    ```python
    from tta_llm.observability.runs import Figures

    known = Figures(calls=1, input_tokens=900, output_tokens=100, cost_usd=0.002)
    both = known + Figures(calls=1, input_tokens=50, unknown_costs=1)
    assert (both.calls, both.tokens) == (2, 1050)
    assert (both.cost_usd, both.unknown_costs) == (0.002, 1)
    ```
    """

    calls: int = 0
    """Calls of models and embedders."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    """What the calls of known price cost; None when there is none of known price."""
    unknown_costs: int = 0
    """How many calls have no known price: they are in no sum of dollars."""
    retries: int = 0
    fallbacks: int = 0
    cache_hits: int = 0
    cache_saved_usd: float = 0.0
    cache_saved_seconds: float = 0.0
    route_saved_usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Read and written together."""
        return self.input_tokens + self.output_tokens

    @property
    def savings(self) -> Figures:
        """What caches and routers saved, alone."""
        return Figures(
            cache_saved_usd=self.cache_saved_usd,
            cache_saved_seconds=self.cache_saved_seconds,
            route_saved_usd=self.route_saved_usd,
        )

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            _sum(self.cost_usd, other.cost_usd),
            self.unknown_costs + other.unknown_costs,
            self.retries + other.retries,
            self.fallbacks + other.fallbacks,
            self.cache_hits + other.cache_hits,
            self.cache_saved_usd + other.cache_saved_usd,
            self.cache_saved_seconds + other.cache_saved_seconds,
            self.route_saved_usd + other.route_saved_usd,
        )


def _sum(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


NO_FIGURES: Figures = Figures()
"""Those of a span that used nothing: most do, so it is made once."""
