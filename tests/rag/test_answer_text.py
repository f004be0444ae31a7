"""What is a citation in a model's text and what is none, however it comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rag.answering import POWER, PRICES, answer
from tta_llm.rag.answers.marks import find_marks
from tta_llm.rag.answers.units import Unit, UnitSplitter

TEXT = (
    "It lasts nine hours. [1][2] It costs approx. 5 euros [1]. “Really.” [2] He asked Mr. Smith. "
    "[1] No![3]\n- red [1]\n- blue. [source 2 0123456789ab: a.md:3 / B. C] Next\n\n```py\nx[1]. A\n"
    "```\nDone 【1†s】。これは[2]。次 `a. B[1]` [1](x) ok. Ok [1-3]. [^1] ![1](u)"
)


def units(*pieces: str) -> list[Unit]:
    splitter = UnitSplitter()
    whole = [unit for piece in pieces for unit in splitter.feed(piece)]
    return [*whole, *splitter.finish()]


def cut(text: str, places: list[int]) -> list[str]:
    ends = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in pairwise(ends)]


@given(
    st.lists(st.integers(0, 1000)),
    st.just(TEXT) | st.text("aB. [1]2\n`!。(“”-", max_size=60),
)
def test_sentences_are_the_same_however_the_pieces_fall(places: list[int], text: str) -> None:
    assert units(*cut(text, places)) == units(text)
    assert "".join(unit.text for unit in units(text)) == text


def test_sentences_take_their_citations_along() -> None:
    texts = [unit.text.strip() for unit in units(TEXT)]
    assert texts[:5] == [
        "It lasts nine hours. [1][2]",
        "It costs approx. 5 euros [1].",
        "“Really.” [2]",
        "He asked Mr. Smith. [1]",
        "No![3]",
    ]
    assert [unit.text for unit in units(TEXT) if unit.is_code] == ["```py\nx[1]. A\n```\n"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        *(("a [1] b", (1,)), ("a [1][2]", (1, 2)), ("a [1, 2; 3]", (1, 2, 3))),
        *(("a [1-3]", (1, 2, 3)), ("a \uff3b\uff11\uff3d", (1,)), ("a 【2†source】", (2,))),
        *(("a [Source 2]", (2,)), ("a [source 1, source 2]", (1, 2))),
        *(("a [end of source 2 0123456789ab]", (2,)), ("a[3]", (3,))),
    ],
)
def test_these_are_citations(text: str, numbers: tuple[int, ...]) -> None:
    [mark] = find_marks(text)
    assert mark.numbers == numbers


@pytest.mark.parametrize(
    "text",
    [
        *("`x[1]`", "``a`[1]``", "[1](https://a.example)", "![1](a.png)", "[^1]", "[text](url)"),
        *("[1]: https://a.example", "[2 of 3]", "[source]", "[1.5]", "[x1]", "[]"),
    ],
)
def test_these_are_none(text: str) -> None:
    assert find_marks(text) == []


async def test_code_keeps_its_brackets() -> None:
    text = "The battery lasts 40 days [1].\n\n```py\nhours = days[1]\n```"
    told = await answer(text)
    assert told.text == text
    assert len(told.citations) == 1


async def test_brackets_of_a_source_that_is_quoted_are_no_citation() -> None:
    own = "As shown in [2] the battery lasts nine hours."
    told = await answer("It says “as shown in [2] the battery lasts nine hours” [1].", own, POWER)
    assert [each.number for each in told.citations] == [1]
    assert told.notes == ()


async def test_numbers_that_no_source_has_are_removed() -> None:
    told = await answer("The battery lasts 40 days [1][7]. Schools get 20 percent [0][2, 9].")
    assert told.text == "The battery lasts 40 days [1]. Schools get 20 percent [2]."
    assert "(0, 7, 9; there were 2)" in told.notes[0]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("The battery [see](https://evil.example/?q=40) lasts 40 days [1].", "The battery see"),
        ("![x](https://evil.example/?q=40) The battery lasts 40 days [1].", "The battery lasts"),
        ("The battery lasts 40 days [1]. www.evil.example/40!", "The battery lasts 40 days [1]. !"),
    ],
)
async def test_links_that_stand_in_no_source_are_taken_out(written: str, text: str) -> None:
    told = await answer(written)
    assert "evil" not in told.text
    assert told.text.startswith(text)
    assert "Links that stand in no source were removed: 1." in told.notes


async def test_links_of_the_sources_stay() -> None:
    text = "The guide is at https://heron.example/a."
    written = "The guide is at https://heron.example/a [1]."
    assert (await answer(written, text)).text == written
    longer = await answer(written.replace("/a", "/a?q=secret"), text)
    assert "secret" not in longer.text


async def test_what_no_source_says_is_listed() -> None:
    told = await answer(
        "# Battery\n\nThis is known:\n\nIt lasts 40 days [1]. A full battery lasts 40 days. "
        "Moreover bananas are yellow.",
        POWER,
        PRICES,
    )
    assert told.unsupported == ("Moreover bananas are yellow.",)
