"""google-genai: the one file that imports it.

What goes out is the SDK's. What comes back is read here, and bounded, unless the client is the
user's own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tta_llm.errors import InvalidResponseError
from tta_llm.providers._answers import body_bytes, content_type, json_object, whole_answer
from tta_llm.providers._trust import trusted
from tta_llm.providers.faults import Fault
from tta_llm.providers.google_answer import fault_of
from tta_llm.providers.google_http import AnsweredError, http_client
from tta_llm.providers.sse import sse_data

if TYPE_CHECKING:
    from google.genai import Client

__all__ = ["Chunk", "GivenWire", "OwnWire", "Wire", "is_installed", "told_fault"]

JSON: TypeAlias = dict[str, Any]
Chunk: TypeAlias = tuple[Mapping[str, str], JSON]
"""A response's headers, and its JSON or a piece of it."""


class Wire(Protocol):
    """Sends a request, as `models.generate_content` takes it, and gives what comes back."""

    async def whole(self, asked: JSON) -> Chunk:
        """Give the whole answer."""
        ...

    def chunks(self, asked: JSON) -> AsyncGenerator[Chunk, None]:
        """Give the chunks of a streamed answer."""
        ...

    async def model_names(self) -> list[str]:
        """Give the models that there are."""
        ...


class OwnWire:
    """A client of the SDK that retries nothing, and leaves the reading to us.

    Args:
        key: The key.
        base_url: Where the server is; None for Google.
        connect_seconds: How long to wait for a connection.
    """

    def __init__(self, key: str, base_url: str | None, connect_seconds: float) -> None:
        from google import genai  # noqa: PLC0415  # an optional package

        # Since its third major the SDK speaks httpx2, and it knows no other's client before.
        library = import_module("httpx2" if _major(genai.__version__) > 2 else "httpx")
        trust = trusted(library)
        # A client of ours also keeps the SDK from aiohttp, with which it would retry by itself.
        self._http = http_client(library, connect_seconds)
        options = genai.types.HttpOptions(
            base_url=base_url,
            httpx_async_client=self._http,
            client_args={"verify": trust},
            async_client_args={"verify": trust, "ssl": trust},
            retry_options=genai.types.HttpRetryOptions(attempts=1),
        )
        self._client = genai.Client(vertexai=False, api_key=key, http_options=options)

    async def aclose(self) -> None:
        """Close the connections; the SDK leaves an HTTP client open that it was given."""
        await self._client.aio.aclose()
        self._client.close()
        await self._http.aclose()

    async def whole(self, asked: JSON) -> Chunk:
        """Give the whole answer."""
        try:
            await self._client.aio.models.generate_content(**_safe(asked))
        except AnsweredError as answered:
            answer = answered.answer
        return answer.headers, await whole_answer(answer)

    async def chunks(self, asked: JSON) -> AsyncGenerator[Chunk, None]:
        """Give the chunks of a streamed answer."""
        try:
            await anext(await self._client.aio.models.generate_content_stream(**_safe(asked)))
        except AnsweredError as answered:
            answer = answered.answer
        if content_type(answer) in ("text/html", "application/json"):
            # An error; or, from a server that can't stream, the whole answer, which has one form.
            yield answer.headers, await whole_answer(answer)
            return
        stray = bytearray()
        async with body_bytes(answer) as body, aclosing(sse_data(body, stray)) as data:
            async for text in data:
                yield answer.headers, json_object(text.encode(), answer)
        if (told := _stray_error(stray)) is not None:
            yield answer.headers, told

    async def model_names(self) -> list[str]:
        """Give the models that there are."""
        try:
            await self._client.aio.models.list(config={"page_size": 1000})
        except AnsweredError as answered:
            answer = answered.answer
        models = (await whole_answer(answer))["models"]
        return [each["name"].removeprefix("models/") for each in models]


class GivenWire:
    """A user's client, which answers in its own way; only its retries are off.

    Args:
        client: The client; it stays open.
    """

    def __init__(self, client: Client) -> None:
        self._models = client.aio.models

    async def whole(self, asked: JSON) -> Chunk:
        """Give the whole answer."""
        asked = _safe(asked, retry_options={"attempts": 1})
        asked["config"]["should_return_http_response"] = True
        response = (await self._models.generate_content(**asked)).sdk_http_response
        headers, body = (response.headers, response.body) if response else (None, None)
        try:
            answer = json.loads(body or "")
        except ValueError as error:
            raise InvalidResponseError("the server's answer is no JSON") from error
        if not isinstance(answer, dict):
            raise InvalidResponseError(f"the answer is {type(answer).__name__}, not an object")
        return headers or {}, answer

    async def chunks(self, asked: JSON) -> AsyncGenerator[Chunk, None]:
        """Give the chunks of a streamed answer."""
        asked = _safe(asked, retry_options={"attempts": 1})
        stream: Any = await self._models.generate_content_stream(**asked)
        try:
            async for chunk in stream:
                response = chunk.sdk_http_response
                chunk.sdk_http_response = None  # no part of the answer
                told = chunk.model_dump(mode="json", by_alias=True, exclude_none=True)
                yield (response.headers if response else None) or {}, told
        finally:
            await _break_off(stream)

    async def model_names(self) -> list[str]:
        """Give the models that there are."""
        page = await self._models.list(config={"page_size": 1000})
        return [(each.name or "").removeprefix("models/") for each in page.page]


def is_installed() -> bool:
    """Tell whether the SDK is there, without importing it."""
    try:
        return importlib.util.find_spec("google.genai") is not None
    except ModuleNotFoundError:
        return False  # nor any other package of Google's


def told_fault(error: Exception) -> Fault | None:
    """Read an error of the SDK; None when it is someone else's.

    Raises:
        InvalidResponseError: When the SDK could not read the answer.
    """
    from google.genai import errors  # noqa: PLC0415  # an optional package

    if isinstance(error, errors.UnknownApiResponseError):
        raise InvalidResponseError("the server's answer is no JSON") from error
    if not isinstance(error, errors.APIError):
        return None
    headers = getattr(error.response, "headers", None) or {}
    lowered = {name.lower(): value for name, value in headers.items()}
    return fault_of(error.details, error.code, lowered)


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _safe(asked: JSON, **http_options: Any) -> JSON:
    """Give the arguments with all switched off that the SDK would do by itself."""
    from google.genai import types  # noqa: PLC0415  # an optional package

    config = dict(asked["config"])
    config["automatic_function_calling"] = {"disable": True}
    if "automatic_continuation" in types.GenerateContentConfig.model_fields:
        config["automatic_continuation"] = False
    config["http_options"] = config.get("http_options", {}) | http_options
    return asked | {"config": config}


async def _break_off(stream: AsyncIterator[Any]) -> None:
    """End a stream of the SDK where it waits for the network, which closes the connection.

    Closing the stream would not: it leaves the generators that it reads from as they are.
    """
    while True:
        waiting = asyncio.ensure_future(anext(stream, None))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        if waiting.cancelled() or waiting.exception() or waiting.result() is None:
            return


def _stray_error(stray: bytearray) -> JSON | None:
    """Give the error that Google writes into a broken stream as plain JSON, without `data:`."""
    try:
        told = json.loads(stray)
    except ValueError:
        return None
    told = told[0] if isinstance(told, list) and told else told
    return told if isinstance(told, dict) and "error" in told else None
