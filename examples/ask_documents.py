"""Ask the documents beside this script; quoted without a key, written by a model with one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from tta_llm import WorkflowContext
from tta_llm.providers import chat_model
from tta_llm.rag import Index, IngestDocuments, rag_pipeline

DOCUMENTS = Path(__file__).parent / "documents"
QUESTIONS = [
    "How long does the battery last without sun?",
    "How are the packets encrypted?",
    "Who won the 2018 world cup?",
]


async def main() -> None:
    model = chat_model("openai:gpt-4.1-mini") if os.environ.get("OPENAI_API_KEY") else None
    # An index is usually kept; this one goes with the script, so that the script leaves nothing.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with Index.open(folder) as index:
            report = await IngestDocuments(index).execute(DOCUMENTS, WorkflowContext())
            print(f"{report.documents} documents, {report.chunks} chunks\n")

            pipeline = rag_pipeline(index, model)
            for question in QUESTIONS:
                answer = await pipeline.execute(question, WorkflowContext())
                print(f"{question}\n  {answer.text}")
                for citation in answer.citations:
                    print(f"  [{citation.number}] {citation.location}")
                print()
    if model is not None:
        await model.aclose()


asyncio.run(main())
