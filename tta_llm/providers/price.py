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
        cache_write_1h: For what is put there for an hour; twice `input` when missing, which is what
            those who offer it charge: https://platform.claude.com/docs/en/about-claude/pricing
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
    cache_write_1h: float | None = None
    above: tuple[tuple[int, Price], ...] = ()

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "cache_write", "cache_write_1h"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"a price of {value!r} for {name} makes no sense: give 0 or more")

    def cost(self, usage: Usage) -> float:
        """Give the dollars that these tokens cost."""
        return _flat_cost(self._for(usage.input_tokens), usage)

    def at_most(self, input_tokens: int, output_tokens: int, *, for_an_hour: bool = False) -> float:
        """Give the most that a call of this size can cost, however its input is cached.

        Args:
            input_tokens: At most so many are read.
            output_tokens: At most so many are written.
            for_an_hour: Whether some of the input is to be kept for an hour.
        """
        reached = [price for start, price in self.above if input_tokens > start]
        return max(
            (input_tokens * _dearest(each, for_an_hour=for_an_hour) + output_tokens * each.output)
            / 1_000_000
            for each in (self, *reached)
        )

    def _for(self, input_tokens: int) -> Price:
        reached = (price for start, price in reversed(self.above) if input_tokens > start)
        return next(reached, self)


def _flat_cost(price: Price, usage: Usage) -> float:
    cached, written = usage.cached_input_tokens, usage.cache_write_tokens
    plain = max(0, usage.input_tokens - cached - written)
    for_an_hour = min(written, usage.cache_write_1h_tokens)
    return (
        plain * price.input
        + cached * (price.input if price.cached_input is None else price.cached_input)
        + (written - for_an_hour)
        * (price.input if price.cache_write is None else price.cache_write)
        + for_an_hour * _hourly(price)
        + usage.output_tokens * price.output
    ) / 1_000_000


def _hourly(price: Price) -> float:
    return 2 * price.input if price.cache_write_1h is None else price.cache_write_1h


def _dearest(price: Price, *, for_an_hour: bool) -> float:
    """Give what a token of the input costs at most."""
    hourly = _hourly(price) if for_an_hour else 0
    return max(price.input, price.cached_input or 0, price.cache_write or 0, hourly)
