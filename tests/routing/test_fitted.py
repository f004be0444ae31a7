"""A fitted scorer learns what outcomes tell, and without evidence stays with its base."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.messages import ChatInput, ChatRequest, user
from tta_llm.routing import (
    FittedScorer,
    Outcome,
    PromptComplexity,
    Score,
    evaluate,
    out_of_fold_scores,
)

NOUNS = "ledger invoice lamp river engine poem contract planet recipe violin".split()
VERBS = "describe count sort paint repair compare sing weigh fold draw".split()


def traffic(size: int, seed: int, *, telling: float) -> list[Outcome]:
    """Prompts of which those about ledgers and invoices need the better model, so far as told."""
    random = np.random.default_rng(seed)
    outcomes = []
    for _ in range(size):
        noun, other = random.choice(NOUNS, 2)
        prompt = f"Please {random.choice(VERBS)} the {noun} and the {other}, number {size}."
        hard = noun in NOUNS[:2] if random.random() < telling else random.random() < 0.2
        outcomes.append(Outcome(prompt, {"fast": not hard, "quality": 1}))
    return outcomes


def by_length(value: ChatInput) -> Score:
    return Score(min(1, len(str(value)) / 100))


def test_it_learns_which_words_need_the_better_model() -> None:
    scorer = FittedScorer.fit(traffic(1000, 1, telling=1))
    assert scorer.blend > 0.5
    hard, easy = scorer("Please paint the ledger."), scorer("Please paint the lamp.")
    assert hard.value > easy.value
    assert hard.reasons[0] == "like prompts that needed the better model"
    demanding = scorer("Please compare the lamp and the river, and weigh the recipe twice.")
    assert demanding.reasons[0] == "like prompts that a cheap model answered well"


def test_the_share_of_what_is_learned_grows_with_the_evidence() -> None:
    blends = [FittedScorer.fit(traffic(size, 2, telling=1)).blend for size in (30, 300, 1000)]
    assert blends == sorted(blends)
    assert blends[0] < 0.2


@pytest.mark.parametrize("size", [30, 300])
def test_outcomes_that_tell_nothing_leave_the_base_alone(size: int) -> None:
    added = []
    for seed in range(3):
        scorer = FittedScorer.fit(traffic(size, seed, telling=0))
        unseen = traffic(400, 100 + seed, telling=0)
        fitted, base = (
            evaluate(each, unseen, resamples=0).apgr.value for each in (scorer, PromptComplexity())
        )
        added.append(fitted - base)
    assert np.mean(added) > -0.005


def test_one_outcome_and_equal_outcomes_leave_the_base_as_it_is() -> None:
    base = PromptComplexity()
    for outcomes in ([Outcome("a", {"x": 0, "y": 1})], [Outcome("b", {"x": 1, "y": 1})] * 50):
        scorer = FittedScorer.fit(outcomes)
        assert scorer.blend == 0
        assert scorer("Prove it.") == base("Prove it.")


def test_three_tiers_are_weighed_by_what_the_dearest_adds() -> None:
    outcomes = [
        Outcome(f"{noun} {n}", {"s": noun == "lamp", "m": noun == "lamp", "l": 1})
        for n in range(200)
        for noun in ("lamp", "ledger")
    ]
    scorer = FittedScorer.fit(outcomes)
    assert scorer("ledger").value > scorer("lamp").value


@functools.cache
def there_and_back() -> tuple[FittedScorer, FittedScorer]:
    scorer = FittedScorer.fit(traffic(300, 3, telling=1))
    return scorer, FittedScorer.from_dict(json.loads(json.dumps(scorer.to_dict())))


@given(st.text(max_size=200))
def test_a_saved_scorer_scores_as_before(text: str) -> None:
    scorer, again = there_and_back()
    assert again(text) == scorer(text)
    assert 0 <= scorer(text).value <= 1
    assert scorer(text) == scorer([user(text)]) == scorer(ChatRequest(text))


def test_the_file_is_small_and_plain(tmp_path: Path) -> None:
    path = tmp_path / "scorer.json"
    FittedScorer.fit(traffic(300, 3, telling=1)).save(path)
    assert path.stat().st_size < 40_000
    assert json.loads(path.read_text("utf-8"))["version"] == 1
    assert FittedScorer.load(path).blend > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "of version 2, and this release reads version 1"),
        ({"kind": "other"}, "is no tta_llm.routing.FittedScorer"),
        ({"weights": [1.0]}, "broken FittedScorer"),
        ({"weights": "x"}, "broken FittedScorer"),
        ({"base": "by_length"}, "with the base 'by_length', not 'PromptComplexity'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    content = FittedScorer.fit(traffic(30, 3, telling=1)).to_dict() | change
    path = tmp_path / "scorer.json"
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match=told):
        FittedScorer.load(path)


def test_what_is_no_json_and_what_lacks_a_part_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scorer.json"
    path.write_bytes(b"\x80\x04")
    with pytest.raises(ValueError, match=r"scorer.json' is no tta_llm.routing.FittedScorer"):
        FittedScorer.load(path)
    content = FittedScorer.fit(traffic(30, 3, telling=1)).to_dict()
    del content["blend"]
    with pytest.raises(ValueError, match="broken FittedScorer: 'blend'"):
        FittedScorer.from_dict(content)


def test_a_base_of_your_own_is_given_again(tmp_path: Path) -> None:
    path = tmp_path / "scorer.json"
    scorer = FittedScorer.fit(traffic(300, 4, telling=1), base=by_length)
    scorer.save(path)
    assert FittedScorer.load(path, base=by_length)("lamp") == scorer("lamp")
    with pytest.raises(ValueError, match="give that as base="):
        FittedScorer.load(path)


@pytest.mark.parametrize(
    ("outcomes", "tiers", "told"),
    [
        ([], None, "no prompt has outcomes"),
        ([], ["a", "b"], "no outcomes to fit to"),
        ([Outcome("x", {"a": 1})], None, "nothing to choose between with 1 tiers"),
        ([Outcome("x", {"a": 1, "b": 1}), Outcome("y")], None, "outcome 2 has no score for 'a'"),
    ],
)
def test_too_little_to_fit_to_is_refused(
    outcomes: list[Outcome], tiers: list[str] | None, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        FittedScorer.fit(outcomes, tiers=tiers)


def test_scores_out_of_fold_are_by_scorers_that_did_not_see_the_prompt() -> None:
    told: list[tuple[int, int]] = []
    outcomes = [Outcome(f"unlike{n}", {"a": n % 2, "b": 1}) for n in range(60)]
    scores = out_of_fold_scores(outcomes, folds=3, on_fold=lambda *done: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]
    # Each prompt's own word tells its outcome, but nobody who has not seen it can know.
    assert np.ptp(scores) < 0.1


def test_fewer_outcomes_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 outcomes can't be parted into 5 folds"):
        out_of_fold_scores([Outcome("a", {"x": 0, "y": 1})] * 2)
