"""What the vendors' files share: reading the response of an SDK that has not touched its body.

The SDKs hand an empty, cut or HTML body over as a short answer, and unpack a bomb whole. So their
own reading is passed by, and the bytes are read here.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

from tta_llm.errors import InvalidResponseError, UnknownModelError
from tta_llm.providers.sse import limited_body

__all__ = [
    "Response",
    "add_nearest",
    "body_bytes",
    "content_type",
    "count_of",
    "drain",
    "host_of",
    "json_object",
    "string_of",
    "whole_answer",
]

_DRAIN_SECONDS = 0.05
_NAMES_SECONDS = 2.0

# No model reads or writes as much in one call; a larger figure is a fault of the server.
_ABSURD = 100_000_000


class Response(Protocol):
    """The unread response of an SDK."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, found by name in lower case."""
        ...

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """Give the body, decompressed."""
        ...

    async def close(self) -> None:
        """Close the response, and its connection unless the body has been read."""
        ...


@asynccontextmanager
async def body_bytes(response: Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the body's bytes; leaving the block closes the response and ends its generators.

    The SDK and its HTTP library read through several generators. Left suspended, they would be
    ended by tasks of the event loop's own, later; on a closed response they run out at once.
    """
    chunks = response.iter_bytes()
    try:
        yield chunks
    finally:
        await response.close()
        with suppress(Exception):
            async for _ in chunks:
                pass


async def whole_answer(response: Response) -> dict[str, Any]:
    """Read the body as one JSON object.

    Raises:
        InvalidResponseError: When it is something else, or too large.
    """
    async with body_bytes(response) as chunks:
        return json_object(await limited_body(chunks), response)


def json_object(body: bytes, response: Response) -> dict[str, Any]:
    """Read a part of a response as a JSON object.

    Raises:
        InvalidResponseError: When it is something else.
    """
    try:
        answer = json.loads(body)
    except ValueError as error:
        size = f"{len(body)} bytes of {content_type(response) or 'unknown type'}"
        raise InvalidResponseError(
            f"the server answered {size} that are no JSON: check base_url"
        ) from error
    if not isinstance(answer, dict):
        raise InvalidResponseError(f"the server answered {type(answer).__name__}, not an object")
    return answer


def content_type(response: Response) -> str:
    """Give the media type alone, in lower case."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


async def drain(data: AsyncIterator[str]) -> None:
    """Read to the end, so that the connection can serve again; the answer is whole already."""
    with suppress(Exception):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in data:
                pass


async def add_nearest(error: UnknownModelError, model: str, names: Awaitable[list[str]]) -> None:
    """Add the names that were probably meant, when the server soon tells which there are."""
    with suppress(Exception):
        async with asyncio.timeout(_NAMES_SECONDS):
            there = await names
        if near := difflib.get_close_matches(model, there, n=3):
            error.args = (f"{error}; did you mean {' or '.join(map(repr, near))}?",)


def host_of(base_url: str) -> str:
    """Give the host and port, without the password that an address may hold."""
    return urlsplit(base_url).netloc.rpartition("@")[2]


def string_of(value: Any) -> str | None:
    """Give a string that says something; None for all else."""
    return value if isinstance(value, str) and value else None


def count_of(told: Any, name: str) -> int | None:
    """Give a number of tokens out of an object; None when it isn't there, or is nonsense."""
    value = told.get(name) if isinstance(told, dict) else None
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _ABSURD
    return value if sound else None
