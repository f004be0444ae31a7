"""The vector of a question, where whatever goes wrong is no vector, and no error."""

from __future__ import annotations

import logging
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._typing import PlainStep
from tta_llm.performance.statistics import Counts

__all__ = ["Embedding", "TextEmbedder", "UnfitVectorError", "Vector", "unit_of"]

_log = logging.getLogger("tta_llm.performance")

Vector: TypeAlias = NDArray[np.float32]

TextEmbedder: TypeAlias = WorkflowPrimitive[str, Any] | PlainStep[str, Any]
"""A step, or a function that can be one, which gives a vector for a text."""


class UnfitVectorError(ValueError):
    """What an embedder gave is of no use; the text says why, and nothing of the question."""


class Embedding:
    """Asks an embedder, within limits.

    Args:
        embedder: Gives a vector for a text.
        limit_seconds: It may take so long.
        counts: Where its failures are told.
    """

    def __init__(
        self, embedder: WorkflowPrimitive[str, Any], limit_seconds: float, counts: Counts
    ) -> None:
        self._embedder, self._limit, self._counts = embedder, limit_seconds, counts

    async def required(
        self, question: str, context: WorkflowContext, dimensions: int | None
    ) -> Vector:
        """Give the vector of a question, of length 1.

        Raises:
            Exception: What the embedder raises, when its time is up, and what `unit_of` refuses.
        """
        in_time = context.child(timeout_seconds=self._limit)
        return unit_of(await self._embedder.execute(question, in_time), dimensions)

    async def of(
        self, question: str, context: WorkflowContext, dimensions: int | None
    ) -> Vector | None:
        """Give the vector of a question; None when there is none to be had in time."""
        try:
            return await self.required(question, context, dimensions)
        except UnfitVectorError as error:
            reason = str(error)
        except Exception as error:  # its text may hold the question
            reason = f"it failed ({type(error).__name__})"
        name = self._counts.name
        _log.warning("the cache %r has no embedding of a question: %s", name, reason)
        self._counts.add("embed_failed")
        return None


def unit_of(answer: Any, dimensions: int | None = None) -> Vector:
    """Give what an embedder gave for one text as a vector of length 1.

    Raises:
        UnfitVectorError: When it is no vector of numbers, has other dimensions, or is zero.
    """
    try:
        vector = np.asarray(answer, np.float64)
    except (TypeError, ValueError):
        kind = type(answer).__name__
        raise UnfitVectorError(f"the embedder gave a {kind}, not a vector") from None
    if vector.ndim != 1:
        raise UnfitVectorError(
            f"the embedder gave an array of shape {vector.shape} for a text, not one vector"
        )
    if dimensions not in (None, vector.size):
        raise UnfitVectorError(
            f"the embedder gave a vector of {vector.size} dimensions, and of {dimensions} before: "
            "vectors of two models can't be compared; after a change of models, clear the cache"
        )
    with np.errstate(over="ignore"):  # what is too long is not finite
        length = np.linalg.norm(vector)
    if not (np.isfinite(length) and length > 0):
        raise UnfitVectorError("the embedder gave a vector that is zero or not finite")
    return cast("Vector", (vector / length).astype(np.float32))
