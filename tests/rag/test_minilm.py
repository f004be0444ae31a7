"""The local embedder is the published model, with the published tokenizer."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from tta_llm import WorkflowContext
from tta_llm.providers.minilm import MiniLM, load_tokenizer


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello, world!", [101, 7592, 1010, 2088, 999, 102]),
        ("naïve café", [101, 15743, 7668, 102]),
        (
            "unaffable 中文 ##x [SEP]",
            [101, 14477, 20961, 3468, 1746, 1861, 1001, 1001, 1060, 102, 102],
        ),
        ("", [101, 102]),
    ],
)
def test_word_pieces_are_those_of_bert(text: str, ids: list[int]) -> None:
    assert load_tokenizer().encode(text).ids == ids


def test_vectors_are_units_near_in_meaning(minilm: MiniLM) -> None:
    cat, kitten, bank = minilm.run(["A cat sat.", "A kitten was sitting.", "Interest rates rose."])
    assert np.linalg.norm([cat, kitten, bank], axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert cat @ kitten > 0.5 > cat @ bank


def test_order_and_company_change_nothing(minilm: MiniLM) -> None:
    texts = ["short", "a much longer text about lamps and batteries " * 5, "middle sized text"] * 7
    together = minilm.run(texts)
    for text, vector in zip(texts[:3], together, strict=False):
        # int8 activations are scaled by the whole batch, so a neighbour moves them a little.
        assert minilm.run(text) @ vector > 0.99


def test_what_follows_256_pieces_does_not_count(minilm: MiniLM) -> None:
    text = "lamp " * 254
    assert minilm.run(text) @ minilm.run(text + "elephants in the snow " * 50) == pytest.approx(1)


async def test_cancelling_leaves_nothing_running(minilm: MiniLM) -> None:
    busy = asyncio.create_task(
        minilm.execute(["text of some length " * 40] * 64, WorkflowContext())
    )
    await asyncio.sleep(0.05)
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy
    assert threading.active_count() < 40


def test_wrong_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="threads"):
        MiniLM(threads=0)
