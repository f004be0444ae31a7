"""Asking Redis, within a time limit; the one file that imports redis."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from tta_llm.core._checks import at_least, positive
from tta_llm.core._tasks import finish
from tta_llm.core.per_loop import ClientPerLoop
from tta_llm.errors import MissingExtraError

if TYPE_CHECKING:
    import redis.asyncio

__all__ = ["RedisClient", "RedisConnection", "milliseconds"]

RedisClient: TypeAlias = "redis.asyncio.Redis"
"""A client of the user's own."""


class RedisConnection:
    """What a store in Redis asks: each event loop has connections of its own, closed with it.

    What is asked gets an answer or an error within the time limit; a connection that the server has
    dropped meanwhile is replaced once, at once, and one that doesn't answer takes the other idle
    ones with it.

    Args:
        url: Where Redis is.
        client: One of the user's own in place of an address, which is not closed.
        timeout_seconds: How long one question takes at most.
        max_connections: How many connections an event loop opens at most.

    Raises:
        MissingExtraError: redis is not installed.
        ValueError: The address can't be read, or a figure makes no sense.
    """

    def __init__(
        self,
        url: str,
        client: RedisClient | None,
        timeout_seconds: float,
        max_connections: int,
    ) -> None:
        self._timeout_seconds = positive(timeout_seconds, "timeout_seconds")
        self._given: Any = client
        at_least(1, max_connections, "max_connections")
        make = _maker(url, timeout_seconds, max_connections) if client is None else None
        self.where: str = _place(_of_bytes(client if make is None else _checked(make)))
        """Where it leads to, without the password."""
        self._own = None if make is None else ClientPerLoop(lambda: _Own(make()), _Own.aclose)

    async def ask(self, *command: Any) -> Any:
        """Give what Redis answers to one command.

        Raises:
            TimeoutError: It gave no answer in time.
        """
        begun = time.monotonic()
        own = None if self._own is None else await self._own.get()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                client = self._given if own is None else own.client
                return await client.execute_command(*command)
        except TimeoutError as error:
            if own is not None:
                await own.drop_idle(begun)
            raise TimeoutError(
                f"Redis at {self.where} gave no answer within {self._timeout_seconds:g} s"
            ) from error

    async def aclose(self) -> None:
        """Close this event loop's connections; the next use opens new ones."""
        if self._own is not None:
            await self._own.aclose()


class _Own:
    """A client of ours and its connections, for one event loop."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._dropped = -math.inf

    async def drop_idle(self, begun: float) -> None:
        """Close what nobody uses, for who began then and got no answer.

        If one connection is dead, so are probably those that were opened with it. Once is enough
        for all who began before.
        """
        if self._dropped < begun:
            self._dropped = time.monotonic()
            await finish(self.client.connection_pool.disconnect(inuse_connections=False))

    async def aclose(self) -> None:
        await finish(self.client.connection_pool.disconnect())


def _maker(url: str, timeout_seconds: float, max_connections: int) -> Callable[[], Any]:
    """Give a function that makes clients; the address stays inside, for it may hold a password."""
    sdk = _sdk()
    lost = sdk.exceptions.ConnectionError

    def make() -> Any:
        pool = sdk.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_seconds,
            socket_timeout=None,  # the limit on the whole question is enough
            socket_connect_timeout=timeout_seconds,
            protocol=2,  # its successor has nothing for us but a longer introduction
            retry=sdk.asyncio.retry.Retry(sdk.backoff.NoBackoff(), 1, (lost,)),
            retry_on_error=[lost],
        )
        return sdk.asyncio.Redis(connection_pool=pool)

    return make


def _sdk() -> Any:
    try:
        import redis.asyncio.retry  # noqa: PLC0415  # an optional package
        import redis.backoff  # noqa: PLC0415
        import redis.exceptions  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the Redis store", "redis") from error
    return redis


def _checked(make: Callable[[], Any]) -> Any:
    """Give a client, which is not connected, if the address makes one."""
    with suppress(Exception):
        client = make()
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)
        return client
    # Raised out here, for redis's own error quotes the address.
    raise ValueError(
        "url must be like redis://user:password@host:port/db, with signs such as / @ # in the "
        "password written as %2F %40 %23; it is not shown here, for it may hold a password"
    )


def _of_bytes(client: Any) -> Any:
    """Refuse a client that reads values as text."""
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        raise ValueError(
            "decode_responses makes text of the bytes that are stored: leave it out of the client "
            "or the url"
        )
    return client


def _place(client: Any) -> str:
    """Say where a client's connections lead to, without the password."""
    settings = client.connection_pool.connection_kwargs
    host, port = settings.get("host", "localhost"), settings.get("port", 6379)
    return f"{settings.get('path') or f'{host}:{port}'}, db={settings.get('db') or 0}"


def milliseconds(seconds: float) -> int:
    """Give a time to live as Redis takes it."""
    return max(1, round(seconds * 1000))
