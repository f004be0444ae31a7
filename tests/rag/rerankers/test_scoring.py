"""Rerankers that score: the base, a cross-encoder in a thread, a model behind an API."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.rag.results import chunk, result_of, texts
from tta_llm import WorkflowContext
from tta_llm.errors import InvalidResponseError, MissingExtraError, OverloadedError
from tta_llm.providers.reranking import RerankRequest
from tta_llm.rag.rerankers.api import ApiReranker
from tta_llm.rag.rerankers.cross_encoder import CrossEncoderReranker
from tta_llm.rag.rerankers.local_models import FlashRankScorer, SentenceTransformersScorer
from tta_llm.recovery import FallbackPrimitive
from tta_llm.testing import MockPrimitive


def lengths(query: str, given: Sequence[str]) -> list[float]:
    return [float(len(text)) for text in given]


async def test_the_best_come_first_with_the_evidence_they_had() -> None:
    result = await CrossEncoderReranker(lengths, top_k=2).execute(
        result_of("a", "bcd", "ef"), WorkflowContext()
    )
    assert texts(result) == ["bcd", "ef"]
    best = result.hits[0]
    assert (best.score, best.rerank, best.dense) == (3.0, 3.0, 0.5)


async def test_equal_scores_stay_in_the_order_they_came_in() -> None:
    step = CrossEncoderReranker(lambda _, given: [1.0] * len(given))
    assert texts(await step.execute(result_of("c", "a", "b"), WorkflowContext())) == ["c", "a", "b"]


async def test_only_the_first_hits_are_looked_at() -> None:
    step = CrossEncoderReranker(lengths, top_k=2, depth=2)
    result = await step.execute(result_of("a", "b", "longest"), WorkflowContext())
    assert texts(result) == ["a", "b"]


async def test_the_headings_are_scored_with_the_text() -> None:
    asked: list[tuple[str, list[str]]] = []

    def score(query: str, given: Sequence[str]) -> list[float]:
        asked.append((query, list(given)))
        return [1.0]

    piece = replace(chunk("Nine hours."), headings=("Power",))
    result = result_of(piece, question="How long?")
    await CrossEncoderReranker(score).execute(result, WorkflowContext())
    assert asked == [("How long?", ["Power\nNine hours."])]


async def test_nothing_found_is_not_scored() -> None:
    step = CrossEncoderReranker(lambda *_: pytest.fail("asked"))
    assert texts(await step.execute(result_of(), WorkflowContext())) == []


@pytest.mark.parametrize("scores", [[1.0], [1.0, float("nan")], [1.0, 2.0, 3.0]])
async def test_a_score_for_each_text_is_required(scores: list[float]) -> None:
    step = CrossEncoderReranker(lambda *_: scores)
    with pytest.raises(InvalidResponseError, match="rerank_results scored 2 texts"):
        await step.execute(result_of("a", "b"), WorkflowContext())


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"top_k": 7, "depth": 6}, {"batch_size": 0}])
def test_what_keeps_or_scores_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"top_k|batch_size"):
        CrossEncoderReranker(lengths, **wrong)


async def test_a_model_works_in_a_thread_a_batch_at_a_time() -> None:
    seen: list[tuple[int, bool]] = []

    def score(query: str, given: Sequence[str]) -> list[float]:
        seen.append((len(given), threading.current_thread() is threading.main_thread()))
        return lengths(query, given)

    step = CrossEncoderReranker(score, batch_size=2)
    await step.execute(result_of("a", "b", "c", "d", "e"), WorkflowContext())
    assert seen == [(2, False), (2, False), (1, False)]


async def test_a_cancellation_waits_for_the_batch_and_begins_no_other() -> None:
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def score(query: str, given: Sequence[str]) -> list[float]:
        calls.append(query)
        begun.set()
        go_on.wait(5)
        return lengths(query, given)

    step = CrossEncoderReranker(score, batch_size=1)
    task = asyncio.create_task(step.execute(result_of("a", "b"), WorkflowContext()))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(calls) == 1


async def test_an_api_gets_question_and_texts_in_their_order() -> None:
    model = MockPrimitive(return_value=(0.1, 0.9))
    result = await ApiReranker(model).execute(result_of("a", "b"), WorkflowContext())
    assert model.calls[0].input_data == RerankRequest("Which?", ("a", "b"))
    assert [(hit.chunk.text, hit.rerank) for hit in result.hits] == [("b", 0.9), ("a", 0.1)]


async def test_an_api_that_is_down_may_have_a_fallback() -> None:
    down = MockPrimitive(raises=OverloadedError("busy"))
    step = ApiReranker(FallbackPrimitive(down, [MockPrimitive(return_value=(0.1, 0.9))]))
    assert texts(await step.execute(result_of("a", "b"), WorkflowContext())) == ["b", "a"]


@pytest.mark.parametrize("kind", [FlashRankScorer, SentenceTransformersScorer])
def test_without_a_model_on_the_disk_nothing_is_downloaded(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none is downloaded: put one there"):
        kind.open(tmp_path / "ms-marco-MiniLM-L-12-v2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [
        (FlashRankScorer, "flashrank", "flashrank"),
        (SentenceTransformersScorer, "sentence_transformers", "sentence-transformers"),
    ],
)
def test_a_missing_library_is_told_with_its_extra(
    kind: Any, package: str, extra: str, tmp_path: Path
) -> None:
    for name in ("tokenizer.json", "config.json"):
        (tmp_path / name).write_text("{}")
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(MissingExtraError, match=extra):
            kind.open(tmp_path)
    else:
        pytest.skip(f"{package} is installed")


def test_flashrank_scores_come_back_in_the_order_of_the_texts(tmp_path: Path) -> None:
    """The real library runs a made-up model; its own start would set up the root logger."""
    pytest.importorskip("flashrank")
    folder = _flashrank_model(tmp_path / "ms-marco-TinyBERT-L-2-v2")
    before = logging.getLogger().handlers[:], logging.getLogger().level
    scorer = FlashRankScorer.open(folder)
    assert (logging.getLogger().handlers, logging.getLogger().level) == before
    short, long = scorer("b", ["b", "b b b b"])
    assert 0.5 < short < long < 1


def _flashrank_model(folder: Path) -> Path:
    """A model whose logit is a hundredth of the sum of the ids of its input."""
    onnx = pytest.importorskip("onnx")
    tokenizers = pytest.importorskip("tokenizers")
    folder.mkdir()
    words = tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 1, "b": 2}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text('{"pad_token_id": 0}')
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512, "pad_token": "[PAD]"}')
    (folder / "special_tokens_map.json").write_text('{"pad_token": "[PAD]"}')
    info, number = onnx.helper.make_tensor_value_info, onnx.TensorProto
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Cast", ["input_ids"], ["floats"], to=number.FLOAT),
            onnx.helper.make_node("Mul", ["floats", "hundredth"], ["small"]),
            onnx.helper.make_node("ReduceSum", ["small", "axis"], ["logits"], keepdims=1),
        ],
        "sum",
        [
            info(name, number.INT64, ["n", "m"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ],
        [info("logits", number.FLOAT, ["n", 1])],
        [
            onnx.helper.make_tensor("hundredth", number.FLOAT, [1], [0.01]),
            onnx.helper.make_tensor("axis", number.INT64, [1], [1]),
        ],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, str(folder / "flashrank-TinyBERT-L-2-v2.onnx"))
    return folder
