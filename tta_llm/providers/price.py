"""What a model's tokens cost."""

from __future__ import annotations

from dataclasses import dataclass

from tta_llm.messages import Usage

__all__ = ["Price"]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens.

    Args:
        input: For what the model reads.
        output: For what it writes, reasoning included.
        cached_input: For what it reads from the provider's cache; `input` when missing.
        cache_write: For what is put into that cache; `input` when missing.
        above: Other prices for long requests, as pairs of a number of input tokens and the price
            of the whole request when it has more than these; the last that fits holds.

    Example:
        ```python
        from tta_llm.messages import Usage
        from tta_llm.providers import Price

        price = Price(input=2.0, output=8.0, cached_input=0.5)
        assert price.cost(Usage(1_000_000, 500_000, cached_input_tokens=400_000)) == 5.4
        ```
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    above: tuple[tuple[int, Price], ...] = ()

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "cache_write"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"a price of {value!r} for {name} makes no sense: give 0 or more")

    def cost(self, usage: Usage) -> float:
        """Give the dollars that these tokens cost."""
        return _flat_cost(self._for(usage.input_tokens), usage)

    def at_most(self, input_tokens: int, output_tokens: int) -> float:
        """Give the most that a call of this size can cost, however its input is cached."""
        reached = [price for start, price in self.above if input_tokens > start]
        return max(_flat_most(each, input_tokens, output_tokens) for each in (self, *reached))

    def _for(self, input_tokens: int) -> Price:
        reached = (price for start, price in reversed(self.above) if input_tokens > start)
        return next(reached, self)


def _flat_cost(price: Price, usage: Usage) -> float:
    cached, written = usage.cached_input_tokens, usage.cache_write_tokens
    plain = max(0, usage.input_tokens - cached - written)
    return (
        plain * price.input
        + cached * (price.input if price.cached_input is None else price.cached_input)
        + written * (price.input if price.cache_write is None else price.cache_write)
        + usage.output_tokens * price.output
    ) / 1_000_000


def _flat_most(price: Price, input_tokens: int, output_tokens: int) -> float:
    dearest = max(price.input, price.cached_input or 0, price.cache_write or 0)
    return (input_tokens * dearest + output_tokens * price.output) / 1_000_000
