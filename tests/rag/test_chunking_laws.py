"""What holds for the chunks of any document, whatever its kind, and that none costs a square."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.rag import Chunker, Document, count_tokens
from tta_llm.rag.documents import Kind
from tta_llm.rag.loading.reading import parse_document

LINES: dict[Kind, list[str]] = {
    "code": ["def f():", "    return 1", "", "", "class A:", "}", "# Why. So.", "x" * 80, "\t"],
    "csv": ["a,b,c", '1,"one. two",3', ",,", "", "9" * 60, "ä,ö,ü"],
    "json": ['{"a": 1}', '{"b": "One. Two!"}', "[", "]", "", '"' + "y" * 70 + '"'],
    "text": ["One. Two!", "Title", "", "- item", "日本。", "z" * 80, "Dr. No. 5 | x"],
}


@st.composite
def documents(draw: st.DrawFn) -> Document:
    kind = draw(st.sampled_from(sorted(LINES)))
    lines = draw(st.lists(st.sampled_from(LINES[kind]), max_size=60))
    return Document("a", "a", "\n".join(lines), kind)


@given(documents(), st.integers(10, 60), st.integers(0, 5))
def test_no_kind_of_text_is_lost_or_changed(document: Document, tokens: int, overlap: int) -> None:
    end = 0
    chunks = Chunker(tokens, overlap).split(document)
    for chunk in chunks:
        assert document.text[chunk.start : chunk.end] == chunk.text == chunk.text.strip()
        assert not document.text[end : chunk.start].strip()
        assert count_tokens(document.text[chunk.start : end]) <= overlap
        assert count_tokens(chunk.text) <= 1.25 * tokens + 1
        end = chunk.end
    assert not document.text[end:].strip()
    assert len({chunk.id for chunk in chunks}) == len(chunks)


@given(documents(), st.integers(10, 60))
def test_pieces_without_a_table_keep_the_limit(document: Document, tokens: int) -> None:
    if document.kind == "text":
        return
    for chunk in Chunker(tokens).split(document):
        assert count_tokens(chunk.text) <= tokens + 1


@given(
    st.lists(st.lists(st.sampled_from(LINES["text"]), min_size=1, max_size=9), min_size=1),
    st.data(),
)
def test_a_new_paragraph_leaves_the_ids_of_other_sections(
    bodies: list[list[str]], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(bodies) - 1))
    changed = [[*body, "", "A zebra came."] if body is bodies[place] else body for body in bodies]
    before, after = identities(bodies, place), identities(changed, place)
    assert before == after


def identities(bodies: list[list[str]], without: int) -> set[str]:
    text = "".join(
        f"# H{n}\n\nIt begins.\n" + "\n".join(body) + "\n\n" for n, body in enumerate(bodies)
    )
    chunks = Chunker(20).split(parse_document("a.md", text.encode()))
    return {chunk.id for chunk in chunks if chunk.headings != (f"H{without}",)}


def calls(document: Document) -> int:
    """Count the functions that are called while a document is cut."""
    number = 0

    def count(_frame: FrameType, event: str, _value: Any) -> None:
        nonlocal number
        number += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        Chunker().split(document)
    finally:
        sys.setprofile(before)
    return number


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "\n", "# h\n", "- ", "  - item\n", "```\n", "~~~\n```\n", "|a", "a|b\n", "."),
        *("1. ", "word. ", "\n \n", "x" * 50 + "\n", "Title\n", "日"),
    ],
)
@pytest.mark.parametrize("kind", ["markdown", "text", "code", "csv"])
def test_twice_the_text_takes_twice_the_calls(piece: str, kind: Kind) -> None:
    once, twice = (
        calls(document_of(kind, piece * (size // len(piece)) + "x")) for size in (8_000, 16_000)
    )
    assert twice <= 2.2 * once + 500


def document_of(kind: Kind, text: str) -> Document:
    """Markdown is read, for its headings."""
    if kind == "markdown":
        return parse_document("a.md", text.encode())
    return Document("a", "a", text, kind)
