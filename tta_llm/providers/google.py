"""Models of Google."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from tta_llm.core import WorkflowContext
from tta_llm.messages import ChatRequest, ChatResponse, StreamEvent, fold
from tta_llm.providers.chat import ChatModel
from tta_llm.providers.google_answer import ChunkReader
from tta_llm.providers.google_client import GoogleConnection
from tta_llm.providers.google_request import arguments
from tta_llm.providers.model_info import ModelInfo
from tta_llm.providers.price import Price
from tta_llm.providers.timeouts import Timeouts

if TYPE_CHECKING:
    from google.genai import Client

__all__ = ["GoogleChatModel"]


class GoogleChatModel(ChatModel):
    """A model of Google: Gemini, and what else its API serves.

    The SDK is imported at the first call, keeps one client for each event loop, retries nothing,
    follows no redirect and calls no tool by itself. For Vertex AI, pass a `google.genai.Client` as
    `client`: its answers come as it reads them, without our limits on their size.

    Of reasoning of earlier turns only what Google has signed is sent back.

    Args:
        model: The model, as Google names it.
        api_key: The key; `GOOGLE_API_KEY` or `GEMINI_API_KEY` when missing. A server at a
            `base_url` may need none.
        base_url: Where the server is, without the API's version; `GOOGLE_GEMINI_BASE_URL` when
            missing, else Google.
        client: A `google.genai.Client` of yours, used as it is and never closed; only its retries
            are off.
        provider: Who answers, for spans, prices and errors.
        price: What the tokens cost; the provider's list price when missing.
        info: The model's limits; those of `model_info` when missing.
        timeouts: How long it may take.
        max_tokens: The longest answer, for requests that don't say.
        reasks: How often to ask again when an answer doesn't fit the `response_format`.
        name: What spans, metrics and drawings call it.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When the SDK isn't installed.

    Example:
        ```python
        from tta_llm.providers import GoogleChatModel

        model = GoogleChatModel("gemini-2.5-flash", api_key="...")
        assert (model.provider, model.model) == ("google", "gemini-2.5-flash")
        ```
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: Client | None = None,
        provider: str = "google",
        price: Price | None = None,
        info: ModelInfo | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        reasks: int = 0,
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
        self._connection = GoogleConnection(
            type(self).__name__,
            provider=provider,
            model=model,
            api_key=api_key,
            base_url=base_url,
            client=client,
            timeouts=self.timeouts,
        )

    def _served_at(self) -> str | None:
        return self._connection.served_at

    async def aclose(self) -> None:
        """Close the connections of the running loop; the model can be used again afterwards."""
        await self._connection.aclose()

    async def model_names(self) -> list[str]:
        """Ask which models there are.

        Raises:
            ProviderError: When the server doesn't tell.
        """
        async with self._connection.asked() as wire:
            return await wire.model_names()

    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        async with self._connection.asked() as wire:
            headers, body = await wire.whole(arguments(request, self.model))
            self._connection.raise_told(body, headers)
            reader = self._reader(headers)
            return fold((*reader.read(body), *reader.end()), raw=body)

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        asked, reader = arguments(request, self.model), self._reader({})
        async with self._connection.asked() as wire, aclosing(wire.chunks(asked)) as chunks:
            async for headers, chunk in chunks:
                self._connection.raise_told(chunk, headers)
                reader.request_id = reader.request_id or headers.get("x-request-id")
                for event in reader.read(chunk):
                    yield event
            for event in reader.end():
                yield event

    def _reader(self, headers: Mapping[str, str]) -> ChunkReader:
        return ChunkReader(self.provider, self.model, headers.get("x-request-id"))
