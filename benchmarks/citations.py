"""How often a right citation holds, and a wrong one of each kind is caught.

    python -m benchmarks.citations [FILE]
    python -m benchmarks.citations --data DIR

The file has a claim, a source and whether it supports the claim in each line. Those of
`data/claims.jsonl` were written for the examples' documents and the rules were made with them at
hand, so that they show what is meant to work.

With `--data` the claims are made from abstracts: DIR holds a `corpus.jsonl` with `title` and `text`
in each line, such as SciFact's. The first thousand, in a shuffled order that is always the same,
were open while the rules were made; of the others the first 450 are taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.wrong_citations import Case, cases
from tta_llm import WorkflowContext
from tta_llm.performance.threshold import Share
from tta_llm.rag import GenerateAnswer
from tta_llm.rag.answers.prompt_sources import Source
from tta_llm.rag.answers.support import find_support
from tta_llm.rag.documents import Chunk
from tta_llm.rag.search.query import Query
from tta_llm.rag.search.search import EmbeddedQuery, Hit, SearchResult
from tta_llm.testing import FakeChatModel

CLAIMS = Path(__file__).parent / "data" / "claims.jsonl"
_SEEN, _TAKEN = 1000, 450


def own(file: Path) -> Iterator[Case]:
    """The cases of a file."""
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        yield Case(row["kind"], row["claim"], row["source"], row["supported"])


def held_out(folder: Path) -> tuple[list[Case], dict[str, str]]:
    """Cases made from abstracts that no rule was made with, and the titles of the abstracts."""
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text("utf-8").splitlines()]
    random.Random(1).shuffle(rows)  # noqa: S311
    rows = rows[_SEEN : _SEEN + _TAKEN]
    return list(cases([row["text"] for row in rows], seed=7)), {
        row["text"]: row["title"] for row in rows
    }


def chunk_of(text: str, title: str) -> Chunk:
    """A text as one chunk."""
    return Chunk("1", "a.md", title, (), text, 0, len(text), 1, 1, None)


def measure(told: Iterable[Case], titles: dict[str, str], *, show: bool) -> None:
    """Print the rate of right decisions for each kind, and the wrong ones."""
    right, all_of = Counter[str](), Counter[str]()
    for case in told:
        chunk = chunk_of(case.source, titles.get(case.source, ""))
        problem = find_support(case.claim, Source(1, chunk, case.source, 0)).problem
        is_right = (problem is None) == case.supported
        for kind in (case.kind, f"all that are {'right' if case.supported else 'wrong'}"):
            all_of[kind] += 1
            right[kind] += is_right
        if show and not is_right:
            print(f"wrong: {case.kind}: {case.claim} ({problem})")
    for kind, number in sorted(all_of.items()):
        print_share(kind, right[kind], number)


def print_share(kind: str, count: int, number: int) -> None:
    """Print a share with its interval of 95 %."""
    share = Share(count, number)
    print(f"{kind:34} {count:5} of {number:5}  {share.low:6.1%} to {share.high:6.1%}")


async def strange_numbers(told: Iterable[Case], titles: dict[str, str]) -> None:
    """Let a model cite sources that it was not given."""
    caught = number = 0
    for case in told:
        if case.kind == "right: verbatim":
            model = FakeChatModel(f"{case.claim.rstrip('. ')} [{2 + number % 7}].")
            hit = Hit(chunk_of(case.source, titles.get(case.source, "")), 1.0)
            query = EmbeddedQuery(Query("Why?"), None, "fake", 1, "default")  # type: ignore[arg-type]
            answer = await GenerateAnswer(model).execute(
                SearchResult(query, (hit,)), WorkflowContext()
            )
            number += 1
            caught += not answer.citations and any("don't exist" in note for note in answer.notes)
    print_share("source that does not exist", caught, number)


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("file", nargs="?", type=Path, default=CLAIMS)
    parser.add_argument("--data", type=Path, help="a folder with corpus.jsonl")
    parser.add_argument("--show", action="store_true", help="print each wrong decision on --data")
    given = parser.parse_args()
    if given.data is None:
        measure(own(given.file), {}, show=True)
        return
    told, titles = held_out(given.data)
    measure(told, titles, show=given.show)
    asyncio.run(strange_numbers(told, titles))


if __name__ == "__main__":
    main()
