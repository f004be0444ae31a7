"""Words that say the opposite of each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache

import Stemmer

__all__ = ["opposite_in"]

_PAIRS = (
    "more less|more fewer|above below|over under|before after|always never|high low|"
    "higher lower|highest lowest|increase decrease|raise reduce|maximum minimum|most least|"
    "longer shorter|larger smaller|greater smaller|inside outside|allowed forbidden|"
    "allowed prohibited|included excluded|with without|on off|open closed|first last|"
    "indoors outdoors|enable disable|cold hot|cold warm|early late|earlier later|better worse|"
    "begin end|buy sell|optional required|optional mandatory|safe dangerous|true false|"
    "everyone nobody|all none|only also|add remove|new old|win lose|up down|positive negative|"
    "upper lower|male female|internal external|left right|north south|east west|oldest newest"
)
_UP = (
    "increase raise rise elevate grow upregulate augment gain expand accelerate high higher more "
    "great greater large larger long longer improve enhance promote activate stimulate induce "
    "strong stronger frequent often"
)
_DOWN = (
    "decrease reduce decline fall drop lower downregulate diminish shrink loss lose slow low less "
    "few fewer small smaller short shorter worsen impair inhibit suppress repress block prevent "
    "weak weaker rare rarely"
)
# Opposites only where one stands in the other's place, for each has many uses.
_KINDS = (
    (_UP, _DOWN),
    ("activation stimulation induction", "inhibition suppression repression"),
    ("presence present", "absence absent"),
    ("success succeed", "failure fail"),
    ("accept approve allow permit", "reject refuse deny forbid prohibit"),
    ("same similar alike", "different"),
    ("all every always", "none never no"),
)


@lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    return str(Stemmer.Stemmer("english").stemWord(word.lower()))


def _stems(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_stem, words))


_ANYWHERE = [tuple(_stems([word]) for word in pair.split()) for pair in _PAIRS.split("|")]
_IN_PLACE = [*_ANYWHERE, *(tuple(_stems(side.split()) for side in kind) for kind in _KINDS)]


def opposite_in(
    said: Collection[str], given: Collection[str], *, in_place: bool = False
) -> str | None:
    """Give the word of a claim in whose place its source has the opposite.

    Args:
        said: Words of the claim.
        given: Words of the source.
        in_place: Whether the latter stand just where the former do.

    Example:
        ```python
        from tta_llm.rag.answers.opposites import opposite_in

        assert opposite_in(["doses", "increased"], ["decreases"]) == "increased"
        assert opposite_in(["increased"], ["growing"], in_place=True) is None
        ```
    """
    ours, theirs = _stems(said), _stems(given)
    for one, other in _IN_PLACE if in_place else _ANYWHERE:
        for mine, its in ((one, other), (other, one)):
            if ours & mine and theirs & its and not ours & its and not theirs & mine:
                return next(word for word in said if _stem(word) in mine)
    return None
