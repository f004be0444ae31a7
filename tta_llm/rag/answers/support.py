"""Does a source say what a sentence cites it for? What can be told without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tta_llm.rag.answers.claims import Facts, facts, quotes, word_line
from tta_llm.rag.answers.figures import has_figure
from tta_llm.rag.answers.opposites import opposite_in
from tta_llm.rag.answers.prompt_sources import Sentence, Source
from tta_llm.rag.answers.wording import Wording
from tta_llm.rag.documents import Span

__all__ = ["MIN_COVERAGE", "Support", "find_support"]

MIN_COVERAGE = 0.5
"""So much of a sentence's content must stand in what it cites."""

_MOST_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class Support:
    """How a source bears on a claim.

    Args:
        span: The sentence of the source that says it best.
        coverage: The share of the claim's content whose words stand in the best sentences.
        problem: What the source does not say, None when it says all that can be checked.
        is_certain: Whether the problem is one of facts (a number, a name, a quote, a "not"), which
            no likeness of meaning outweighs.
    """

    span: Span
    coverage: float
    problem: str | None
    is_certain: bool


def find_support(
    claim: str, source: Source, beside: Sequence[Source] = (), about: str = ""
) -> Support:
    """Look a claim up in a source.

    Args:
        claim: A sentence, or the part of one that a citation stands for.
        source: What it cites.
        beside: What it cites besides: facts may stand there as well.
        about: The question, for an answer such as "Yes."
    """
    said = facts(claim)
    if said.terms <= {"yes", "ja", "correct"} and not said.quantities:
        said = facts(about)
    best = _best(said, source)
    coverage = _coverage(said, best, [source])
    span = best[0].span if best else Span(0, len(source.text))
    joint = (source, *beside)
    problem = next(_wrong(claim, said, best, joint), None)
    if problem is not None:
        return Support(span, coverage, problem, is_certain=True)
    # Where several are cited together, each has to say its share, and all of them the whole.
    whole = max(coverage, _coverage(said, [s for each in joint for s in _best(said, each)], joint))
    if whole < MIN_COVERAGE or coverage < MIN_COVERAGE / len(joint):
        problem = f"only {min(whole, coverage):.0%} of what the sentence says stands in the source"
    return Support(span, coverage, problem, is_certain=False)


def _best(said: Facts, source: Source) -> list[Sentence]:
    """The few sentences that have most of the claim between them, the best first."""
    chosen: list[Sentence] = []
    missing = set(said.terms)
    left = list(source.sentences)
    while left and len(chosen) < _MOST_SENTENCES:
        best = max(left, key=lambda each: _shared(said, each.facts, missing))
        if not any(_shared(said, best.facts, missing)) and chosen:
            break
        chosen.append(best)
        left.remove(best)
        missing -= best.facts.terms
    return chosen


def _shared(said: Facts, given: Facts, missing: set[str]) -> tuple[float, int]:
    numbers = sum(any(q.agrees(other) for other in given.quantities) for q in said.quantities)
    new = len(missing & given.terms)
    return new + (numbers if new or not said.terms else 0), -len(given.terms)


def _coverage(said: Facts, best: Sequence[Sentence], sources: Sequence[Source]) -> float:
    if not said.terms:
        return 1.0 if best else 0.0
    given: set[str] = set()
    for source in sources:
        given |= source.context.terms
    # Headings alone are no evidence.
    named = said.terms & given
    stated = said.terms & {term for each in best for term in each.facts.terms}
    return len(named | stated) / len(said.terms) if stated or said.quantities else 0.0


def _wrong(
    claim: str, said: Facts, best: Sequence[Sentence], sources: Sequence[Source]
) -> Iterator[str]:
    """What the claim says otherwise than the sources."""
    for quote in quotes(claim):
        if not any(word_line(quote) in source.words for source in sources):
            yield f"the quoted words “{quote.strip()}” don't stand in the source"
    stated = [each.facts for each in best]
    wording = Wording(said, stated)
    for quantity in said.quantities:
        in_place = wording.has(quantity)
        if not (has_figure(quantity, said, sources) if in_place is None else in_place):
            number = said.text[quantity.start : quantity.end]
            yield f"the source does not say “{number}” of this"
    for name in sorted(said.names):
        if not any(_has_name(name, source) for source in sources):
            yield f"the source does not name “{name}”"
    yield from _turned(said, stated, wording)


def _turned(said: Facts, stated: Sequence[Facts], wording: Wording) -> Iterator[str]:
    """What the claim turns into its contrary."""
    nearest = stated[:1]
    denied = said.denies(stated) or any(each.denies([said]) for each in nearest)
    if denied or wording.is_negated():
        yield "one of the sentence and its source negates what the other says"
    for each in nearest:
        if opposite := wording.opposite() or opposite_in(said.words, each.words):
            yield f"the source says the opposite of “{opposite}”"
    if exchanged := wording.exchanged():
        yield "“{}” and “{}” stand the other way round in the source".format(*exchanged)


def _has_name(name: str, source: Source) -> bool:
    return (
        word_line(name) in source.named
        or name in source.initials
        or any(name in sentence.facts.words for sentence in source.sentences)
    )
