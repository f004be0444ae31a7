"""Does a source say a number, and of the same thing?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tta_llm.rag.answers.claims import Facts, word_line
from tta_llm.rag.answers.prompt_sources import Sentence, Source
from tta_llm.rag.answers.quantities import Quantity

__all__ = ["has_figure"]


def has_figure(quantity: Quantity, said: Facts, sources: Sequence[Source]) -> bool:
    """Tell whether one of the sources has a number in a sentence about what the claim is about.

    Args:
        quantity: The number, with its unit.
        said: The claim that it stands in.
        sources: What the claim cites.
    """
    if quantity.is_implied:
        return True
    if any(quantity.agrees(other) for each in sources for other in each.context.quantities):
        return True
    return any(
        _says(sentence, quantity, said) and not _is_of_another(sentence, quantity, said, source)
        for source in sources
        for sentence in _about(said, source)
    )


def _about(said: Facts, source: Source) -> Iterator[Sentence]:
    """The sentences that share a word with the claim, and the neighbours of that which has most."""
    shared = [len(said.terms & each.facts.terms) for each in source.sentences]
    nearest = max(range(len(shared)), key=shared.__getitem__, default=0)
    for place, sentence in enumerate(source.sentences):
        if shared[place] or not said.terms or abs(place - nearest) <= 1:
            yield sentence


def _says(sentence: Sentence, quantity: Quantity, said: Facts) -> bool:
    """Of "three years on the station and two on the hub" each number belongs to its own clause."""
    if not any(quantity.agrees(other) for other in sentence.facts.quantities):
        return False
    if sum(other.unit == quantity.unit for other in said.quantities) > 1:
        return True
    clauses = [each for each in sentence.clauses if _has_unit(each, quantity)]
    here = [each for each in clauses if any(map(quantity.agrees, each.quantities))]
    elsewhere = [each for each in clauses if each not in here]
    if not here or not elsewhere:
        return True
    behind = said.behind(quantity) - frozenset.intersection(*(each.terms for each in clauses))
    in_whole = _most(here, said.terms) >= _most(elsewhere, said.terms)
    return in_whole and (_most(here, behind) > 0 or not _most(elsewhere, behind))


def _most(clauses: Sequence[Facts], terms: frozenset[str]) -> int:
    return max(len(each.terms & terms) for each in clauses)


def _has_unit(facts: Facts, quantity: Quantity) -> bool:
    return any(other.unit == quantity.unit for other in facts.quantities)


def _is_of_another(sentence: Sentence, quantity: Quantity, said: Facts, source: Source) -> bool:
    """Tell whether what the claim names has another number of this kind in another sentence."""
    if quantity.unit is None:
        return False
    for name in said.names:
        if name in sentence.facts.words or word_line(name) in source.heading_words:
            continue
        for other in source.sentences:
            if name in other.facts.words and _has_unit(other.facts, quantity):
                return True
    return False
