"""What happens to the n-th call of a step in chaos: decided by the seed, before it is made."""

from __future__ import annotations

import copy
import functools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from tta_llm.core._checks import amount, listed
from tta_llm.errors import (
    ConnectionFailedError,
    OverloadedError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
)

__all__ = ["INJECTED", "PROVIDER_ERRORS", "Fate", "Fates", "Injected"]

Injected: TypeAlias = type[Exception] | Exception | Callable[[], Exception]

INJECTED: Final = "injected by ChaosPrimitive"
PROVIDER_ERRORS: Final[tuple[Injected, ...]] = (
    RateLimitError(INJECTED, retry_after=1.0),
    OverloadedError,
    ServerError,
    ConnectionFailedError,
    ProviderTimeoutError,
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What is going to happen to one call."""

    number: int
    """Which call it is, counted from 1."""
    kind: str | None
    """One of the rates' names; None when it goes well."""
    latency_seconds: float | None
    share: float
    """Between 0 and 1: picks the error, or the place of a cut."""


class Fates:
    """Tells the fate of each call.

    Args:
        seed: Decides all of them.
        rates: What may happen, by the name of its kind, with the share of calls that it happens to.
        errors: What calls fail with.
        latency_rate: The share of calls that are late.
        latency_seconds: How late, or the bounds between which that is drawn.
    """

    def __init__(
        self,
        seed: int,
        rates: dict[str, float],
        errors: Sequence[Injected],
        latency_rate: float,
        latency_seconds: float | tuple[float, float],
    ) -> None:
        self._seed = seed
        self._rates = _alternatives({kind: _rate(rate, kind) for kind, rate in rates.items()})
        self._latency_rate = _rate(latency_rate, "latency")
        self._latency_seconds = _bounds(latency_seconds)
        self._errors = _makers(errors)

    def of(self, number: int) -> Fate:
        """Give the fate of the call with this number."""
        drawn = random.Random(f"{self._seed}/{number}")  # noqa: S311  # nothing secret
        # Always all of them, so that a rate that is changed changes nothing else.
        late, between, kind, share = (drawn.random() for _ in range(4))
        low, high = self._latency_seconds
        latency = low + between * (high - low) if late < self._latency_rate else None
        return Fate(number, self._kind(kind), latency, share)

    def _kind(self, drawn: float) -> str | None:
        for kind, rate in self._rates.items():
            if drawn < rate:
                return kind
            drawn -= rate
        return None

    def error(self, fate: Fate) -> Exception:
        """Make the error that a call fails with."""
        return self._errors[int(fate.share * len(self._errors))]()


def _rate(rate: Any, kind: str) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise ValueError(f"{kind}_rate is a share of the calls, a number from 0 to 1, not {rate!r}")
    return float(rate)


def _alternatives(rates: dict[str, float]) -> dict[str, float]:
    total = math.fsum(rates.values())
    if total > 1 + 1e-9:
        raise ValueError(
            "a call meets at most one of a failure, a wrong result, a cancellation and a cut: "
            f"let their rates add up to 1 or less, not to {total:g}"
        )
    return rates


def _bounds(seconds: Any) -> tuple[float, float]:
    is_pair = isinstance(seconds, tuple) and len(seconds) == 2
    low, high = cast("tuple[Any, Any]", seconds if is_pair else (seconds, seconds))
    if None in (low, high) or amount(low, "seconds") > amount(high, "seconds"):
        raise ValueError(
            f"latency_seconds is a number of seconds or a pair (lowest, highest), not {seconds!r}"
        )
    return float(low), float(high)


def _makers(errors: Any) -> list[Callable[[], Exception]]:
    makers = [_maker(each) for each in listed(errors, "errors")]
    if not makers:
        raise ValueError("errors is empty: give at least one, or leave it out")
    return makers


def _maker(error: Any) -> Callable[[], Exception]:
    """Give what makes a new exception each time: one that is raised gathers notes and a past."""
    if isinstance(error, Exception):
        return functools.partial(copy.copy, error)
    if isinstance(error, type) and issubclass(error, Exception):
        return functools.partial(error, INJECTED)
    if isinstance(error, type) or not callable(error):
        raise TypeError(
            "errors are exception types, exceptions, or functions that make one, "
            f"not {error!r}; a cancellation is injected by cancel_rate"
        )
    return cast("Callable[[], Exception]", error)
