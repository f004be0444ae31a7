"""How much of the marked answers the chunks that are found hold, and how fast text is cut.

    python benchmarks/chunking.py --data DIR

DIR holds `questions_df.csv` and `corpora/` of the data of "Evaluating chunking" (Smith and
Troynikov, 2024). BM25 gives the first 5 chunks of all corpora together.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from pathlib import Path

import numpy as np

from tta_llm.rag import Chunk, Chunker, Document, LexicalIndex

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


def evaluate(chunker: Chunker, documents: list[Document], questions: list[Question]) -> str:
    """Make a line of the table."""
    chunks = {chunk.id: chunk for each in documents for chunk in chunker.split(each)}
    index = LexicalIndex(list(chunks.values()))
    rows = [
        score([chunks[match.id] for match in index.search(question, 5)], corpus, marked)
        for question, corpus, marked in questions
    ]
    recall, precision, iou, given = np.mean(rows, axis=0)
    return f"{recall:.3f} | {precision:.3f} | {iou:.3f} | {given:.0f}"


def megabytes_a_second(document: Document) -> float:
    """Give the median rate of cutting a document."""
    seconds = []
    for _ in range(5):
        begun = time.process_time()
        Chunker().split(document)
        seconds.append(time.process_time() - begun)
    return len(document.text.encode()) / statistics.median(seconds) / 1e6


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    documents, questions = load(parser.parse_args().data)
    print("| tokens | overlap | context | recall | precision | IoU | characters |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for tokens in (100, 150, 200, 300, 400):
        for overlap, context in ((0, 0), (0, 40), (20, 0), (50, 0)):
            line = evaluate(Chunker(tokens, overlap, context=context), documents, questions)
            print(f"| {tokens} | {overlap} | {context} | {line} |", flush=True)
    for document in documents:
        print(f"{document.path}: {megabytes_a_second(document):.1f} MB/s")


if __name__ == "__main__":
    main()
