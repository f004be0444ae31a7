"""BM25 over chunks that come and go is BM25 over those that are there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.rag import LANGUAGES, Chunk, LexicalIndex
from tta_llm.rag.index.lexical import terms
from tta_llm.rag.index.postings import Postings

TEXTS = st.lists(st.lists(st.integers(1, 12), max_size=8), max_size=12)


def chunk(number: int, text: str) -> Chunk:
    return Chunk(f"c{number}", "a.md", "", (), text, 0, len(text), 1, 1, None)


def by_the_book(texts: dict[int, list[int]], asked: Sequence[int]) -> dict[int, float]:
    """BM25 as the papers write it, with Lucene's rarity."""
    mean = sum(map(len, texts.values())) / max(len(texts), 1)
    scores = {}
    for number, words in texts.items():
        counted, score = Counter(words), 0.0
        for term in asked:
            having = sum(term in each for each in texts.values())
            rarity = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            slow = 1.5 * (1 - 0.75 + 0.75 * len(words) / mean) if mean else 1.5
            score += rarity * counted[term] / (counted[term] + slow)
        if score:
            scores[number] = score
    return scores


@given(st.lists(TEXTS, max_size=5), st.lists(st.integers(1, 13), max_size=5), st.data())
def test_changes_in_any_order_score_as_the_book_says(
    groups: list[list[list[int]]], asked: list[int], data: st.DataObject
) -> None:
    postings, next_number = Postings(), 0
    there: dict[int, list[int]] = {}
    for group in groups:
        added = {next_number + place: words for place, words in enumerate(group)}
        next_number += len(group)
        there |= added
        postings.add(list(added), [np.array(words, np.int64) for words in added.values()])
        if there:
            gone = data.draw(st.sets(st.sampled_from(sorted(there))))
            postings.remove(gone)
            for each in gone:
                del there[each]
    numbers, scores = postings.search(asked, 1_000)
    expected = by_the_book(there, asked)
    assert dict(zip(numbers.tolist(), scores.tolist(), strict=True)) == pytest.approx(expected)
    assert len(postings) == len(there)


@given(TEXTS, st.lists(st.integers(1, 13), min_size=1, max_size=4), st.integers(1, 5))
def test_the_best_are_given_with_all_that_equal_the_last(
    texts: list[list[int]], asked: list[int], top_k: int
) -> None:
    postings = Postings()
    postings.add(list(range(len(texts))), [np.array(words, np.int64) for words in texts])
    _, every = postings.search(asked, 1_000)
    _, best = postings.search(asked, top_k)
    bound = sorted(every, reverse=True)[: len(best)]
    assert sorted(best, reverse=True) == bound
    assert len(best) >= min(top_k, len(every))
    assert not len(best) or sum(every >= min(best)) == len(best)


def test_only_some_texts_may_be_asked_for() -> None:
    postings = Postings()
    postings.add([1, 2, 3], [np.array([7], np.int64)] * 3)
    numbers, _ = postings.search([7], 10, np.array([2, 9], np.int64))
    assert numbers.tolist() == [2]


def test_of_equals_the_first_id_comes_first() -> None:
    index = LexicalIndex([chunk(number, "a lamp") for number in (3, 1, 2)])
    assert [match.id for match in index.search("lamp", 2)] == ["c1", "c2"]


def test_stems_are_those_of_the_language() -> None:
    german = LexicalIndex([chunk(1, "Die Häuser stehen am Fluss.")], language="german")
    assert german.search("Haus", 1)
    assert not LexicalIndex([chunk(1, "Die Häuser stehen am Fluss.")]).search("Haus", 1)


def test_an_unknown_language_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no stemmer for 'klingon'; there are arabic, "):
        LexicalIndex(language="klingon")
    assert "english" in LANGUAGES


def test_width_case_and_grammar_make_no_difference() -> None:
    assert terms(["\uff34\uff48\uff45 Lamp, and LAMPS!"]) == [["lamp", "lamp"]]


def test_coverage_counts_rare_words_most_and_unknown_ones_most_of_all() -> None:
    index = LexicalIndex([chunk(1, "lamp battery"), chunk(2, "lamp colour"), chunk(3, "lamp")])
    rare, common = index.coverage("lamp battery", "battery"), index.coverage("lamp battery", "lamp")
    assert rare > 0.5 > common
    assert index.coverage("lamp warranty", "lamp") < index.coverage("lamp battery", "lamp")
    assert index.coverage("the", "lamp") == 0


def test_shared_terms_come_with_the_most_telling_first() -> None:
    index = LexicalIndex([chunk(1, "lamp battery"), chunk(2, "lamp")])
    assert list(index.shared_terms("Lamp's battery price?", "battery of the lamp")) == [
        "batteri",
        "lamp",
    ]


def test_an_empty_index_finds_nothing() -> None:
    assert LexicalIndex().search("lamp", 5) == []
    assert LexicalIndex([chunk(1, "lamp")]).search("", 5) == []
