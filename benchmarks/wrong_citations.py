"""Right and wrong citations of each kind, made from a collection of abstracts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from tta_llm.rag.chunking.chunker import split_sentences

__all__ = ["Case", "cases"]

_NUMBER = re.compile(r"(?<![\w.,/-])\d{1,4}(?![\w.,/])(?! ?[\u2212-]\d)")
_VERB = re.compile(r" (?:is|was|are|were|can|may|has|have) (?!not\b|no\b|been\b)")
_NOT = re.compile(r" (?:not|never) ")
_NAME = re.compile(r"(?<=[\w,] )[A-Z][\w-]*[A-Z0-9][\w-]*\b")
_TELLS = re.compile(
    r"\A((?:\w[\w-]* ){1,3})((?:inhibits|activates|causes|increases|reduces|induces|regulates|"
    r"controls|promotes|suppresses|requires|contains|precedes|follows|binds to|leads to)) "
    r"((?:\w[\w-]* ?){1,3}?)(?=[,.;]| (?:and|in|by|of|to|through|via|with|at|on|for|during)\b)"
)
_LISTED = re.compile(r"\s*(?:,|and\b|or\b|/|\(|-|\Z)")
_EITHER_WAY = re.compile(
    r"between|associat|correlat|interact|compar|respectively|both|, (?:and|or) "
)
_SWAPS = (
    "increase decrease|increased decreased|increases decreases|higher lower|high low|more less|"
    "before after|positive negative|above below|greater smaller|improved worsened|"
    "upregulated downregulated|longer shorter|reduced increased|reduces increases|with without|"
    "promotes inhibits|activates inhibits|early late|gain loss|maximum minimum|strong weak|"
    "presence absence|activation inhibition|enhanced impaired|stronger weaker"
)
_UNITS = (
    "days weeks|weeks months|months years|years months|hours days|minutes hours|% mg|mg g|kg g|"
    "ml l|mm cm|cm mm|seconds minutes|year month|week day|day week|hour minute|h min|min h"
)
_OTHER_WORDS = {
    "showed": "demonstrated", "patients": "people", "treatment": "therapy", "identified": "found",
    "important": "key", "suggest": "indicate", "children": "young people", "common": "frequent",
    "demonstrate": "show", "found": "seen", "use": "application", "many": "numerous",
    "however": "yet", "also": "moreover", "required": "needed", "known": "understood",
    "leads": "gives rise", "include": "comprise", "several": "a number of", "because": "since",
}  # fmt: skip
_SMALL = "zero one two three four five six seven eight nine ten eleven twelve".split()


class Case(NamedTuple):
    """A claim, the source that it cites, and whether that says it."""

    kind: str
    claim: str
    source: str
    supported: bool


class _Abstract(NamedTuple):
    text: str
    sentences: list[str]
    others: list[str]
    """Sentences of another abstract."""


_Make: TypeAlias = Callable[[str, _Abstract, random.Random], str | None]


def cases(texts: Sequence[str], *, seed: int) -> Iterator[Case]:
    """Make at most one case of each kind from each text."""
    chance = random.Random(seed)  # noqa: S311
    told = [[text[start:end] for start, end in split_sentences(text)] for text in texts]
    usable = [[each for each in own if 8 <= len(each.split()) <= 35] for own in told]
    for place, (text, sentences) in enumerate(zip(texts, usable, strict=True)):
        if not sentences or not usable[place - 1]:
            continue
        abstract = _Abstract(text, sentences, usable[place - 1])
        for kind, make in _RIGHT.items():
            yield from _some(kind, make, abstract, chance, supported=True)
        for kind, make in _WRONG.items():
            yield from _some(kind, make, abstract, chance, supported=False)
        yield Case("other document", chance.choice(sentences), texts[place - 1], supported=False)
        half = len(told[place]) // 2
        first, second = (
            " ".join(told[place][:half]),
            [s for s in sentences if s in told[place][half:]],
        )
        if second and first:
            yield Case("wrong chunk", chance.choice(second), first, supported=False)


def _some(
    kind: str, make: _Make, abstract: _Abstract, chance: random.Random, *, supported: bool
) -> Iterator[Case]:
    for sentence in chance.sample(abstract.sentences, len(abstract.sentences)):
        claim = make(sentence, abstract, chance)
        if claim is not None and claim != sentence:
            yield Case(kind, claim.strip(), abstract.text, supported)
            return


def _verbatim(sentence: str, _: _Abstract, __: random.Random) -> str:
    return f"{sentence} "


def _reported(sentence: str, _: _Abstract, __: random.Random) -> str:
    first, rest = sentence.split(" ", 1)
    return f"The document states that {first.lower() if first.istitle() else first} {rest}"


def _without_brackets(sentence: str, _: _Abstract, __: random.Random) -> str:
    return re.sub(r" \([^()]*\)", "", sentence)


def _first_part(sentence: str, _: _Abstract, __: random.Random) -> str | None:
    part, comma, rest = sentence.rpartition(", ")
    enough = len(part.split()) >= 8 and not re.search(r"\bnot?\b|\bbut\b", rest)
    return f"{part}." if comma and enough and part.count("(") == part.count(")") else None


def _spelled(sentence: str, _: _Abstract, __: random.Random) -> str:
    def other(found: re.Match[str]) -> str:
        number = int(found[0])
        return _SMALL[number] if 1 < number < len(_SMALL) else found[0]

    sentence = re.sub(r"(?<![\w.,/=<>+-] )(?<![\w.,/=<>+(-])\d+(?= [a-z]{3})", other, sentence)
    return re.sub(r"(?<=\d) ?%(?= )", " percent", sentence)


def _in_other_words(sentence: str, _: _Abstract, __: random.Random) -> str:
    return re.sub(r"[a-z]+", lambda found: _OTHER_WORDS.get(found[0], found[0]), sentence)


def _joined(sentence: str, abstract: _Abstract, _: random.Random) -> str | None:
    for first, second in pairwise(abstract.sentences):
        if first == sentence and len((first + second).split()) < 50:
            return f"{first.rstrip('.')}, and {second[0].lower() + second[1:]}"
    return None


def _true_quote(sentence: str, _: _Abstract, __: random.Random) -> str | None:
    words = sentence.split()
    return None if '"' in sentence else f"The authors write “{' '.join(words[1:7])}”."


def _other_number(sentence: str, _: _Abstract, chance: random.Random) -> str | None:
    found = list(_NUMBER.finditer(sentence))
    if not found:
        return None
    one = chance.choice(found)
    return sentence[: one.start()] + str(int(one[0]) + chance.randint(2, 9)) + sentence[one.end() :]


def _other_unit(sentence: str, _: _Abstract, chance: random.Random) -> str | None:
    found = [
        (re.search(rf"(?<=\d)([ -]?){re.escape(old)}(?!\w)", sentence), new)
        for old, new in (pair.split() for pair in _UNITS.split("|"))
    ]
    there = [(each, new) for each, new in found if each]
    if not there:
        return None
    one, new = chance.choice(there)
    return f"{sentence[: one.start()]}{one[1]}{new}{sentence[one.end() :]}"


def _negated(sentence: str, _: _Abstract, __: random.Random) -> str | None:
    found = _VERB.search(sentence)
    clear = found and not re.search(r"\b(?:not?|never|none|neither|nor)\b", sentence)
    return f"{sentence[: found.end()]}not {sentence[found.end() :]}" if found and clear else None


def _without_not(sentence: str, _: _Abstract, __: random.Random) -> str | None:
    single = len(_NOT.findall(sentence)) == 1 and "not only" not in sentence
    return _NOT.sub(" ", sentence) if single else None


def _opposite(sentence: str, _: _Abstract, chance: random.Random) -> str | None:
    pairs = [pair.split() for pair in _SWAPS.split("|")]
    pairs += [pair[::-1] for pair in pairs]
    there = [(a, b) for a, b in pairs if re.search(rf"\b{a}\b", sentence) and b not in sentence]
    if not there:
        return None
    old, new = chance.choice(there)
    return re.sub(rf"\b{old}\b", new, sentence, count=1)


def _other_name(sentence: str, abstract: _Abstract, chance: random.Random) -> str | None:
    names = [name for other in abstract.others for name in _NAME.findall(other)]
    strange = [each for each in names if each.lower() not in abstract.text.lower()]
    found = list(_NAME.finditer(sentence))
    if not strange or not found:
        return None
    one = chance.choice(found)
    return f"{sentence[: one.start()]}{chance.choice(strange)}{sentence[one.end() :]}"


def _exchanged(sentence: str, _: _Abstract, chance: random.Random) -> str | None:
    if _EITHER_WAY.search(sentence):
        return None
    found = [
        (a, b)
        for a, b in pairwise(_NAME.finditer(sentence))
        if a[0].lower() != b[0].lower() and not _LISTED.match(sentence[a.end() : b.start()])
    ]
    if not found:
        return None
    a, b = chance.choice(found)
    between = sentence[a.end() : b.start()]
    return f"{sentence[: a.start()]}{b[0]}{between}{a[0]}{sentence[b.end() :]}"


def _turned(sentence: str, _: _Abstract, __: random.Random) -> str | None:
    found = _TELLS.search(sentence)
    if not found or _EITHER_WAY.search(sentence):
        return None
    subject, verb, thing = found[1].strip(), found[2], found[3].strip()
    return f"{thing.capitalize()} {verb} {subject.lower()}{sentence[found.end(3) :]}"


def _altered_quote(sentence: str, abstract: _Abstract, chance: random.Random) -> str | None:
    words = sentence.split()[1:8]
    strange = [each for each in chance.choice(abstract.others).split() if each.isalpha()]
    strange = [each for each in strange if each.lower() not in abstract.text.lower()]
    if '"' in sentence or not strange:
        return None
    words[chance.randrange(len(words))] = strange[0]
    return f"The authors write “{' '.join(words)}”."


def _invented_quote(_: str, abstract: _Abstract, chance: random.Random) -> str:
    words = chance.choice(abstract.others).split()
    return f"The authors write “{' '.join(words[1:7])}”."


_RIGHT: dict[str, _Make] = {
    "right: verbatim": _verbatim,
    "right: reported": _reported,
    "right: without brackets": _without_brackets,
    "right: first part": _first_part,
    "right: numbers written otherwise": _spelled,
    "right: in other words": _in_other_words,
    "right: two sentences": _joined,
    "right: quote": _true_quote,
}
_WRONG: dict[str, _Make] = {
    "number": _other_number,
    "unit": _other_unit,
    "not added": _negated,
    "not dropped": _without_not,
    "opposite": _opposite,
    "name of another": _other_name,
    "names exchanged": _exchanged,
    "subject and object exchanged": _turned,
    "quote altered": _altered_quote,
    "quote invented": _invented_quote,
}
