"""Models that a test makes, and that are closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, TypeVar


class Closes(Protocol):
    """What holds connections."""

    def aclose(self) -> Awaitable[None]: ...


M = TypeVar("M", bound=Closes)


@asynccontextmanager
async def closing(make: Callable[..., M]) -> AsyncIterator[Callable[..., M]]:
    """Give what makes models, and close at the end all that it made."""
    async with AsyncExitStack() as stack:

        def made(*given: Any, **named: Any) -> M:
            model = make(*given, **named)
            stack.push_async_callback(model.aclose)
            return model

        yield made
