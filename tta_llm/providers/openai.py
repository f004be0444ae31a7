"""Models of OpenAI, and of every server that speaks its protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Any, Literal

from tta_llm.core import WorkflowContext
from tta_llm.errors import InvalidResponseError
from tta_llm.messages import ChatRequest, ChatResponse, StreamEvent, fold
from tta_llm.providers._answers import (
    body_bytes,
    content_type,
    drain,
    json_object,
    whole_answer,
)
from tta_llm.providers.chat import ChatModel
from tta_llm.providers.model_info import ModelInfo
from tta_llm.providers.openai_answer import ChunkReader
from tta_llm.providers.openai_client import OpenAIConnection
from tta_llm.providers.openai_request import payload
from tta_llm.providers.price import Price
from tta_llm.providers.rate_headers import rate_limits
from tta_llm.providers.sse import sse_data
from tta_llm.providers.timeouts import Timeouts

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenAIChatModel"]


class OpenAIChatModel(ChatModel):
    """A model of OpenAI, or behind any server that speaks its chat protocol.

    Such servers are Ollama, vLLM, llama.cpp, OpenRouter, Groq, Together and many more: give their
    `base_url`, or a name such as `ollama:llama3` to `chat_model`, which also knows `azure:`.

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
        price: What the tokens cost; the provider's list price when missing.
        info: The model's limits; those of `model_info` when missing.
        timeouts: How long it may take.
        max_tokens: The longest answer, for requests that don't say.
        reasks: How often to ask again when an answer doesn't fit the `response_format`.
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
        info: ModelInfo | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        reasks: int = 0,
        max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens",
        name: str | None = None,
    ) -> None:
        super().__init__(
            model,
            provider=provider,
            price=price,
            info=info,
            timeouts=timeouts,
            max_tokens=max_tokens,
            reasks=reasks,
            name=name,
        )
        self._max_tokens_field = max_tokens_field
        self._connection = self._connect(api_key=api_key, base_url=base_url, client=client)

    def _connect(self, **arguments: Any) -> OpenAIConnection:
        return OpenAIConnection(
            type(self).__name__,
            provider=self.provider,
            model=self.model,
            timeouts=self.timeouts,
            **arguments,
        )

    def _served_at(self) -> str | None:
        return self._connection.served_at

    async def aclose(self) -> None:
        """Close the connections of the running loop; the model can be used again afterwards."""
        await self._connection.aclose()

    async def model_names(self) -> list[str]:
        """Ask the server which models it has.

        Raises:
            ProviderError: When it doesn't tell.
        """
        return await self._connection.model_names()

    async def _complete(
        self,
        request: ChatRequest,
        context: WorkflowContext,
    ) -> ChatResponse:
        async with self._asked(payload(request, self.model, self._max_tokens_field)) as response:
            body = await whole_answer(response)
            self._connection.raise_told(body)
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
                self._connection.raise_told(await whole_answer(response))
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
                    self._connection.raise_told(chunk)
                    for event in reader.read(chunk):
                        yield event
            for event in reader.end():
                yield event

    def _reader(self, response: Any) -> ChunkReader:
        told = response.headers
        return ChunkReader(self.provider, self.model, told.get("x-request-id"), rate_limits(told))

    def _asked(self, fields: dict[str, Any]) -> AbstractAsyncContextManager[Any]:
        return self._connection.asked(
            lambda client: client.chat.completions.with_streaming_response.create(**fields)
        )
