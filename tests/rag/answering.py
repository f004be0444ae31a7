"""What a search found, made by hand for the tests of answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tta_llm import WorkflowContext
from tta_llm.rag.answers.answer import Answer
from tta_llm.rag.answers.generate import GenerateAnswer
from tta_llm.rag.answers.prompt_sources import Source
from tta_llm.rag.documents import Chunk
from tta_llm.rag.search.query import Query
from tta_llm.rag.search.search import EmbeddedQuery, Hit, SearchResult
from tta_llm.testing import FakeChatModel

POWER = (
    "The station runs on a solar panel and a built-in battery. A full battery lasts 40 days "
    "without any sun. Expect a battery to hold out five to seven years."
)
PRICES = (
    "A station with a hub costs 189 euros. Schools get a discount of 20 percent. "
    "We do not deliver to Norway."
)


def chunk(text: str, number: int = 1, **told: Any) -> Chunk:
    given: dict[str, Any] = {
        "id": f"chunk-{number}",
        "path": f"{number}.md",
        "title": "Handbook",
        "headings": (),
        "text": text,
        "start": 0,
        "end": len(text),
        "line_start": 1,
        "line_end": 1 + text.count("\n"),
        "page": None,
    }
    return Chunk(**(given | told))


def source(text: str, number: int = 1, **told: Any) -> Source:
    return Source(number, chunk(text, number, **told), text, told.get("start", 0))


def found(*texts: str | Chunk, query: str | Query = "battery?", **evidence: Any) -> SearchResult:
    asked = Query.of(query)
    vector = np.full(4, 0.5, np.float32)
    given = EmbeddedQuery(asked, vector, "fake", 1, "default")
    chunks = (
        each if isinstance(each, Chunk) else chunk(each, number)
        for number, each in enumerate(texts, 1)
    )
    return SearchResult(given, tuple(Hit(each, 1.0, **evidence) for each in chunks))


async def answer(
    written: Any, *texts: str | Chunk, query: str | Query = "battery?", **options: Any
) -> Answer:
    """What becomes of an answer that a model wrote."""
    model = FakeChatModel(written)
    step = GenerateAnswer(model, **options)
    return await step.execute(found(*(texts or (POWER, PRICES)), query=query), WorkflowContext())
