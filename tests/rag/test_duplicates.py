"""A text that stands in several documents is found once, and its other places are named."""

from __future__ import annotations

from pathlib import Path

from tests.rag.results import chunk, result_of, texts
from tta_llm import WorkflowContext
from tta_llm.rag import Index, IngestDocuments, hybrid_search, rag_pipeline
from tta_llm.rag.search.duplicates import CollapseDuplicates
from tta_llm.rag.search.fusion import Fuse
from tta_llm.testing import FakeChatModel, FakeEmbedder


async def test_the_best_hit_of_a_text_stays_and_names_the_others() -> None:
    first, other = chunk("It shines.", "a.md"), chunk("it  shines", "b.md")
    found = result_of(first, "It is red.", other, chunk("It shines!", "c.md"))
    result = await CollapseDuplicates().execute(found, WorkflowContext())
    assert texts(result) == ["It shines.", "It is red."]
    assert [each.path for each in result.hits[0].also] == ["b.md", "c.md"]
    assert result.hits[1].also == ()


async def test_fusing_keeps_the_other_places() -> None:
    found = result_of(chunk("It shines.", "a.md"), chunk("It shines.", "b.md"))
    result = await CollapseDuplicates().execute(found, WorkflowContext())
    [hit] = (await Fuse().execute([result, result], WorkflowContext())).hits
    assert [each.path for each in hit.also] == ["b.md"]


async def test_a_model_reads_a_copied_text_once(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("The lamp shines for nine hours.")
    model, context = FakeChatModel("Nine hours [1]."), WorkflowContext()
    async with Index(FakeEmbedder()) as index:
        await IngestDocuments(index).execute(tmp_path, context)
        search = hybrid_search(index) >> CollapseDuplicates()
        await rag_pipeline(index, model, search=search).execute("How long?", context)
    assert model.calls[0].messages[-1].text.count("nine hours") == 1
