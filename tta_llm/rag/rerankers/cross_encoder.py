"""Rerank by a cross-encoder on this machine, which reads question and text together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tta_llm.core import WorkflowContext
from tta_llm.core.threads import finish_in_thread
from tta_llm.rag.rerankers.base import Reranker

__all__ = ["CrossEncoderReranker", "PairScorer"]

PairScorer: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]
"""Scores texts against a question, one number for each; it may block."""


class CrossEncoderReranker(Reranker):
    """Orders hits by a model that blocks, in a thread, a few texts at a time.

    No model comes with this package, and none is downloaded: see `FlashRankScorer` and
    `SentenceTransformersScorer` for those that lie on the disk.

    Args:
        score: Scores texts against a question; several threads may call it at the same time.
        top_k: How many hits to keep.
        depth: How many of the first hits are scored.
        batch_size: How many texts are scored in one go, which a cancellation waits for.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.rag import CrossEncoderReranker

        def shared_words(query, texts):
            words = set(query.lower().split())
            return [len(words & set(text.lower().split())) for text in texts]

        assert CrossEncoderReranker(shared_words, top_k=3).idempotent
        ```
    """

    idempotent = True

    def __init__(
        self,
        score: PairScorer,
        *,
        top_k: int = 6,
        depth: int = 50,
        batch_size: int = 16,
        name: str = "rerank_results",
    ) -> None:
        super().__init__(top_k=top_k, depth=depth, name=name)
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {batch_size!r}")
        self._pairs, self._batch_size = score, batch_size

    async def _score(
        self, query: str, texts: Sequence[str], context: WorkflowContext
    ) -> Sequence[float]:
        scores: list[float] = []
        for start in range(0, len(texts), self._batch_size):
            batch = texts[start : start + self._batch_size]
            scores += await finish_in_thread(self._pairs, query, batch)
        return scores
