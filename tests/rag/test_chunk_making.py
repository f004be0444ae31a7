"""A chunk that is made fast is the same as one that is made as any dataclass."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from tta_llm.rag import Chunk
from tta_llm.rag.documents import make_chunk

VALUES = ("1", "a.md", "A", ("A", "B"), "text", 0, 4, 1, 1, None, (), None, {"year": 1}, "before")
FAST = make_chunk(*VALUES)


def test_it_is_a_chunk_like_any_other() -> None:
    assert type(FAST) is Chunk
    assert Chunk(*VALUES) == FAST
    assert hash(Chunk(*VALUES)) == hash(FAST)
    assert repr(Chunk(*VALUES)) == repr(FAST)


def test_it_is_pickled_and_replaced_like_any_other() -> None:
    assert pickle.loads(pickle.dumps(FAST)) == FAST
    assert replace(FAST, id="2") == replace(Chunk(*VALUES), id="2")


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        FAST.id = "2"  # type: ignore[misc]


def test_no_field_may_be_left_out() -> None:
    with pytest.raises(TypeError, match="context"):
        make_chunk(*VALUES[:-1])
