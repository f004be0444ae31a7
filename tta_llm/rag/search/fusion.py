"""Fusion: what several searches found for a question becomes one order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Literal, TypeAlias

import numpy as np

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.rag.search.search import Hit, SearchResult

__all__ = ["Fuse", "FusionMethod", "reciprocal_ranks", "spread"]

FusionMethod: TypeAlias = Literal["weighted", "rrf"]

# Evidence that each search fills in for itself; the chunk and the score, which come first, are not.
_evidence = attrgetter(*[each.name for each in fields(Hit)][2:])


class Fuse(WorkflowPrimitive[Sequence[SearchResult], SearchResult]):
    """Joins searches that ran side by side: `(dense | lexical) >> Fuse()`.

    `weighted` measures each search's scores in standard deviations above its lowest, and adds them
    by weight (a convex combination: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for
    Hybrid Retrieval", 2023); 1 is the best of every search. `rrf` looks at ranks alone and adds
    1 / (60 + rank) (reciprocal rank fusion: Cormack, Clarke and Buettcher, 2009): for searches
    whose scores can't be trusted. A chunk that a search did not find counts as its lowest there, or
    nothing by ranks; equals are ordered by their ids.

    Args:
        method: How scores are joined.
        weights: What each search counts, in the order of the searches; alike when missing.
        depth: How many hits of each search are looked at.
        name: What spans, metrics and drawings call it.

    Raises:
        ValueError: There is nothing to join, or not a weight for each search.

    Example:
        ```python
        from tta_llm.rag import Chunk, EmbedQuery, Fuse, Hit, Index, SearchResult
        from tta_llm.testing import FakeEmbedder

        query = EmbedQuery(Index(FakeEmbedder())).run("lamp")
        lamp = Chunk("1", "a.md", "", (), "A lamp.", 0, 7, 1, 1, None)
        dense = SearchResult(query, (Hit(lamp, 0.8, dense=0.8),))
        lexical = SearchResult(query, (Hit(lamp, 4.2, lexical=4.2),))
        [hit] = Fuse().run([dense, lexical]).hits
        assert (hit.score, hit.dense, hit.lexical) == (1.0, 0.8, 4.2)
        ```
    """

    idempotent = True

    def __init__(
        self,
        method: FusionMethod = "weighted",
        *,
        weights: Sequence[float] | None = None,
        depth: int = 100,
        name: str = "fuse",
    ) -> None:
        super().__init__(name=name)
        if method not in _SCORES:
            raise ValueError(f"method={method!r} is unknown; give 'weighted' or 'rrf'")
        if weights is not None and (min(weights, default=0) < 0 or not sum(weights)):
            raise ValueError(f"weights={weights!r} must not be negative, nor all 0")
        if depth < 1:
            raise ValueError(f"depth={depth!r} looks at nothing; give 1 or more")
        self._method, self._weights, self._depth = method, weights, depth

    async def execute(
        self, input_data: Sequence[SearchResult], context: WorkflowContext
    ) -> SearchResult:
        """Join the results; the question is the first's."""
        if not input_data:
            raise ValueError("there are no results to join; give at least one")
        lists = [result.hits[: self._depth] for result in input_data]
        each_scores = [_SCORES[self._method](hits) for hits in lists]
        scores = _added(each_scores, self._shares(len(lists)))
        if self._method == "weighted":
            tops = [{"": max(each.values(), default=0.0)} for each in each_scores]
            best = _added(tops, self._shares(len(lists)))[""] or 1.0
            scores = {name: score / best for name, score in scores.items()}
        hits = _found((hit for hits in lists for hit in hits), scores)
        return SearchResult(input_data[0].query, tuple(sorted(hits, key=_best_first)))

    def _shares(self, count: int) -> list[float]:
        weights = [1.0] * count if self._weights is None else list(self._weights)
        if len(weights) != count:
            raise ValueError(f"{len(weights)} weights for {count} searches; give one for each")
        return [weight / sum(weights) for weight in weights]


def spread(hits: Sequence[Hit]) -> dict[str, float]:
    """Give how many standard deviations each score is above the lowest; 2 where all are alike."""
    scores = {hit.chunk.id: hit.score for hit in hits}
    low = min(scores.values(), default=0.0)
    deviation = float(np.std(list(scores.values()))) if low < max(scores.values(), default=0) else 0
    if not deviation:
        # Nothing is known against any of them; of two that differ, the better is 2 above.
        return dict.fromkeys(scores, 2.0)
    return {each: (score - low) / deviation for each, score in scores.items()}


def reciprocal_ranks(hits: Sequence[Hit]) -> dict[str, float]:
    """Give 1 / (60 + rank), with 1 as the first rank."""
    return {hit.chunk.id: 1 / (60 + rank) for rank, hit in enumerate(hits, 1)}


_SCORES = {"weighted": spread, "rrf": reciprocal_ranks}


def _added(scores: Iterable[Mapping[str, float]], shares: Iterable[float]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each, share in zip(scores, shares, strict=True):
        for name, score in each.items():
            total[name] = total.get(name, 0.0) + share * score
    return total


def _found(hits: Iterable[Hit], scores: Mapping[str, float]) -> list[Hit]:
    """Give each chunk once, with all that is known of it."""
    together: dict[str, list[Hit]] = {}
    for hit in hits:
        together.setdefault(hit.chunk.id, []).append(hit)
    return [Hit(each[0].chunk, scores[name], *_known(each)) for name, each in together.items()]


def _known(hits: Sequence[Hit]) -> Iterable[Any]:
    """Of each evidence the first that there is."""
    columns = zip(*map(_evidence, hits), strict=True)
    return (next(filter(None, values), values[0]) for values in columns)


def _best_first(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.chunk.id
