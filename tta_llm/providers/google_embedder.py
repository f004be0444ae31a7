"""Embedders of Google."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tta_llm.core import WorkflowContext
from tta_llm.errors import InvalidResponseError
from tta_llm.providers._answers import count_of, whole_answer
from tta_llm.providers.embedder import Vectors
from tta_llm.providers.google_client import GoogleConnection
from tta_llm.providers.google_http import AnsweredError
from tta_llm.providers.google_wire import Chunk, GivenWire, OwnWire, Wire
from tta_llm.providers.price import Price
from tta_llm.providers.remote_embedder import RemoteEmbedder
from tta_llm.providers.timeouts import Timeouts

if TYPE_CHECKING:
    from google.genai import Client

__all__ = ["GoogleEmbedder"]

_MOST_TEXTS = 100


class GoogleEmbedder(RemoteEmbedder):
    """Embeds with a model of Google.

    A call takes at most 100 texts; more are split into several calls. Of a longer text Google reads
    the first 2,048 tokens with `gemini-embedding-001`, and 8,192 with `gemini-embedding-2`.

    Args:
        model: The model, as Google names it.
        dimensions: How many numbers a vector has, fewer than the model's own if you like.
        api_key: The key; `GOOGLE_API_KEY` or `GEMINI_API_KEY` when missing. A server at a
            `base_url` may need none.
        base_url: Where the server is, without the API's version; `GOOGLE_GEMINI_BASE_URL` when
            missing, else Google.
        client: A `google.genai.Client` of yours, such as one for Vertex AI, used as it is and never
            closed; only its retries are off.
        provider: Who computes, for spans, prices and errors.
        price: What the tokens cost; the list price when missing.
        timeouts: How long one call may take.
        batch_size: At most this many texts go into one call.
        name: What spans, metrics and drawings call it.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When the SDK isn't installed.

    Example:
        ```python
        from tta_llm.providers import GoogleEmbedder

        model = GoogleEmbedder("gemini-embedding-001", dimensions=768, api_key="...")
        assert (model.provider, model.dimensions) == ("google", 768)
        ```
    """

    _sizes: ClassVar[dict[str, int]] = {"gemini-embedding-001": 3072, "gemini-embedding-2": 3072}

    def __init__(
        self,
        model: str,
        *,
        dimensions: int | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        client: Client | None = None,
        provider: str = "google",
        price: Price | None = None,
        timeouts: Timeouts | None = None,
        batch_size: int = _MOST_TEXTS,
        name: str | None = None,
    ) -> None:
        super().__init__(
            model,
            provider=provider,
            dimensions=dimensions,
            price=price,
            timeouts=timeouts,
            batch_size=min(batch_size, _MOST_TEXTS),
            name=name,
        )
        self._connection = GoogleConnection(
            "GoogleEmbedder",
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
        # Each text as a content of its own: of bare strings gemini-embedding-2 makes one vector.
        contents = [{"role": "user", "parts": [{"text": text}]} for text in texts]
        config: dict[str, Any] = {"http_options": {"retry_options": {"attempts": 1}}}
        if self.dimensions != self._sizes.get(self.model):
            config["output_dimensionality"] = self.dimensions
        asked = {"model": self.model, "contents": contents, "config": config}
        async with self._connection.asked() as wire:
            headers, body = await _embedded(wire, asked)
            self._connection.raise_told(body, headers)
        vectors = [each.get("values") for each in _list(body.get("embeddings"))]
        tokens = count_of(body.get("usageMetadata"), "promptTokenCount")
        return _stacked(vectors, len(texts)), tokens


async def _embedded(wire: Wire, asked: dict[str, Any]) -> Chunk:
    if isinstance(wire, GivenWire):
        response = await wire._models.embed_content(**asked)  # noqa: SLF001  # a friend of this file
        return {}, response.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert isinstance(wire, OwnWire)
    try:
        await wire._client.aio.models.embed_content(**asked)  # noqa: SLF001  # as above
    except AnsweredError as answered:
        answer = answered.answer
    return answer.headers, await whole_answer(answer)


def _list(value: Any) -> list[dict[str, Any]]:
    """Give the objects of a list; what is none counts as an empty one."""
    if not isinstance(value, list):
        return []
    return [each if isinstance(each, dict) else {} for each in value]


def _stacked(vectors: list[Any], count: int) -> Vectors:
    """Give the vectors as an array; Google tells no index, so their number must do."""
    if len(vectors) != count:
        raise InvalidResponseError(f"{count} texts were sent, and {len(vectors)} vectors came back")
    try:
        return np.array(vectors, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidResponseError("an embedding of the answer can't be read") from error
