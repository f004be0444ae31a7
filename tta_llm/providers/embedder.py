"""The embedder: texts in, unit vectors out, whoever computes them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._limits import limits_left
from tta_llm.errors import InvalidResponseError
from tta_llm.observability import SpanDetails, conventions, model_call, span_details
from tta_llm.providers.tokens import estimated_tokens

__all__ = ["Embedder", "Vectors"]

Vectors: TypeAlias = NDArray[np.float32]


class Embedder(WorkflowPrimitive[str | Sequence[str], Vectors]):
    """Turns texts into vectors whose dot product tells how alike the texts are.

    A string gives one vector of shape `(dimensions,)`, a sequence of n strings gives `(n,
    dimensions)`; all are float32 and of length 1. For a model of your own, override `_embed`.

    Args:
        model: What computes the vectors, with all that changes them: an index keeps it and refuses
            to mix.
        dimensions: How many numbers a vector has.
        batch_size: At most this many texts go into one call of `_embed`.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.providers import Embedder

        class Lengths(Embedder):
            async def _embed(self, texts, context):
                return [[len(text), 1.0] for text in texts]

        lengths = Lengths(model="lengths-1", dimensions=2)
        assert lengths.run("abc").shape == (2,)
        assert lengths.run(["abc", "de"]).shape == (2, 2)
        ```
    """

    idempotent = True

    provider: str = "local"
    """Who computes; `local` stands for this process."""

    def __init__(
        self, *, model: str, dimensions: int, batch_size: int = 128, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        if dimensions < 1:
            raise ValueError(f"an embedder has 1 dimension or more, not {dimensions!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {batch_size!r}")
        self._model, self._dimensions, self._batch_size = model, dimensions, batch_size

    @property
    def model(self) -> str:
        """What computes the vectors; equal names mean that vectors may be compared."""
        return self._model

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return self._dimensions

    @property
    def cache_identity(self) -> tuple[object, ...]:
        """What tells its vectors from another's, where caches share a store."""
        return self.model, self.dimensions

    def estimate_tokens(self, input_data: str | Sequence[str]) -> int:
        """Estimate the tokens of a call, which a rate limit takes before it."""
        return sum(estimated_tokens(text) for text in _texts(input_data))

    @abstractmethod
    async def _embed(self, texts: Sequence[str], context: WorkflowContext) -> ArrayLike:
        """Give one vector, of any length but zero, for each of at most `batch_size` texts."""

    async def execute(self, input_data: str | Sequence[str], context: WorkflowContext) -> Vectors:
        """Embed a text, or several.

        Raises:
            TypeError: When it is neither a string nor a sequence of strings.
            InvalidResponseError: When the vectors are not what was announced.
        """
        texts = _texts(input_data)
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        told = {**limits_left(context), conventions.DIMENSIONS: self.dimensions}
        with model_call(conventions.EMBEDDINGS, self, told):
            for start in range(0, len(texts), self._batch_size):
                batch = texts[start : start + self._batch_size]
                vectors[start : start + len(batch)] = self._units(
                    await self._embed(batch, context), len(batch)
                )
        return vectors[0] if isinstance(input_data, str) else vectors

    async def aclose(self) -> None:
        """Close what the running loop holds open; the embedder can be used again afterwards."""

    def _span_details(self) -> SpanDetails:
        return span_details(conventions.EMBEDDINGS, self)

    def _served_at(self) -> str | None:
        """Give the address of the server, when it isn't the provider's own."""
        return None

    def _units(self, answer: ArrayLike, count: int) -> Vectors:
        vectors = np.asarray(answer, np.float32)
        wanted = (count, self.dimensions)
        if vectors.shape != wanted:
            raise InvalidResponseError(
                f"{self.model} gave vectors of shape {vectors.shape}, not {wanted}: "
                "set dimensions= to what the model gives"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise InvalidResponseError(f"{self.model} gave a vector that is zero or not a number")
        return cast("Vectors", vectors / lengths)


def _texts(input_data: str | Sequence[str]) -> Sequence[str]:
    if isinstance(input_data, str):
        return [input_data]
    if not isinstance(input_data, Sequence):
        raise TypeError(
            f"an embedder takes a str or a list of them, not {type(input_data).__name__}"
        )
    for text in input_data:
        if not isinstance(text, str):
            raise TypeError(f"an embedder takes texts, not {type(text).__name__}")
    return input_data
