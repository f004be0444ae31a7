"""Models of OpenAI, and of every server that speaks its protocol."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from tta_llm.core import WorkflowContext
from tta_llm.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidResponseError,
    MissingExtraError,
    ProviderError,
    ProviderTimeoutError,
    UnknownModelError,
)
from tta_llm.messages import ChatRequest, ChatResponse, StreamEvent, fold
from tta_llm.providers._answers import (
    add_nearest,
    body_bytes,
    content_type,
    drain,
    host_of,
    json_object,
    whole_answer,
)
from tta_llm.providers.chat import ChatModel
from tta_llm.providers.clients import ClientPerLoop
from tta_llm.providers.faults import Fault, classify, transport_error
from tta_llm.providers.openai_answer import ChunkReader, error_words
from tta_llm.providers.openai_request import payload
from tta_llm.providers.price import Price
from tta_llm.providers.secret import Secret
from tta_llm.providers.sse import sse_data
from tta_llm.providers.timeouts import Timeouts

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

__all__ = ["OpenAIChatModel"]

_NO_KEY = "none-needed"
_OPENAI = "https://api.openai.com"


class OpenAIChatModel(ChatModel):
    """A model of OpenAI, or behind any server that speaks its chat protocol.

    Such servers are Ollama, vLLM, llama.cpp, OpenRouter, Groq, Together and many more: give their
    `base_url`. For Azure, pass an `AsyncAzureOpenAI` as `client`.

    The SDK is imported at the first call, keeps one client for each event loop, retries nothing and
    follows no redirect. Reasoning of earlier turns is not sent back: the protocol has no place for
    it.

    Args:
        model: The model, as the server names it.
        api_key: The key; `OPENAI_API_KEY` when missing. A server at a `base_url` may need none.
        base_url: Where the server is, usually ending in `/v1`; `OPENAI_BASE_URL` when missing, else
            OpenAI.
        client: An `openai.AsyncOpenAI` of yours, used as it is and never closed; only its retries
            are off.
        provider: Who answers, for spans, prices and errors.
        price: What the tokens cost; without it `cost_usd` is None.
        timeouts: How long it may take.
        max_tokens: The longest answer, for requests that don't say.
        max_tokens_field: What the server calls that; some older ones know `max_tokens` alone.
        name: What spans, metrics and drawings call it.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When the SDK isn't installed.

    Example:
        ```python
        from tta_llm.providers import OpenAIChatModel

        local = OpenAIChatModel("llama3", base_url="http://127.0.0.1:11434/v1")
        assert (local.provider, local.model) == ("openai", "llama3")
        ```
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: AsyncOpenAI | None = None,
        provider: str = "openai",
        price: Price | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens",
        name: str | None = None,
    ) -> None:
        super().__init__(
            model,
            provider=provider,
            price=price,
            timeouts=timeouts,
            max_tokens=max_tokens,
            name=name,
        )
        if client is None and importlib.util.find_spec("openai") is None:
            raise MissingExtraError("OpenAIChatModel", "openai")
        if client is not None and (api_key is not None or base_url is not None):
            raise ValueError(
                "the client has its own key and address: give client=, or these, not both"
            )
        self._max_tokens_field = max_tokens_field
        self._base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        self._injected = None if client is None else client.with_options(max_retries=0)
        self._key = _injected_key(client) if client else _find_key(api_key, self._base_url)
        self._clients = ClientPerLoop(self._make_client, _close)

    async def aclose(self) -> None:
        """Close the connections of the running loop; the model can be used again afterwards."""
        await self._clients.aclose()

    async def model_names(self) -> list[str]:
        """Ask the server which models it has.

        Raises:
            ProviderError: When it doesn't tell.
        """
        client = self._injected or await self._clients.get()
        try:
            return [each.id for each in (await client.models.list()).data]
        except Exception as error:
            raise self._ours(error) or error from error

    async def _complete(
        self,
        request: ChatRequest,
        context: WorkflowContext,
    ) -> ChatResponse:
        async with self._asked(payload(request, self.model, self._max_tokens_field)) as response:
            body = await whole_answer(response)
            self._raise_told(body)
            reader = self._reader(response)
            return fold((*reader.read(body, "message"), *reader.end()), raw=body)

    async def _stream(
        self,
        request: ChatRequest,
        context: WorkflowContext,
    ) -> AsyncGenerator[StreamEvent, None]:
        fields = payload(request, self.model, self._max_tokens_field)
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
        async with self._asked(fields) as response:
            if content_type(response) in ("text/html", "application/json"):
                self._raise_told(await whole_answer(response))
                raise InvalidResponseError(
                    "a stream was asked for, and the server sent a whole answer"
                )
            reader = self._reader(response)
            async with body_bytes(response) as chunks, aclosing(sse_data(chunks)) as data:
                async for text in data:
                    if text == "[DONE]":
                        await drain(data)
                        break
                    chunk = json_object(text.encode(), response)
                    self._raise_told(chunk)
                    for event in reader.read(chunk):
                        yield event
            for event in reader.end():
                yield event

    def _reader(self, response: Any) -> ChunkReader:
        return ChunkReader(self.provider, self.model, response.headers.get("x-request-id"))

    def _make_client(self) -> AsyncOpenAI:
        try:
            import openai  # noqa: PLC0415  # an optional package
        except ImportError as error:
            raise MissingExtraError("OpenAIChatModel", "openai") from error
        timeout = openai.Timeout(None, connect=self.timeouts.connect)
        return openai.AsyncOpenAI(
            api_key=self._key.reveal(),
            base_url=self._base_url,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False),
        )

    @asynccontextmanager
    async def _asked(self, fields: dict[str, Any]) -> AsyncIterator[Any]:
        """Send a request and give the response, unread; leaving the block closes it."""
        client = self._injected or await self._clients.get()
        try:
            async with client.chat.completions.with_streaming_response.create(**fields) as response:
                yield response
        except ProviderError:
            raise
        except Exception as error:
            ours = self._ours(error)
            if ours is None:
                raise
            if isinstance(ours, UnknownModelError):
                await add_nearest(ours, self.model, self.model_names())
            raise ours from error

    def _ours(self, error: Exception) -> ProviderError | None:
        """Give our error for one of the SDK or its HTTP library; None for a bug."""
        import openai  # noqa: PLC0415  # an optional package

        self._key.mask_error(error)
        if isinstance(error, openai.APITimeoutError):
            return ProviderTimeoutError(f"{self.provider} did not answer in time: try again")
        if isinstance(error, openai.APIConnectionError):
            return ConnectionFailedError(
                f"the connection to {self.provider} could not be made, or broke: try again, "
                f"and check that {host_of(self._base_url or _OPENAI)} can be reached"
            )
        if isinstance(error, openai.APIStatusError):
            return classify(_fault(error), provider=self.provider, model=self.model)
        return transport_error(error, provider=self.provider, model=self.model)

    def _raise_told(self, body: dict[str, Any]) -> None:
        """Raise the error that an answer with status 200 tells."""
        if (told := body.get("error")) is not None:
            message, codes = error_words(told)
            fault = Fault(self._key.mask(message), codes)
            raise classify(fault, provider=self.provider, model=self.model)


def _find_key(api_key: str | None, base_url: str | None) -> Secret:
    if api_key is not None:
        return Secret(api_key, "api_key")
    if key := os.environ.get("OPENAI_API_KEY"):
        return Secret(key, "OPENAI_API_KEY")
    if base_url is None:
        raise AuthenticationError(
            "there is no key for OpenAI: set OPENAI_API_KEY, pass api_key=, "
            "or give base_url= for a server that needs none",
            provider="openai",
        )
    return Secret(_NO_KEY, "api_key")


def _injected_key(client: AsyncOpenAI) -> Secret:
    """Give the client's key, to keep it out of errors; Azure's may be a note that none is set."""
    key = client.api_key
    return Secret(_NO_KEY if not key or " " in key else key, "api_key")


def _fault(error: APIStatusError) -> Fault:
    message, codes = error_words(error.body)
    return Fault(message, codes, error.status_code, dict(error.response.headers))


async def _close(client: AsyncOpenAI) -> None:
    await client.close()
