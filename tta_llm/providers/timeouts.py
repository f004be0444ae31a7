"""How long a provider may take, on our own clock: an SDK's timeout begins anew with each byte."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from tta_llm.core import WorkflowContext
from tta_llm.errors import ProviderTimeoutError

__all__ = ["Timeouts", "in_time", "paced"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits on one call to a provider, in seconds; the context's deadline holds besides.

    Args:
        connect: To open a connection.
        first: From the call to the first piece of a stream; None for as long as `total` allows.
        gap: From one piece of a stream to the next.
        total: The whole call.
    """

    connect: float = 10.0
    first: float | None = None
    gap: float = 120.0
    total: float = 600.0

    def __post_init__(self) -> None:
        for name in ("connect", "first", "gap", "total"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be a number of seconds above 0, not {value!r}")


@asynccontextmanager
async def in_time(
    timeouts: Timeouts, context: WorkflowContext, provider: str
) -> AsyncIterator[None]:
    """End the block when a whole call takes too long.

    Raises:
        ProviderTimeoutError: When it does.
    """
    clock, total = context.clock, timeouts.total
    try:
        async with clock.timeout_at(clock.now() + total) as timeout:
            yield
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise ProviderTimeoutError(
            f"{provider} did not answer within {total:g} s: raise the model's timeouts, "
            "or try a faster model"
        ) from error


async def paced(
    pieces: AsyncGenerator[T, None], timeouts: Timeouts, context: WorkflowContext
) -> AsyncGenerator[T, None]:
    """Pass the pieces on, each within its time.

    Raises:
        ProviderTimeoutError: When a piece comes too late.
    """
    clock = context.clock
    start = clock.now()
    limit, what = (timeouts.first or timeouts.total), "first piece"
    while True:
        when = min(clock.now() + limit, start + timeouts.total)
        try:
            async with clock.timeout_at(when) as timeout:
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            if not timeout.expired():
                raise
            waited = clock.now() - start
            raise ProviderTimeoutError(
                f"the {what} of the answer did not come in time, {waited:.3g} s after the call: "
                "raise the model's timeouts, or try a faster model"
            ) from error
        yield piece
        limit, what = timeouts.gap, "next piece"
