"""How often the answers without a model cite a right place, and abstain where there is none.

    python benchmarks/answers.py

The questions are of the examples' documents, those without an answer near their topics as well.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tta_llm import WorkflowContext
from tta_llm.rag import Index, IngestDocuments, rag_pipeline
from tta_llm.rag.answers.answer import Answer

DOCUMENTS = Path(__file__).parents[1] / "examples" / "documents"
QUESTIONS = Path(__file__).parent / "data" / "questions.jsonl"


def is_right(answer: Answer, expected: str | None) -> bool:
    """Tell whether a cited place holds the expected words, or nothing is cited where none does."""
    if expected is None:
        return not answer.found
    return any(expected in " ".join(each.quote.split()) for each in answer.citations)


async def main() -> None:
    """Ask each question and print the rates, and the wrong answers."""
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    right = {True: 0, False: 0}
    async with Index() as index:
        await IngestDocuments(index).execute(DOCUMENTS, WorkflowContext())
        pipeline = rag_pipeline(index)
        for row in rows:
            answer = await pipeline.execute(row["question"], WorkflowContext())
            right[row["expected"] is not None] += is_right(answer, row["expected"])
            if not is_right(answer, row["expected"]):
                print(f"wrong: {row['question']} -> {answer.text!r}")
    answerable = sum(row["expected"] is not None for row in rows)
    print(f"a right place is cited: {right[True]} of {answerable}")
    print(f"nothing is invented:    {right[False]} of {len(rows) - answerable}")


if __name__ == "__main__":
    asyncio.run(main())
