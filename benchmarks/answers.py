"""How often the answers without a model cite a right place, and abstain where there is none.

    python benchmarks/answers.py

Questions about the examples' documents, and about the guides of this repository; those without an
answer are near their topics, too. Both were at hand when the threshold below which nothing is
quoted was chosen.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tta_llm import WorkflowContext
from tta_llm.performance.threshold import Share
from tta_llm.rag import Index, IngestDocuments, rag_pipeline
from tta_llm.rag.answers.answer import Answer

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"
SETS = {
    "examples": (ROOT / "examples" / "documents", DATA / "questions.jsonl"),
    "guides": (ROOT / "docs" / "guides", DATA / "guide_questions.jsonl"),
}


def is_right(answer: Answer, expected: str | None) -> bool:
    """Tell whether a cited place holds the expected words, or nothing is cited where none does."""
    if expected is None:
        return not answer.found
    return any(expected in " ".join(each.quote.split()) for each in answer.citations)


async def measure(documents: Path, rows: list[dict[str, Any]]) -> None:
    """Ask each question and print the rates, and the wrong answers."""
    right = {True: 0, False: 0}
    async with Index() as index:
        await IngestDocuments(index).execute(documents, WorkflowContext())
        pipeline = rag_pipeline(index)
        for row in rows:
            answer = await pipeline.execute(row["question"], WorkflowContext())
            right[row["expected"] is not None] += is_right(answer, row["expected"])
            if not is_right(answer, row["expected"]):
                print(f"wrong: {row['question']} -> {answer.text!r}")
    answerable = sum(row["expected"] is not None for row in rows)
    for text, count, of in (
        ("a right place is cited", right[True], answerable),
        ("nothing is invented", right[False], len(rows) - answerable),
    ):
        share = Share(count, of)
        print(f"{text:23} {count} of {of} ({share.low:.0%} to {share.high:.0%})")


def main() -> None:
    """Measure both sets."""
    for name, (documents, questions) in SETS.items():
        print(f"\n{name}")
        rows = [json.loads(line) for line in questions.read_text("utf-8").splitlines()]
        asyncio.run(measure(documents, rows))


if __name__ == "__main__":
    main()
