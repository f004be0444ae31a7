"""A scorer that learns from your own outcomes, as far as they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tta_llm.messages import ChatInput
from tta_llm.routing._files import FileKind, name_of
from tta_llm.routing._grams import gram_rows
from tta_llm.routing._learned import Learned, learn
from tta_llm.routing.outcomes import Outcome, qualities, tiers_of
from tta_llm.routing.prompt_complexity import PromptComplexity
from tta_llm.routing.scoring import Score, Scorer

__all__ = ["FittedScorer", "out_of_fold_scores"]

_FILE = FileKind("tta_llm.routing.FittedScorer", 1)

# A move of the score that is worth telling.
_TOLD = 0.05


class FittedScorer:
    """Blends a scorer with what your own outcomes teach: a `Scorer`.

    The learned part is a ridge regression of what the dearest tier adds to the others, on the words
    and pairs of words of a prompt (hashed, weighted by their rarity). Its share in the score grows
    with the evidence: it is what predicts the outcomes best when each prompt's own outcome is left
    out, shrunk towards the base as if 300 outcomes had spoken for that before, less one standard
    error. So few outcomes, or outcomes that words don't foretell, leave the base as it is; 300 to
    1,000 begin to tell.

    What is learned from one kind of traffic does not carry over to another: fit on your own, and
    again when it changes.

    Example:
        ```python
        from tta_llm.routing import FittedScorer, Outcome

        outcomes = [Outcome("Sum the ledger.", {"fast": 0, "quality": 1})] * 300
        outcomes += [Outcome("Name the vendor.", {"fast": 1, "quality": 1})] * 300
        scorer = FittedScorer.fit(outcomes)
        assert scorer("Sum the invoices.").value > scorer("Name the invoices.").value
        assert 0.3 < scorer.blend < 1
        ```
    """

    def __init__(self, base: Scorer, learned: Learned) -> None:
        self.base: Scorer = base
        self._learned = learned

    @property
    def blend(self) -> float:
        """The share of the learned part in the score, from 0 to 1."""
        return self._learned.blend

    @classmethod
    def fit(
        cls,
        outcomes: Sequence[Outcome],
        *,
        base: Scorer | None = None,
        tiers: Sequence[str] | None = None,
    ) -> Self:
        """Learn from outcomes; 3,000 take seconds.

        Args:
            outcomes: Prompts with a score for each tier.
            base: What is blended with; `PromptComplexity()` when missing.
            tiers: The tiers, the cheapest first; those of the first outcome when missing.

        Raises:
            ValueError: When there is no outcome, there are fewer than two tiers, or a score is
                missing.
        """
        base = PromptComplexity() if base is None else base
        tiers = tiers_of(outcomes) if tiers is None else tuple(tiers)
        if len(tiers) < 2:
            raise ValueError(f"there is nothing to choose between with {len(tiers)} tiers: {tiers}")
        quality = qualities(outcomes, tiers)
        if not len(quality):
            raise ValueError("there are no outcomes to fit to; give one or more")
        needs = quality[:, -1] - quality[:, :-1].mean(axis=1)
        prompts = [outcome.prompt for outcome in outcomes]
        scores = np.array([base(prompt).value for prompt in prompts])
        return cls(base, learn(gram_rows(prompts), scores, needs))

    def __call__(self, input_data: ChatInput) -> Score:
        """Score an input as the base does, moved by what was learned."""
        score, learned = self.base(input_data), self._learned
        if not learned.blend:
            return score
        value = learned.value(score.value, gram_rows([input_data])[0])
        if abs(value - score.value) < _TOLD:
            return Score(value, score.reasons)
        told = "needed the better model" if value > score.value else "a cheap model answered well"
        return Score(value, (f"like prompts that {told}", *score.reasons))

    def __repr__(self) -> str:
        return f"FittedScorer({self.base!r}, blend={self.blend:.2f})"

    def save(self, path: Path | str) -> None:
        """Write a JSON file of some 20 kB; the base is not in it.

        Raises:
            OSError: When the file can't be written.
        """
        _FILE.write(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Give what `save` writes, as plain data."""
        return _FILE.labelled({"base": name_of(self.base), **self._learned.to_dict()})

    @classmethod
    def load(cls, path: Path | str, *, base: Scorer | None = None) -> Self:
        """Read what `save` wrote.

        Args:
            path: The file.
            base: The base that it was fitted with; needed unless that was `PromptComplexity`.

        Raises:
            OSError: When the file can't be read.
            ValueError: When it is no such file, of another version, or needs its `base`.
        """
        return cls.from_dict(_FILE.read(path), base=base)

    @classmethod
    def from_dict(cls, content: Any, *, base: Scorer | None = None) -> Self:
        """Make what `to_dict` gave.

        Raises:
            ValueError: As `load` does.
        """
        content = _FILE.checked(content, "this")
        base = PromptComplexity() if base is None else base
        if content.get("base") != name_of(base):
            raise ValueError(
                f"this was fitted with the base {content.get('base')!r}, not {name_of(base)!r}: "
                "give that as base="
            )
        return cls(base, Learned.from_dict(content))


def out_of_fold_scores(
    outcomes: Sequence[Outcome],
    *,
    base: Scorer | None = None,
    tiers: Sequence[str] | None = None,
    folds: int = 5,
    seed: int = 0,
    on_fold: Callable[[int, int], object] | None = None,
) -> NDArray[np.float64]:
    """Score each prompt by a scorer that was fitted without it: what evaluation needs.

    Args:
        outcomes: Prompts with a score for each tier, at least as many as folds.
        base: As `FittedScorer.fit` takes it.
        tiers: As `FittedScorer.fit` takes it.
        folds: So many parts are each left out once.
        seed: Which prompts are in which part.
        on_fold: Told how many parts are done, and how many there are.

    Raises:
        ValueError: When there are fewer outcomes than folds.
    """
    if len(outcomes) < folds:
        raise ValueError(f"{len(outcomes)} outcomes can't be parted into {folds} folds")
    part_of = np.random.default_rng(seed).permutation(len(outcomes)) % folds
    scores = np.zeros(len(outcomes))
    for part in range(folds):
        known = [outcomes[place] for place in np.flatnonzero(part_of != part).tolist()]
        scorer = FittedScorer.fit(known, base=base, tiers=tiers)
        for place in np.flatnonzero(part_of == part).tolist():
            scores[place] = scorer(outcomes[place].prompt).value
        if on_fold is not None:
            on_fold(part + 1, folds)
    return scores
