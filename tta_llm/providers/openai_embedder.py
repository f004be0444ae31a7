"""Embedders of OpenAI, and of every server that speaks its protocol."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tta_llm.core import WorkflowContext
from tta_llm.errors import InvalidResponseError
from tta_llm.providers._answers import count_of, whole_answer
from tta_llm.providers.embedder import Vectors
from tta_llm.providers.openai_client import OpenAIConnection
from tta_llm.providers.price import Price
from tta_llm.providers.remote_embedder import RemoteEmbedder
from tta_llm.providers.timeouts import Timeouts

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenAIEmbedder"]


class OpenAIEmbedder(RemoteEmbedder):
    """Embeds with a model of OpenAI, or behind any server that speaks its protocol.

    A call takes at most 2,048 texts and 300,000 tokens together; more are split into several calls.
    A text may have 8,192 tokens.

    Args:
        model: The model, as the server names it.
        dimensions: How many numbers a vector has: fewer than the model's own if you like, and what
            the model gives where that isn't one of OpenAI's.
        api_key: The key; `OPENAI_API_KEY` when missing. A server at a `base_url` may need none.
        base_url: Where the server is, usually ending in `/v1`; `OPENAI_BASE_URL` when missing, else
            OpenAI.
        client: An `openai.AsyncOpenAI` of yours, used as it is and never closed; only its retries
            are off.
        provider: Who computes, for spans, prices and errors.
        price: What the tokens cost; the provider's list price when missing.
        timeouts: How long one call may take.
        batch_size: At most this many texts go into one call.
        name: What spans, metrics and drawings call it.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When the SDK isn't installed.

    Example:
        ```python
        from tta_llm.providers import OpenAIEmbedder

        small = OpenAIEmbedder("text-embedding-3-small", dimensions=256, api_key="...")
        assert small.dimensions == 256
        ```
    """

    _sizes: ClassVar[dict[str, int]] = {
        "text-embedding-3-small": 1536,
        "text-embedding-3-large": 3072,
        "text-embedding-ada-002": 1536,
    }

    def __init__(
        self,
        model: str,
        *,
        dimensions: int | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        client: AsyncOpenAI | None = None,
        provider: str = "openai",
        price: Price | None = None,
        timeouts: Timeouts | None = None,
        batch_size: int = 2048,
        name: str | None = None,
    ) -> None:
        super().__init__(
            model,
            provider=provider,
            dimensions=dimensions,
            price=price,
            timeouts=timeouts,
            batch_size=min(batch_size, 2048),
            name=name,
        )
        self._connection = OpenAIConnection(
            "OpenAIEmbedder",
            provider=provider,
            model=model,
            api_key=api_key,
            base_url=base_url,
            client=client,
            timeouts=self.timeouts,
        )

    async def aclose(self) -> None:
        """Close the connections of the running loop; the embedder can be used again afterwards."""
        await self._connection.aclose()

    def _served_at(self) -> str | None:
        return self._connection.served_at

    async def _ask(
        self, texts: Sequence[str], context: WorkflowContext
    ) -> tuple[Vectors, int | None]:
        # Base64, as the SDK itself asks for: a quarter of the bytes of decimal numbers.
        fields: dict[str, Any] = {
            "model": self.model,
            "input": list(texts),
            "encoding_format": "base64",
        }
        # Not every model takes the field; where it has to be told, it is what the model gives.
        if self.dimensions != self._sizes.get(self.model, self.dimensions):
            fields["dimensions"] = self.dimensions
        async with self._connection.asked(
            lambda client: client.embeddings.with_streaming_response.create(**fields)
        ) as response:
            body = await whole_answer(response)
        self._connection.raise_told(body)
        return _in_order(body.get("data"), len(texts)), count_of(body.get("usage"), "prompt_tokens")


def _in_order(data: Any, count: int) -> Vectors:
    """Give the vectors by their index, which need not be the order they come in."""
    placed: dict[int, Vectors] = {}
    for place, each in enumerate(data if isinstance(data, list) else []):
        entry = each if isinstance(each, dict) else {}
        index = entry.get("index", place)
        placed[index if isinstance(index, int) else -1] = _vector(entry.get("embedding"))
    if sorted(placed) != list(range(count)) or len(data) != count:
        raise InvalidResponseError(
            f"{count} texts were sent, and the vectors that came back do not match them"
        )
    if len({vector.shape for vector in placed.values()}) != 1:
        raise InvalidResponseError("the vectors that came back differ in length")
    return np.stack([placed[number] for number in range(count)])


def _vector(told: Any) -> Vectors:
    try:
        if isinstance(told, str):
            return np.frombuffer(base64.b64decode(told, validate=True), "<f4")
        if isinstance(told, list):
            return np.asarray(told, np.float32)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InvalidResponseError("an embedding of the answer can't be read") from error
    raise InvalidResponseError("the answer holds no embedding where one belongs")
