"""Models of Anthropic, and of every server that speaks its protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Any

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
from tta_llm.providers.anthropic_answer import AnswerReader
from tta_llm.providers.anthropic_client import AnthropicConnection
from tta_llm.providers.anthropic_models import longest_answer
from tta_llm.providers.anthropic_request import payload
from tta_llm.providers.chat import OPTIONS, ChatModel
from tta_llm.providers.model_info import ModelInfo
from tta_llm.providers.price import Price
from tta_llm.providers.rate_headers import rate_limits
from tta_llm.providers.sse import sse_data
from tta_llm.providers.timeouts import Timeouts

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

__all__ = ["AnthropicChatModel"]


class AnthropicChatModel(ChatModel):
    """A model of Anthropic, or behind any server that speaks its messages protocol.

    For a cloud, pass its client of the SDK, such as `AsyncAnthropicBedrock`, as `client`.

    The SDK is imported at the first call, keeps one client for each event loop, retries nothing and
    follows no redirect. Signed reasoning is sent back in later turns to the model that gave it;
    reasoning of other models stays behind, for it would be refused. What the system says goes out
    before the conversation, wherever it stands. A mark of `Message.cache` becomes `cache_control`.

    The protocol asks each request for the longest answer: where nobody says one, it is the longest
    that the model can give, and 4096 tokens for a model that isn't known here. With `temperature`
    or `top_p` the request asks for the older version of the protocol, for the newer one has
    neither; the newest models refuse them in any version.

    Args:
        model: The model, as the server names it.
        api_key: The key; `ANTHROPIC_API_KEY` when missing. A server at a `base_url` may need none.
        base_url: Where the server is, without `/v1`; `ANTHROPIC_BASE_URL` when missing, else
            Anthropic.
        client: An `anthropic.AsyncAnthropic` of yours, used as it is and never closed; only its
            retries are off.
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
        from tta_llm.providers import AnthropicChatModel

        model = AnthropicChatModel("claude-haiku-4-5", api_key="...")
        assert (model.provider, model.model) == ("anthropic", "claude-haiku-4-5")
        ```
    """

    options: frozenset[str] = OPTIONS - {"seed"} | {"cache"}

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: AsyncAnthropic | None = None,
        provider: str = "anthropic",
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
        self._connection = AnthropicConnection(
            type(self).__name__,
            provider=self.provider,
            model=self.model,
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
        """Ask the server which models it has.

        Raises:
            ProviderError: When it doesn't tell.
        """
        return await self._connection.model_names()

    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        async with self._asked(self._payload(request)) as response:
            body = await whole_answer(response)
            self._connection.raise_told(body)
            reader = self._reader(response)
            return fold((*reader.message(body), *reader.end()), raw=body)

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        async with self._asked(self._payload(request) | {"stream": True}) as response:
            if content_type(response) in ("text/html", "application/json"):
                self._connection.raise_told(await whole_answer(response))
                raise InvalidResponseError(
                    "a stream was asked for, and the server sent a whole answer"
                )
            reader = self._reader(response)
            async with body_bytes(response) as chunks, aclosing(sse_data(chunks)) as data:
                async for text in data:
                    event = json_object(text.encode(), response)
                    self._connection.raise_told(event)
                    for ours in reader.event(event):
                        yield ours
                    if reader.ended:
                        await drain(data)
                        break
            for ours in reader.end():
                yield ours

    def _reader(self, response: Any) -> AnswerReader:
        told = response.headers
        return AnswerReader(self.provider, self.model, told.get("request-id"), rate_limits(told))

    def _asked(self, fields: dict[str, Any]) -> AbstractAsyncContextManager[Any]:
        # The timeout is told with the call, or the SDK refuses a plain one that might take more
        # than ten minutes: those of more than 21,333 tokens. Our own clock stops it in time.
        return self._connection.asked(
            lambda client: client.messages.with_streaming_response.create(
                **fields, timeout=client.timeout
            )
        )

    def _payload(self, request: ChatRequest) -> dict[str, Any]:
        known = None if self.info is None else self.info.max_output_tokens
        return payload(request, self.model, known or longest_answer(self.model))
