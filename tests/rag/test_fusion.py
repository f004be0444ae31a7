"""Several searches become one order, and nothing that is known of a hit is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tta_llm import WorkflowContext, step
from tta_llm.rag import Chunk, EmbeddedQuery, Hit, SearchResult
from tta_llm.rag.search.fusion import Fuse
from tta_llm.rag.search.query import Query

QUERY = EmbeddedQuery(Query("which lamp?"), np.zeros(1, np.float32), "fake", 1, "default")


def chunk(name: str) -> Chunk:
    return Chunk(name, f"{name}.md", "", (), name, 0, len(name), 1, 1, None)


def dense(**scores: float) -> SearchResult:
    hits = tuple(Hit(chunk(name), score, dense=score) for name, score in scores.items())
    return SearchResult(QUERY, hits)


def lexical(**scores: float) -> SearchResult:
    hits = tuple(Hit(chunk(name), score, lexical=score) for name, score in scores.items())
    return SearchResult(QUERY, hits)


async def fused(fuse: Fuse, *results: SearchResult) -> dict[str, Any]:
    result = await fuse.execute(results, WorkflowContext())
    return {hit.chunk.id: pytest.approx(hit.score) for hit in result.hits}


async def test_scores_are_averaged_in_standard_deviations() -> None:
    scores = await fused(Fuse(), dense(a=0.9, b=0.7, c=0.5), lexical(b=8.0, d=6.0, a=4.0))
    assert scores == {"b": 0.75, "a": 0.5, "d": 0.25, "c": 0.0}
    assert list(scores) == ["b", "a", "d", "c"]


async def test_a_score_far_above_the_rest_counts_for_more() -> None:
    one_stands_out = dense(a=0.9, **dict.fromkeys("cdefghijk", 0.5))
    even = lexical(b=9.0, **{name: float(place) for place, name in enumerate("cdefghijk")})
    scores = await fused(Fuse(), one_stands_out, even)
    assert next(iter(scores)) == "a"


async def test_a_search_counts_by_its_weight() -> None:
    scores = await fused(Fuse(weights=(3, 1)), dense(a=0.9, b=0.5), lexical(b=8.0, a=4.0))
    assert scores == {"a": 0.75, "b": 0.25}


async def test_ranks_are_all_that_counts_in_rank_fusion() -> None:
    scores = await fused(Fuse("rrf"), dense(a=0.9, b=0.1), lexical(b=800.0, c=0.1))
    half = 0.5
    assert scores == {
        "b": half / 61 + half / 62,
        "a": half / 61,
        "c": half / 62,
    }


async def test_any_number_of_searches_is_joined() -> None:
    one = await fused(Fuse(), lexical(a=3.0, b=1.0))
    three = await fused(Fuse(), lexical(a=3.0, b=1.0), dense(a=0.5, b=0.4), dense(b=0.5, a=0.4))
    assert one == {"a": 1.0, "b": 0.0}
    assert three == {"a": 2 / 3, "b": 1 / 3}


async def test_evidence_of_each_search_is_kept() -> None:
    found = SearchResult(QUERY, (Hit(chunk("a"), 2.0, lexical=2.0, coverage=0.5),))
    result = await Fuse().execute([dense(a=0.5), found], WorkflowContext())
    assert result.hits == (Hit(chunk("a"), 1.0, dense=0.5, lexical=2.0, coverage=0.5),)
    assert result.query is QUERY


@pytest.mark.parametrize("method", ["weighted", "rrf"])
async def test_equals_are_ordered_by_their_ids(method: str) -> None:
    fuse = Fuse("rrf") if method == "rrf" else Fuse()
    scores = await fused(fuse, dense(b=0.9, c=0.1), lexical(a=9.0, c=1.0))
    assert [name for name in scores if name != "c"] == ["a", "b"]


async def test_only_the_first_hits_of_a_search_are_looked_at() -> None:
    scores = await fused(Fuse(depth=2), dense(a=0.9, b=0.7, c=0.5), lexical(c=8.0))
    assert scores == {"a": 0.5, "c": 0.5, "b": 0.0}


async def test_scores_that_are_all_alike_are_all_best() -> None:
    assert await fused(Fuse(), dense(a=0.3, b=0.3)) == {"a": 1.0, "b": 1.0}


async def test_a_search_that_found_nothing_takes_nothing_away() -> None:
    assert await fused(Fuse(), dense(a=0.9, b=0.7), lexical()) == {"a": 1.0, "b": 0.0}
    assert await fused(Fuse(), dense(), lexical()) == {}


async def test_it_joins_what_runs_side_by_side() -> None:
    @step
    async def by_meaning(_: str) -> SearchResult:
        return dense(a=0.9, b=0.7)

    @step
    async def by_words(_: str) -> SearchResult:
        return lexical(a=2.0)

    search = (by_meaning | by_words) >> Fuse()
    result = await search.execute("which lamp?", WorkflowContext())
    assert [hit.chunk.id for hit in result.hits] == ["a", "b"]


async def test_what_can_not_be_joined_is_told() -> None:
    with pytest.raises(ValueError, match="no results"):
        await Fuse().execute([], WorkflowContext())
    with pytest.raises(ValueError, match="2 weights for 1 searches"):
        await Fuse(weights=[1, 1]).execute([dense(a=1.0)], WorkflowContext())


def test_arguments_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="'borda'"):
        Fuse("borda")  # type: ignore[arg-type] # it is the mistake
    with pytest.raises(ValueError, match="depth=0"):
        Fuse(depth=0)
    for weights in ([-1.0, 2.0], [0.0, 0.0], []):
        with pytest.raises(ValueError, match="weights="):
            Fuse(weights=weights)
