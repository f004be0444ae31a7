"""Chunks follow the structure, lose nothing, and know where they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.rag import Chunker, Document, count_tokens, split_sentences
from tta_llm.rag.loading.reading import parse_document

markdown = st.lists(
    st.sampled_from(
        [
            "# A",
            "## B",
            "text one. Text two!",
            "```",
            "| a | b |",
            "- item",
            "",
            "",
            "x" * 80,
            "日本。",
        ]
    ),
    max_size=60,
).map("\n".join)


def sentences(text: str) -> list[str]:
    return [text[span.start : span.end] for span in split_sentences(text)]


@given(markdown, st.integers(10, 60))
def test_chunks_are_verbatim_in_order_and_cover_everything(text: str, tokens: int) -> None:
    if not text.strip():
        return
    document = parse_document("a.md", text.encode())
    chunks = Chunker(tokens).split(document)
    end = 0
    for chunk in chunks:
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert not document.text[end : chunk.start].strip()
        assert chunk.line_start == document.text.count("\n", 0, chunk.start) + 1
        assert chunk.line_end == document.text.count("\n", 0, chunk.end - 1) + 1
        assert count_tokens(chunk.text) <= 1.25 * tokens + 1
        end = chunk.end
    assert not document.text[end:].strip()
    assert len({chunk.id for chunk in chunks}) == len(chunks)


def test_sections_are_kept_apart_and_named() -> None:
    document = parse_document("a.md", b"# Lamp\n\n## Power\n\nNine hours.\n\n## Price\n\nForty.\n")
    chunks = Chunker().split(document)
    assert [(chunk.headings, chunk.location) for chunk in chunks] == [
        (("Lamp", "Power"), "a.md:1-5"),
        (("Lamp", "Price"), "a.md:7-9"),
    ]


def test_same_text_keeps_its_id_when_it_moves() -> None:
    before = Chunker().split(parse_document("a.md", b"# A\n\none\n"))
    after = Chunker().split(parse_document("a.md", b"# New\n\ntext\n\n# A\n\none\n"))
    assert before[0].text == after[1].text
    titled = Chunker().split(parse_document("a.txt", b"one"))
    assert titled[0].id == Chunker().split(parse_document("a.txt", b"\n\none"))[0].id


def test_page_is_a_border() -> None:
    document = Document("a.pdf", "a", "First page.\n\nSecond page.", "pdf", pages=(0, 13))
    assert [(chunk.text, chunk.page) for chunk in Chunker().split(document)] == [
        *(("First page.", 1), ("Second page.", 2)),
    ]


def test_sentences() -> None:
    text = (
        'Dr. Smith et al. paid approx. 3.5 EUR. It was No. 5! "Really?" he said.\n'
        "1. Press the button. Then wait.\n- item one\n| a | b |\n| c. d | e |\nShort\n"
        "Next. 这是。那是！"
    )
    assert sentences(text) == [
        *("Dr. Smith et al. paid approx. 3.5 EUR.", "It was No. 5!", '"Really?" he said.'),
        *("1. Press the button.", "Then wait.", "- item one", "| a | b |", "| c. d | e |"),
        *("Short", "Next.", "这是。", "那是！"),
    ]


@pytest.mark.parametrize(
    "piece", ["a", ".", "```\n", "<", "# h\n", "|a", "\n \n", "[x](", "word. "]
)
@pytest.mark.parametrize("name", ["a.md", "a.html"])
def test_a_text_that_looks_unfinished_is_read_and_cut(piece: str, name: str) -> None:
    """A square would take hours for such a text: the time limit of each test is enough."""
    document = parse_document(name, (piece * (300_000 // len(piece)) + "x").encode())
    chunks = Chunker().split(document)
    assert chunks[-1].end == len(document.text.rstrip())


def test_a_line_that_only_wraps_ends_no_sentence_and_a_title_does() -> None:
    assert sentences("So it was. Then they went\nHome again.") == [
        *("So it was.", "Then they went\nHome again."),
    ]
    assert sentences("Going home\nThey went.") == ["Going home", "They went."]


def test_too_small_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="tokens=3"):
        Chunker(3)


@given(markdown, st.integers(20, 60), st.integers(0, 10))
def test_overlap_is_bounded_and_loses_nothing(text: str, tokens: int, overlap: int) -> None:
    document = Document("a.md", "a", text, "markdown")
    end = 0
    for chunk in Chunker(tokens, overlap).split(document):
        assert count_tokens(document.text[chunk.start : end]) <= overlap
        assert not document.text[end : chunk.start].strip()
        end = chunk.end
    assert not document.text[end:].strip()


@given(markdown, st.integers(10, 30))
def test_children_lie_in_their_parent(text: str, tokens: int) -> None:
    document = parse_document("a.md", b"# T\n" + text.encode())
    for chunk in Chunker(tokens, parent_tokens=3 * tokens).split(document):
        if chunk.parent:
            assert chunk.parent.start <= chunk.start < chunk.end <= chunk.parent.end
            assert chunk.parent != (chunk.start, chunk.end)


def test_rows_of_a_long_table_are_searched_with_its_header() -> None:
    rows = "".join(f"| lamp {number} | {number} euros |\n" for number in range(40))
    document = Document("a.md", "a", f"| name | price |\n| --- | --- |\n{rows}", "markdown")
    chunks = Chunker(60).split(document)
    assert len(chunks) > 2
    assert all(chunk.context == "| name | price |" for chunk in chunks[1:])
    assert all(chunk.text.startswith("|") and chunk.text.endswith("|") for chunk in chunks)


def test_sentences_before_are_searched_and_not_part_of_the_text() -> None:
    document = Document("a.txt", "a", "One two three four. " * 10, "text")
    second = Chunker(20, context=5).split(document)[1]
    assert second.context == "One two three four."
    assert second.search_text.startswith("a\nOne") or second.search_text.startswith("One")
