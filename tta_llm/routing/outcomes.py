"""How well each tier answered a prompt: what scorers are fitted, calibrated and judged on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tta_llm.messages import ChatInput

__all__ = ["Outcome", "qualities", "read_outcomes", "tiers_of"]


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """A prompt, and how well each tier answered it.

    Its repr shows the scores and never the prompt.

    Args:
        prompt: What was asked.
        scores: By tier, the cheapest first: True for an answer that was good enough, False for one
            that was not, or any number from 0 to 1. Empty for a prompt whose answers nobody judged.

    Raises:
        ValueError: When a score is outside 0 to 1.

    Example:
        ```python
        from tta_llm.routing import Outcome

        outcome = Outcome("Prove it.", {"fast": False, "quality": True})
        assert repr(outcome) == "Outcome({'fast': False, 'quality': True})"
        ```
    """

    prompt: ChatInput
    scores: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for tier, score in self.scores.items():
            if not 0 <= score <= 1:
                raise ValueError(f"the score of {tier!r} is from 0 to 1, not {score!r}")

    def __repr__(self) -> str:
        return f"Outcome({dict(self.scores)!r})"


def tiers_of(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """Give the tiers of the first outcome that has scores, in its order.

    Raises:
        ValueError: When none has scores.
    """
    for outcome in outcomes:
        if outcome.scores:
            return tuple(outcome.scores)
    raise ValueError("no prompt has outcomes, so the tiers are not known: name them")


def qualities(outcomes: Sequence[Outcome], tiers: Sequence[str]) -> NDArray[np.float64]:
    """Give the scores as an array: a row for each prompt, a column for each tier.

    Raises:
        ValueError: When a prompt lacks the score of a tier.
    """
    rows = []
    for number, outcome in enumerate(outcomes, start=1):
        if missing := [tier for tier in tiers if tier not in outcome.scores]:
            raise ValueError(
                f"outcome {number} has no score for {missing[0]!r}; it has "
                f"{', '.join(map(repr, outcome.scores)) or 'none at all'}"
            )
        rows.append([float(outcome.scores[tier]) for tier in tiers])
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(tiers))


def read_outcomes(path: Path | str) -> list[Outcome]:
    """Read outcomes from lines of JSON.

    A line is `{"prompt": "...", "outcomes": {"fast": 0, "quality": 1}}`, the cheapest tier first;
    without `outcomes` the prompt counts as not judged. `weak_score` and `strong_score` in place of
    `outcomes` stand for the tiers `weak` and `strong`. Other fields are left alone.

    Raises:
        OSError: When the file can't be read.
        ValueError: When a line is not of this form; it names the line.
    """
    outcomes = list(_read(Path(path)))
    if not outcomes:
        raise ValueError(f"there is no prompt in {str(path)!r}; give it one line of JSON for each")
    return outcomes


def _read(path: Path) -> Iterator[Outcome]:
    # Opened as bytes, for a byte order mark, and for line ends within a line that JSON allows.
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901
            if line.strip():
                try:
                    yield _outcome(json.loads(line))
                except (ValueError, TypeError) as error:
                    raise ValueError(f"line {number} of {str(path)!r}: {error}") from error


def _outcome(row: Any) -> Outcome:
    if not isinstance(row, dict) or not isinstance(row.get("prompt"), str):
        raise TypeError('a line is an object with a "prompt" that is a string')
    scores = row.get("outcomes")
    if scores is None and "weak_score" in row and "strong_score" in row:
        scores = {"weak": row["weak_score"], "strong": row["strong_score"]}
    scores = {} if scores is None else scores
    if not isinstance(scores, dict) or not all(
        isinstance(score, (int, float)) for score in scores.values()
    ):
        raise TypeError(
            '"outcomes" are numbers from 0 to 1 by tier, as in {"fast": 0, "quality": 1}'
        )
    return Outcome(row["prompt"], scores)
