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

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "cache_write"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"a price of {value!r} for {name} makes no sense: give 0 or more")

    def cost(self, usage: Usage) -> float:
        """Give the dollars that these tokens cost."""
        cached, written = usage.cached_input_tokens, usage.cache_write_tokens
        plain = max(0, usage.input_tokens - cached - written)
        return (
            plain * self.input
            + cached * (self.input if self.cached_input is None else self.cached_input)
            + written * (self.input if self.cache_write is None else self.cache_write)
            + usage.output_tokens * self.output
        ) / 1_000_000

    def at_most(self, input_tokens: int, output_tokens: int) -> float:
        """Give the most that a call of this size can cost, however its input is cached."""
        dearest = max(self.input, self.cached_input or 0, self.cache_write or 0)
        return (input_tokens * dearest + output_tokens * self.output) / 1_000_000
