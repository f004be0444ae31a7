"""Kill ingestions at random moments, and compare what comes of the index with a fresh one.

`python -m tests.rag.ingest_killing STORE KILLS SEED` prints what it saw as JSON. Each ingestion is
a process of its own, forked from this one, which has imported everything already.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import chromadb  # noqa: F401 - before the forks, each of which would take two seconds for it
import numpy as np

from tta_llm import WorkflowContext
from tta_llm.rag import Chunker, Index, IngestDocuments
from tta_llm.testing import FakeEmbedder

WORDS = "lamp battery hour charge sun solar hub station rain wind frost alarm price euro".split()


class Slow(FakeEmbedder):
    """Leaves room for a kill between any two groups."""

    async def _embed(self, texts: Sequence[str], context: WorkflowContext) -> Any:
        await asyncio.sleep(0.004)
        return await super()._embed(texts, context)


def write(file: Path, random_: random.Random) -> None:
    paragraphs = [" ".join(random_.choices(WORDS, k=random_.randint(5, 40))) + "." for _ in "x" * 8]
    file.write_text(f"---\nyear: {random_.randint(2020, 2022)}\n---\n# {file.stem}\n\n")
    with file.open("a") as more:
        more.write("\n\n".join(random_.sample(paragraphs, random_.randint(1, 8))) + "\n")


def change(docs: Path, random_: random.Random) -> None:
    """Add, change and delete some documents."""
    for _ in range(random_.randint(1, 12)):
        write(docs / f"{random_.randint(0, 60)}.md", random_)
    there = sorted(docs.iterdir())
    for file in random_.sample(there, k=min(random_.randint(0, 4), len(there) - 1)):
        file.unlink()


async def ingest(index: Index, docs: Path) -> None:
    await IngestDocuments(index, chunker=Chunker(tokens=30)).execute(docs, WorkflowContext())


async def state(index: Index) -> list[str]:
    """All that an index knows, but for the vectors."""
    namespace = index.namespace("default")
    ids = sorted(await index.store.ids("default"))
    chunks = await namespace.chunks(ids)
    records = namespace.catalog.records()
    words = await namespace.search_words("lamp battery frost", 1_000)
    told = [
        *((each, repr(chunks[each])) for each in ids),
        *sorted((path, sorted(record.chunks), record.metadata) for path, record in records.items()),
        *((match.id, round(match.score, 9)) for match in words),
    ]
    return [repr(each) for each in told]


async def update(folder: Path, store: str, docs: Path) -> None:
    async with Index.open(folder, Slow(), store=store) as index:
        await ingest(index, docs)


async def compare(folder: Path, store: str, docs: Path) -> None:
    async with Index.open(folder, Slow(), store=store) as index, Index(Slow()) as fresh:
        await ingest(index, docs)
        await ingest(fresh, docs)
        mine, theirs = await state(index), await state(fresh)
        assert mine == theirs, [each for each in mine if each not in theirs][:3]
        ids = sorted(await index.store.ids("default"))
        vectors = await index.store.vectors("default", ids)
        for name, vector in (await fresh.store.vectors("default", ids)).items():
            # A store may make them of unit length once more.
            assert np.allclose(vectors[name], vector, atol=1e-5), name


def child(work: Callable[[], Any]) -> int:
    number = os.fork()
    if number == 0:
        code = 1
        try:
            asyncio.run(work())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return number


def ended(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def main(store: str, kills: int, seed: int) -> dict[str, Any]:
    random_ = random.Random(seed)
    seen = {"kills": 0, "ended before": 0, "differ": 0}
    with tempfile.TemporaryDirectory() as kept:
        docs, folder = Path(kept, "docs"), Path(kept, "index")
        docs.mkdir()
        change(docs, random_)
        begun = time.monotonic()
        assert ended(child(lambda: update(folder, store, docs))) == 0
        longest = time.monotonic() - begun
        while seen["kills"] < kills:
            change(docs, random_)
            number = child(lambda: update(folder, store, docs))
            time.sleep(random_.uniform(0, longest))
            os.kill(number, signal.SIGKILL)
            killed = ended(number) == -signal.SIGKILL
            seen["kills" if killed else "ended before"] += 1
            # Sometimes the documents change once more before anyone looks.
            if killed and random_.random() < 0.3:
                continue
            seen["differ"] += ended(child(lambda: compare(folder, store, docs))) != 0
    return seen


if __name__ == "__main__":
    summary = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(summary) + "\n")
