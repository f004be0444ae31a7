"""How difficult a prompt is, by rules: no network, no model, well under a millisecond."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from tta_llm.messages import ChatInput
from tta_llm.providers.tokens import estimated_tokens
from tta_llm.routing._signals import Signals, signals_of
from tta_llm.routing._turns import Turns, turns_of
from tta_llm.routing.scoring import Score

__all__ = ["DEFAULT_THRESHOLDS", "PromptComplexity"]

DEFAULT_THRESHOLDS: Final[tuple[float, float]] = (0.25, 0.55)
"""Where three tiers part by `PromptComplexity` when nobody calibrated.

They leave about a third of the 200 varied prompts in `benchmarks/data` to each tier.
"""


class _Rule(NamedTuple):
    """What a signal of strength 1 adds, and how it is told; `{}` stands for the count."""

    weight: float
    reason: str


_RULES: Final[dict[str, _Rule]] = {
    "words": _Rule(0.5, ""),
    "repeats": _Rule(15, "relates the same things to each other repeatedly"),
    "statements": _Rule(1, "statements to hold together: {}"),
    "tasks": _Rule(3, "asks for a proof, a design, an analysis or the like"),
    "explanations": _Rule(0.5, "asks for reasons or a comparison"),
    "relations": _Rule(1, "comparisons and sequences: {}"),
    "quantities": _Rule(0.5, "has quantities"),
    "parts": _Rule(2, "fractions, multiples or percentages: {}"),
    "truths": _Rule(1, "negations, exceptions, true or false: {}"),
    "limits": _Rule(0.5, "constraints: {}"),
    "code": _Rule(1.5, "about code"),
    "maths": _Rule(0.75, "mathematical"),
    "creative": _Rule(-1, "creative writing, where cheap models do well"),
    "simple": _Rule(-1, "small talk or a simple request"),
}

# A score approaches 1 as the points grow: 3.5 are half of it, 11.5 nine tenths.
_SCALE = 5.0
# A reason that adds less is not worth telling, and more reasons than so many nobody reads.
_WORTH_TELLING = 0.6
_REASONS = 4
# What an earlier turn counts for the newest: "And why?" is as difficult as what it follows, almost.
_FADING = 0.8
# Fewer points, and a word of small talk or of a simple request among them, follow nothing.
_SMALL_TALK = 0.5
# Fewer tokens make little difference.
_LITTLE = 200


class _Points(NamedTuple):
    value: float
    reason: str


class PromptComplexity:
    """Scores prompts by what makes models fail: a `Scorer`.

    A prompt is more difficult the more it relates the same things to each other, the more
    statements have to be held together, the more it compares, splits, negates and excludes,
    calculates, restricts the answer, or asks for a proof, a design, code or an analysis, and, much
    less, the longer it is. Small talk, look-ups and creative writing take points off. The words
    that tell are English, with some German, French, Spanish, Italian, Portuguese, Russian, Chinese,
    Japanese, Arabic and Hindi; what else counts is the same in most languages. At most 6,000
    characters of a turn are read, its beginning and its end.

    In a conversation the last three turns of the user count, each earlier one by a fifth less, so
    that "and why?" is about as difficult as what it follows; all else adds by its size, and so do
    images, tools and an answer that must fit a schema.

    The weights are round numbers, set by hand. What counts at all was chosen from what is known to
    make models fail, with an eye on RouteLLM's outcomes for 300 problems of GSM8K and 14 subjects
    of MMLU: signals that told nothing there, such as the share of long words, were left out. No
    weight is fitted; to halve one, or raise it by half, moves APGR there by a hundredth at most.
    The guide has the figures.

    Example:
        ```python
        from tta_llm.routing import PromptComplexity

        scorer = PromptComplexity()
        assert scorer("Hello!").value < 0.1
        proof = scorer("Prove that the square root of 2 is irrational.")
        assert proof.value > 0.5
        assert proof.reasons[0] == "asks for a proof, a design, an analysis or the like"
        ```
    """

    def __call__(self, input_data: ChatInput) -> Score:
        """Score an input; any text will do, also an empty one."""
        turns = turns_of(input_data)
        points = [*_asked(turns), *_around(turns)]
        total = max(0.0, _sum(points))
        points.sort(key=lambda each: -abs(each.value))
        reasons = [p.reason for p in points if p.reason and abs(p.value) >= _WORTH_TELLING]
        told = tuple(reasons[:_REASONS]) or ("short and plain",)
        return Score(-math.expm1(-total / _SCALE), told)

    def __repr__(self) -> str:
        return "PromptComplexity()"


def _asked(turns: Turns) -> list[_Points]:
    """Give the points of the newest turn, or of an earlier one that it goes on with."""
    signals = signals_of(turns.asked[0])
    best = _points(signals, turns.asked_tokens)
    if signals.simple and _sum(best) < _SMALL_TALK:
        return best  # "Thanks!" goes on with nothing
    for age, text in enumerate(turns.asked[1:], start=1):
        earlier = [
            _Points(each.value * _FADING**age, each.reason and f"an earlier turn: {each.reason}")
            for each in _points(signals_of(text), estimated_tokens(text))
        ]
        best = max(best, earlier, key=_sum)
    return best


def _points(signals: Signals, tokens: int) -> list[_Points]:
    size = f"{tokens:,} tokens" if tokens >= _LITTLE else ""
    return [
        _Points(rule.weight * strength, rule.reason.format(count) or size)
        for rule, strength, count in zip(_RULES.values(), signals.strengths(), signals, strict=True)
        if strength
    ]


def _around(turns: Turns) -> list[_Points]:
    """Give the points of all that stands around what is asked."""
    found = (
        (turns.other_tokens / _LITTLE, 0.5, f"{turns.other_tokens:,} tokens around it"),
        (turns.images, 1, f"images: {turns.images}"),
        (turns.tools, 0.5, f"tools to choose from: {turns.tools}"),
        (turns.structured, 0.5, "the answer must fit a schema"),
    )
    return [_Points(weight * math.log1p(size), reason) for size, weight, reason in found if size]


def _sum(points: list[_Points]) -> float:
    return sum(each.value for each in points)
