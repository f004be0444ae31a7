"""A citation holds when its source says the sentence, and each kind of wrong one is caught."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rag.answering import POWER, PRICES, answer, chunk, source
from tta_llm import step
from tta_llm.errors import OverloadedError
from tta_llm.rag.answers.support import find_support
from tta_llm.rag.documents import Span
from tta_llm.testing import FakeChatModel, FakeEmbedder


async def test_a_citation_points_at_the_sentence_that_says_it() -> None:
    text = "Lamps are red.\nThe battery lasts nine hours.\nIt is heavy."
    told = await answer("The battery lasts 9 h [1].", chunk(text, 1, start=50, line_start=7))
    [cited] = told.citations
    assert cited.quote == "The battery lasts nine hours."
    assert cited.span == Span(65, 94)
    assert (cited.line_start, cited.line_end) == (8, 8)
    assert (cited.claim, cited.problem) == ("The battery lasts 9 h.", None)
    assert (told.notes, told.unsupported) == ((), ())


WRONG = {
    "another number": "A full battery lasts 45 days without any sun [1].",
    "another unit": "A full battery lasts 40 hours without any sun [1].",
    "a negation": "A full battery does not last 40 days without any sun [1].",
    "no negation": "We deliver to Norway [2].",
    "another name": "We do not deliver to Sweden [2].",
    "an invented quote": "It says “the battery lasts forever and ever” [1].",
    "an invented fact": "Polish the housing with wax every spring [1].",
    "the other source": "A full battery lasts 40 days without any sun [2].",
    "a second source that says nothing of it": "A full battery lasts 40 days [1][2].",
    "full-width digits": "A full battery lasts 45 days without any sun \uff3b\uff11\uff3d.",
    "no words of the source": "Absolutely [1].",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_wrong_citation_is_marked(wrong: str) -> None:
    told = await answer(f"The battery lasts 40 days [1]. {wrong}")
    bad = [each for each in told.citations if each.problem]
    assert len(bad) == 1
    assert f"[{bad[0].number}?]" in told.text
    assert told.text.startswith("The battery lasts 40 days [1].")
    assert f"does not support “{bad[0].claim}”" in told.notes[0]


@pytest.mark.parametrize(
    ("policy", "text", "kept"),
    [("mark", "Nine hours [1?].", 1), ("remove", "Nine hours.", 0), ("keep", "Nine hours [1].", 1)],
)
async def test_the_policy_says_what_becomes_of_it(policy: str, text: str, kept: int) -> None:
    told = await answer("Nine hours [1].", unsupported=policy)
    assert told.text == text
    assert len(told.citations) == kept
    assert told.unsupported == ("Nine hours.",)
    assert "the source does not say “Nine” of this" in told.notes[0]


RIGHT = [
    "A fully charged battery lasts forty days without sun [1].",
    "The battery should hold out 5–7 years [1].",
    "It has a “built-in battery” and a solar panel [1].",
    "The price of a station with a hub is €189 [2].",
    "Schools get 20 % off, as a discount [2].",
    "The battery lasts 40 days [1] and a station with a hub costs 189 euros [2].",
    "According to [2], a station with a hub costs 189 euros.",
    "[1] The battery lasts 40 days without sun.",
    "**Battery**: it lasts 40 days without any sun [1].",
    "- Schools get a discount of 20 percent. [2]",
    "1. Schools get a discount of 20 percent. [2]",
    "There is no delivery to Norway [2].",
]


@pytest.mark.parametrize("right", RIGHT)
async def test_a_right_citation_holds(right: str) -> None:
    told = await answer(right)
    assert told.citations
    assert told.notes == ()
    assert told.text == right


TRIAL = (
    "RESULTS In the trial, aspirin reduced the risk of stroke in patients over 60 (n=20) after 12 "
    "weeks. Nerve-induced formation was not inhibited by the NO synthase inhibitor L-NAME. "
    "Pain was reported by 16% (95% interval, 13% to 19%) of all CD4+CD25+ patients of the 10E8 "
    "study, and 29 of 55 left within 24 weeks."
)
CHANGED = {
    "a number of another sentence": "Aspirin reduced the risk of stroke in those over 60 (n=29).",
    "a unit": "Aspirin reduced the risk of stroke in patients over 60 (n=20) after 12 months.",
    "an opposite": "Aspirin increased the risk of stroke in patients over 60 (n=20).",
    "a direction": "In the trial, stroke reduced the risk of aspirin in patients over 60 (n=20).",
    "a dropped not": "Nerve-induced formation was inhibited by the NO synthase inhibitor L-NAME.",
    "a code": "Pain was reported by 16% of the 10E9 study.",
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED)
def test_one_thing_changed_in_the_source_s_own_words_is_caught(changed: str) -> None:
    assert find_support(changed, source(TRIAL)).problem


@pytest.mark.parametrize(
    "kept",
    [
        "Pain was reported by 16% of all CD4+CD25+ patients of the 10E8 study.",
        "In the trial, aspirin reduced the risk of stroke after 12 weeks, and 29 of 55 left.",
        "Formation was not inhibited by L-NAME, an NO synthase inhibitor.",
        "29 of 55 patients left within 24 weeks.",
        "Stroke became rarer: aspirin reduced its risk in patients over sixty.",
    ],
)
def test_the_source_s_own_facts_in_other_sentences_hold(kept: str) -> None:
    assert find_support(kept, source(TRIAL)).problem is None


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("Oslo and Bergen have a shop.", "Bergen and Oslo have a shop."),
        ("Sun correlates with wind in May.", "Wind correlates with sun in May."),
        ("In 2010 the lamp was sold in Oslo.", "The lamp was sold in Oslo in 2010."),
        ("The hub feeds the lamp.", "The lamp is fed by the hub."),
        ("Sales rose, but profits did not rise in May.", "Sales rose in May."),
        ("Do not use vinegar, alcohol or bleach.", "Alcohol and bleach must not be used."),
        ("Nitric oxide (NO) acts on vessels.", "Nitric oxide acts on vessels."),
    ],
)
def test_another_order_that_says_the_same_holds(text: str, claim: str) -> None:
    assert find_support(claim, source(text)).problem is None


FACTS = [
    (f"The {thing} of the {owner} {verb} {amount} {unit}.", thing, amount)
    for thing, owner, verb, amount, unit in [
        ("battery", "lamp", "lasts", 9, "hours"),
        ("warranty", "station", "covers", 3, "years"),
        ("cable", "hub", "measures", 120, "centimetres"),
        ("repair", "sensor", "costs", 38, "euros"),
        ("delivery", "parcel", "takes", 5, "days"),
        ("cleaning", "funnel", "needs", 15, "minutes"),
    ]
]


@given(
    st.permutations(FACTS),
    st.integers(0, len(FACTS) - 1),
    st.sampled_from(["number", "source", "negation", "quote", "range"]),
    st.randoms(use_true_random=False),
)
def test_a_model_that_cites_wrongly_is_caught_each_time(
    facts: list[tuple[str, str, int]], at: int, wrong: str, chance: random.Random
) -> None:
    sentence, thing, amount = facts[at]
    number = at + 1
    if wrong == "number":
        other = chance.choice([n for n in range(2, 400) if n != amount])
        sentence = sentence.replace(str(amount), str(other))
    elif wrong == "source":
        number = chance.choice([n for n in range(1, len(facts) + 1) if n != number])
    elif wrong == "negation":
        sentence = sentence.replace(f"The {thing}", f"It is not true that the {thing}")
    elif wrong == "quote":
        sentence = f"The source says “{thing} for everyone forever”."
    else:
        number += len(facts)
    texts = [fact for fact, _, _ in facts]

    async def caught() -> None:
        told = await answer(f"{sentence[:-1]} [{number}].", *texts)
        assert not [each for each in told.citations if each.problem is None]
        assert told.notes

    step(lambda _: caught()).run(None)


def test_support_holds_across_sources_cited_together() -> None:
    first, second = source("The battery lasts 40 days."), source("Schools pay 20 percent less.", 2)
    claim = "The battery lasts 40 days and schools pay 20 percent less."
    assert find_support(claim, first).problem
    assert find_support(claim, first, [second]).problem is None
    assert find_support(claim, second, [first]).problem is None


async def test_yes_is_checked_against_the_question() -> None:
    for query, holds in (("Do schools get a discount?", True), ("Is there a camera?", False)):
        told = await answer("Yes [1].", PRICES, query=query)
        assert (told.citations[0].problem is None) is holds


async def test_an_embedder_lets_other_words_hold_but_no_other_facts() -> None:
    class Alike(FakeEmbedder):
        async def _embed(self, texts, context):  # type: ignore[no-untyped-def]
            return [[1.0] * self.dimensions for _ in texts]

    in_other_words = "In darkness its accumulator, a battery, endures 40 days [1]."
    assert (await answer(in_other_words)).citations[0].problem
    assert (await answer(in_other_words, embedder=Alike())).citations[0].problem is None
    wrong = in_other_words.replace("40", "50")
    assert (await answer(wrong, embedder=Alike())).citations[0].problem


@pytest.mark.parametrize(("verdict", "holds"), [("Yes.", True), ("NO", False)])
async def test_a_judge_has_the_last_word_on_meaning(verdict: str, holds: bool) -> None:
    judge = FakeChatModel(verdict)
    told = await answer("The battery lasts 40 days [1].", judge=judge)
    assert (told.citations[0].problem is None) is holds
    assert POWER in judge.calls[0].messages[1].text
    told = await answer("The battery lasts 50 days [1].", judge=judge)
    assert told.citations[0].problem
    assert judge.call_count == 1


async def test_words_decide_when_the_judge_fails() -> None:

    judge = FakeChatModel(OverloadedError("busy"))
    told = await answer("The battery lasts 40 days [1].", judge=judge)
    assert told.citations[0].problem is None
    assert told.notes == ("The judge failed (OverloadedError); words decided instead.",)


async def test_a_passage_around_the_chunk_is_read_and_cited_with_its_lines() -> None:
    document = "# Lamp\n\nIt is red.\n\nThe battery lasts nine hours.\n"
    start = document.index("It is")
    small = chunk("It is red.", 1, start=start, end=start + 10, line_start=3, line_end=3)
    small = replace(small, parent=Span(0, len(document)))
    written = "The battery lasts nine hours [1]. It is red [1]."

    async def read_later(_: str, chunk: object) -> str:
        return document

    for read in (lambda *_: document, read_later):
        told = await answer(written, small, small, read=read)
        assert [(each.quote, each.line_start, each.span) for each in told.citations] == [
            ("The battery lasts nine hours.", 5, Span(20, 49)),
            ("It is red.", 3, Span(8, 18)),
        ]
