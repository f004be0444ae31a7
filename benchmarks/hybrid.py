"""How long a hybrid search takes as an index grows, stage by stage.

`python -m benchmarks.hybrid --chunks 100000 --store numpy` makes up so many chunks of words, which
are drawn as often as those of a language (Zipf), with vectors at random: the time depends on their
number, not on what they say. Give `--store chroma` for Chroma, whose filling takes ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.providers import Embedder
from tta_llm.rag import (
    Chunker,
    Document,
    EmbedQuery,
    Index,
    IngestDocuments,
    SearchVectors,
    SearchWords,
    hybrid_search,
    retrieval,
)

WORDS, PER_PARAGRAPH, PARAGRAPHS, PER_QUESTION, QUESTIONS = 50_000, 120, 20, 12, 60
CHUNKS = 27.67  # into which a document is cut


class Random(Embedder):
    """Vectors at random, in no time."""

    def __init__(self) -> None:
        super().__init__(model="random", dimensions=384, batch_size=10_000)
        self._random = np.random.default_rng(1)

    async def _embed(self, texts: Sequence[str], context: WorkflowContext) -> NDArray[np.float32]:
        return self._random.standard_normal((len(texts), 384), dtype=np.float32)


def words_of(random: np.random.Generator, words: int) -> str:
    """Draw so many words."""
    return " ".join(f"w{number}" for number in random.zipf(1.2, words) % WORDS)


async def filled(index: Index, chunks: int) -> float:
    """Fill the index, and give the seconds that took."""
    random = np.random.default_rng(2)
    documents = (
        Document(
            f"{number}.txt",
            "",
            "\n\n".join(words_of(random, PER_PARAGRAPH) + "." for _ in range(PARAGRAPHS)),
            "text",
        )
        for number in range(int(chunks / CHUNKS))
    )
    begun = time.perf_counter()
    chunker = Chunker(tokens=2 * PER_PARAGRAPH, context=0)
    report = await IngestDocuments(index, chunker=chunker).execute(documents, WorkflowContext())
    print(f"{report.chunks} chunks taken in")
    return time.perf_counter() - begun


async def timed(run: Callable[[str], Awaitable[object]], questions: Sequence[str]) -> str:
    """Run for each question, and tell the median and the 99th percentile."""
    await run(questions[0])
    took = []
    for question in questions[1:]:
        begun = time.perf_counter()
        await run(question)
        took.append(1_000 * (time.perf_counter() - begun))
    return f"p50 {np.percentile(took, 50):6.2f} ms   p99 {np.percentile(took, 99):6.2f} ms"


async def main(chunks: int, store: str) -> None:
    """Print the table."""
    random = np.random.default_rng(3)
    questions = [words_of(random, PER_QUESTION) for _ in range(QUESTIONS)]
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with Index.open(folder, Random(), store=store) as index:
            print(f"filled in {await filled(index, chunks):.0f} s")
            embed, context = EmbedQuery(index), WorkflowContext()
            queries = {each: await embed.execute(each, context) for each in questions}
            for name, step in (
                ("dense, 100 hits", SearchVectors(index)),
                ("words, 100 hits", SearchWords(index)),
                ("hybrid", hybrid_search(index)),
            ):
                run = partial(_run, step, queries, context)
                print(f"{name:20} {await timed(run, questions)}")
            run = partial(_run, retrieval(index), {each: each for each in questions}, context)
            print(f"{'all but the cache':20} {await timed(run, questions)}")


async def _run(
    step: WorkflowPrimitive[Any, Any],
    inputs: Mapping[str, Any],
    context: WorkflowContext,
    question: str,
) -> None:
    await step.execute(inputs[question], context)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--store", default="numpy")
    given = parser.parse_args()
    asyncio.run(main(given.chunks, given.store))
