"""How much of the marked answers the chunks that are found hold, and how fast text is cut.

    python -m benchmarks.chunking --data DIR [--speed]

DIR holds `questions_df.csv` and `corpora/` of the data of "Evaluating chunking" (Smith and
Troynikov, 2024). BM25 gives the first 5 chunks of all corpora together. Larger chunks buy recall
with precision, so recall is also given for the number of chunks that hold 3,700 characters on
average. Intervals are 95 %, by bootstrap of the questions. LangChain's recursive splitter is
compared where langchain-text-splitters is installed. With `--speed` only the rates are printed.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import statistics
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.judged import interval
from tta_llm.rag import Chunk, Chunker, Document, LexicalIndex
from tta_llm.rag.loading.reading import parse_document

CHARACTERS = 3_700
MOST = 20
Scores = NDArray[np.float64]
Ranges = list[tuple[int, int]]
Question = tuple[str, str, Ranges]


def load(folder: Path) -> tuple[list[Document], list[Question]]:
    """Read the corpora and the questions with their marked spans."""
    files = sorted((folder / "corpora").glob("*.md"))
    documents = [Document(file.stem, "", file.read_text("utf-8"), "text") for file in files]
    with (folder / "questions_df.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return documents, [(row["question"], row["corpus_id"], spans(row)) for row in rows]


def spans(row: dict[str, str]) -> Ranges:
    """Give the marked spans of a question."""
    return [(each["start_index"], each["end_index"]) for each in json.loads(row["references"])]


def union(ranges: Ranges) -> int:
    """Count the characters in any of the ranges."""
    size = reached = 0
    for start, end in sorted(ranges):
        size += max(0, end - max(start, reached))
        reached = max(reached, end)
    return size


def score(hits: list[Chunk], corpus: str, marked: Ranges) -> tuple[float, float, float, int]:
    """Give span recall, precision, IoU, and the characters handed over."""
    common = [
        (max(hit.start, start), min(hit.end, end))
        for hit in hits
        for start, end in marked
        if hit.path == corpus and hit.start < end and start < hit.end
    ]
    held, given = union(common), sum(hit.end - hit.start for hit in hits)
    wanted = sum(end - start for start, end in marked)
    missing = union(marked) - held
    return held / wanted, held / max(given, 1), held / max(given + missing, 1), given


def evaluate(chunks: list[Chunk], questions: list[Question]) -> Scores:
    """Give recall, precision, IoU and characters for each number of chunks and each question."""
    by_id = {chunk.id: chunk for chunk in chunks}
    index = LexicalIndex(chunks)
    rows = []
    for question, corpus, marked in questions:
        hits = [by_id[match.id] for match in index.search(question, MOST)]
        rows.append([score(hits[:number], corpus, marked) for number in range(1, MOST + 1)])
    return np.array(rows).transpose(1, 0, 2)


def at_equal_characters(scores: Scores) -> Scores:
    """Give the recall of each question where so many characters are handed over on average."""
    given = scores[:, :, 3].mean(axis=1)
    after = min(max(int(np.searchsorted(given, CHARACTERS)), 1), MOST - 1)
    share = (CHARACTERS - given[after - 1]) / (given[after] - given[after - 1])
    recall = scores[:, :, 0]
    return np.asarray(recall[after - 1] * (1 - share) + recall[after] * share)


def row(name: str, scores: Scores) -> str:
    """Make a line of the table."""
    five = scores[4]
    recall, precision, iou, given = five.mean(axis=0)
    low, high = interval(five[:, 0].tolist())
    equal = at_equal_characters(scores).mean()
    return (
        f"| {name} | {recall:.3f} ({low:.3f} to {high:.3f}) | {precision:.3f} | {iou:.3f} "
        f"| {given:,.0f} | {equal:.3f} |"
    )


def langchain(documents: list[Document], size: int, overlap: int) -> list[Chunk]:
    """Cut as LangChain's recursive splitter does."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(
        chunk_size=size, chunk_overlap=overlap, add_start_index=True
    )
    return [
        Chunk(f"{each.path}{start}", each.path, "", (), text, start, start + len(text), 1, 1, None)
        for each in documents
        for piece in splitter.create_documents([each.text])
        for text, start in [(piece.page_content, piece.metadata["start_index"])]
    ]


def cuts(documents: list[Document]) -> Iterator[tuple[str, list[Chunk]]]:
    """Give the ways to cut, with the chunks of each."""
    try:
        for size, overlap in ((1000, 200), (800, 400), (800, 0)):
            yield f"LangChain recursive {size}/{overlap}", langchain(documents, size, overlap)
    except ImportError:
        print("| LangChain's is not installed | | | | | |")
    for tokens in (100, 150, 200, 250, 300):
        for overlap, context in ((0, 0), (0, 40), (0, 80), (50, 0)):
            chunker = Chunker(tokens, overlap, context=context)
            chunks = [chunk for each in documents for chunk in chunker.split(each)]
            yield f"tokens={tokens}, overlap={overlap}, context={context}", chunks


def megabytes_a_second(documents: list[Document]) -> tuple[float, float]:
    """Give the best and the median rate of cutting documents."""
    seconds = []
    for _ in range(7):
        begun = time.process_time()
        for document in documents:
            Chunker().split(document)
        seconds.append(time.process_time() - begun)
    size = sum(len(document.text.encode()) for document in documents) / 1e6
    return size / min(seconds), size / statistics.median(seconds)


def texts_to_time(prose: list[Document]) -> Iterator[tuple[str, list[Document]]]:
    """Give what there is on any machine: the corpora, the packages' pages, Python's own code."""
    yield "prose", prose * 3
    pages = {each.read_text("METADATA") or "" for each in importlib.metadata.distributions()}
    yield "Markdown", [parse_document("a.md", page.encode()) for page in sorted(pages) if page]
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    yield "code", [parse_document(file.name, file.read_bytes()) for file in files]


def main() -> None:
    """Print the table and the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--speed", action="store_true", help="print the rates only")
    given = parser.parse_args()
    documents, questions = load(given.data)
    if not given.speed:
        compare(documents, questions)
    for name, texts in texts_to_time(documents):
        best, median = megabytes_a_second(texts)
        print(f"{name}: {best:.1f} MB/s at best, {median:.1f} at the median")


def compare(documents: list[Document], questions: list[Question]) -> None:
    """Print the table."""
    print(f"| cut | recall of the first 5 | precision | IoU | characters | at {CHARACTERS} |")
    print("| --- | --- | --- | --- | --- | --- |")
    ours, theirs = None, None
    for name, chunks in cuts(documents):
        scores = evaluate(chunks, questions)
        print(row(name, scores), flush=True)
        theirs = scores if theirs is None else theirs
        ours = scores if name == "tokens=200, overlap=0, context=40" else ours
    if ours is not None and theirs is not None:
        gains = at_equal_characters(ours) - at_equal_characters(theirs)
        low, high = interval(gains.tolist())
        print(f"the default against the first row: {gains.mean():+.3f} ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    main()
