"""How well the package's own searches find, on any collection with judgements.

    python -m benchmarks.retrieval --data FOLDER [--cache FOLDER] [--json]

The folder holds corpus.jsonl, queries.jsonl and qrels.tsv, as BEIR's do (`judged.py` says what is
in them). Documents are cut by the Chunker and embedded by MiniLM, which takes a second for
some dozen chunks; with `--cache` the vectors are kept for the next run. A document's place is that
of its best chunk. Intervals are 95 %, by bootstrap of the questions, of the difference in nDCG@10
to the same question's with words alone and with vectors alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.judged import (
    Collection,
    KeptVectors,
    Quality,
    interval,
    quality,
    read_collection,
)
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.providers.minilm import MiniLM
from tta_llm.rag import (
    EmbeddedQuery,
    EmbedQuery,
    Fuse,
    Index,
    IngestDocuments,
    RerankResults,
    SearchResult,
    SearchVectors,
    SearchWords,
)

WORDS, VECTORS = "BM25", "dense"
"""The plain parts, which the others are compared with."""

Search = WorkflowPrimitive[EmbeddedQuery, SearchResult]


class Row(NamedTuple):
    """What one way to search is worth, question by question, and the median time it takes."""

    who: str
    qualities: list[Quality]
    milliseconds: float

    @property
    def mean(self) -> Quality:
        """The average."""
        return Quality(*map(statistics.fmean, zip(*self.qualities, strict=True)))

    def gain(self, other: Row) -> tuple[float, float]:
        """The interval of the difference in nDCG to another's."""
        pairs = zip(self.qualities, other.qualities, strict=True)
        return interval([one.ndcg - two.ndcg for one, two in pairs])


def searches(index: Index) -> dict[str, Search]:
    """Give the ways to search, as they ship."""
    vectors, words = SearchVectors(index), SearchWords(index)
    hybrid = (vectors | words) >> Fuse()
    ranks = (vectors | words) >> Fuse("rrf")
    return {
        WORDS: words,
        VECTORS: vectors,
        "hybrid by ranks": ranks,
        "hybrid": hybrid,
        "hybrid + rerank": hybrid >> RerankResults(index, top_k=50),
    }


async def measure(collection: Collection, cache: Path) -> list[Row]:
    """Take the collection into an index in memory, and ask all its questions in each way."""
    context = WorkflowContext()
    async with Index(KeptVectors(MiniLM(), cache)) as index:
        await IngestDocuments(index).execute(collection.documents, context)
        embed = EmbedQuery(index)
        asked = {
            name: await embed.execute(text, context) for name, text in collection.questions.items()
        }
        return [
            await _row(who, search, collection, asked) for who, search in searches(index).items()
        ]


async def _row(
    who: str, search: Search, collection: Collection, asked: dict[str, EmbeddedQuery]
) -> Row:
    qualities, seconds = list[Quality](), list[float]()
    for name, query in asked.items():
        begun = time.perf_counter()
        result = await search.execute(query, WorkflowContext())
        seconds.append(time.perf_counter() - begun)
        ranking = list(dict.fromkeys(hit.chunk.path for hit in result.hits))
        qualities.append(quality(ranking, collection.judgements[name]))
    return Row(who, qualities, statistics.median(seconds) * 1000)


def report(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Give the figures, as JSON has them."""
    plain = {row.who: row for row in rows if row.who in {WORDS, VECTORS}}
    return [
        {"search": row.who, **row.mean._asdict(), "ms": row.milliseconds}
        | {f"over {who}": row.gain(other) for who, other in plain.items() if other is not row}
        for row in rows
    ]


def show(figures: Sequence[dict[str, Any]]) -> None:
    """Print the figures as a table."""
    print("| search | nDCG@10 | recall@10 | MRR@10 | ms | over BM25 | over dense |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for each in figures:
        gains = [each.get(f"over {who}") for who in (WORDS, VECTORS)]
        told = " | ".join(f"{gain[0]:+.3f} to {gain[1]:+.3f}" if gain else "" for gain in gains)
        means = " | ".join(f"{each[name]:.3f}" for name in Quality._fields)
        print(f"| {each['search']} | {means} | {each['ms']:.1f} | {told} |")


def main() -> None:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the collection's folder")
    parser.add_argument("--cache", type=Path, help="where vectors are kept")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.cache or Path(folder)
        rows = asyncio.run(measure(read_collection(arguments.data), cache))
    figures = report(rows)
    print(json.dumps(figures)) if arguments.json else show(figures)


if __name__ == "__main__":
    main()
