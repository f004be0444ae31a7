"""What a sentence says, as far as it can be told without a model: the facts that can be checked."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tta_llm.rag.answers.quantities import Quantity, quantities, tokens
from tta_llm.rag.index.lexical import terms

__all__ = ["Facts", "facts", "is_negation", "is_quoted", "quotes", "word_line"]

_NEGATIONS = frozenset(
    "no not never none neither nor cannot nothing nobody nowhere hardly "
    "nicht kein keine keinen keinem keiner nie niemals weder".split()
)
_CLAUSE_END = re.compile(
    # A list goes on behind its commas: "no vinegar, alcohol or bleach".
    r",(?!(?:\s+[\w-]+){1,3}(?:,|\s+n?or\b))|[;:.!?()]|\b(?:but|however|although|while|whereas|because|so)\b"
)
_NEGATED_WORDS = 8
_QUOTE = re.compile(
    r"“([^”\n]+)”|„([^“”\n]+)[“”]|«([^»\n]+)»|»([^«\n]+)«|「([^」\n]+)」"
    r"|(?<![\w\"])\"([^\"\n]+)\"(?!\w)"
)
_LEFT_OUT = re.compile(r"\[?(?:\.\.\.|…)\]?")
_MARKDOWN = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_CONTRACTION = re.compile(r"\b\w+n't\b|'(?:s|re|ve|ll|d|m)\b")
_BULLET = re.compile(r"\A\s*(?:[-*+•>]|\d{1,3}[.)]|\#{1,6})\s+")


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be looked up of a sentence.

    Args:
        terms: The stems of its content words, without numbers.
        quantities: Its numbers with units.
        names: Its names, and other words in capitals, in lower case.
        words: All its words, in lower case.
        denials: For each negation the stems that it reaches.
        asserted: The stems that stand somewhere that no negation reaches.
        text: It in plain letters; the offsets of the quantities are in there.
    """

    terms: frozenset[str]
    quantities: tuple[Quantity, ...]
    names: frozenset[str]
    words: frozenset[str]
    denials: tuple[frozenset[str], ...]
    asserted: frozenset[str]
    text: str

    def behind(self, quantity: Quantity) -> frozenset[str]:
        """The stems that follow one of its numbers."""
        return frozenset(_stems(self.text[quantity.end :]))

    def denies(self, others: Sequence[Facts]) -> bool:
        """Tell whether it negates something that others say and do not negate."""
        said = {stem for other in others for stem in other.terms} - self.asserted
        denied = {stem for other in others for each in other.denials for stem in each}
        shared = (said.intersection(each) for each in self.denials)
        return any(each and each.isdisjoint(denied) for each in shared)


def facts(sentence: str) -> Facts:
    """Read a sentence.

    Example:
        ```python
        from tta_llm.rag.answers.claims import facts

        read = facts("The battery does not last nine hours.")
        assert "last" in read.denials[0]
        assert read.quantities[0].unit == "hour"
        ```
    """
    text = _plain(sentence)
    numbers = tuple(quantities(text))
    kept = _without(text, numbers)
    stems, denials = _stems(kept), list(_denials(kept))
    asserted = Counter(stems)
    asserted.subtract(stem for reached in denials for stem in reached)
    return Facts(
        frozenset(stems),
        numbers,
        frozenset(_names(text)),
        frozenset(each.text.lower() for each in tokens(text)),
        tuple(map(frozenset, denials)),
        frozenset(+asserted),
        text,
    )


def _plain(text: str) -> str:
    """Take off what is only writing: the marks of lists and of Markdown."""
    text = unicodedata.normalize("NFKC", _BULLET.sub("", text, count=1))
    return _MARKDOWN.sub("", text.replace("’", "'"))


def word_line(text: str) -> str:
    """The words of a text between single blanks, to look for others in."""
    words = re.findall(r"\w+", _MARKDOWN.sub("", unicodedata.normalize("NFKC", text)).casefold())
    return f" {' '.join(words)} "


def quotes(text: str) -> list[str]:
    """The words in quotation marks; where some are left out, the pieces around them."""
    found = ("".join(filter(None, each)) for each in _QUOTE.findall(text))
    return [
        piece for quote in found for piece in _LEFT_OUT.split(quote) if word_line(piece).strip()
    ]


def _stems(text: str) -> list[str]:
    [stems] = terms([_CONTRACTION.sub(" ", text)])
    return [stem for stem in stems if not stem.isdigit() and stem not in _NEGATIONS]


def _without(text: str, numbers: Iterable[Quantity]) -> str:
    letters = list(text)
    for each in numbers:
        if text[each.start : each.end].replace("-", "").isdigit() or each.unit:
            letters[each.start : each.end] = " " * (each.end - each.start)
    return "".join(letters)


def is_negation(word: str) -> bool:
    """Tell whether a word, in lower case, turns what is said into its contrary."""
    return word in _NEGATIONS or word.endswith("n't")


def _denials(text: str) -> Iterator[list[str]]:
    """The stems behind each negation in its clause; those before it, where none is behind."""
    for found in re.finditer(r"[\w']+", text):
        word = found[0].lower()
        # What stands in brackets by itself is an abbreviation: "nitric oxide (NO)".
        if is_negation(word) and text[found.start() - 1 : found.start()] != "(":
            after = _CLAUSE_END.split(text[found.end() :], maxsplit=1)[0].split()
            before = _CLAUSE_END.split(text[: found.start()])[-1].split()
            # "Alcohol must not be used": nothing follows that could be meant.
            reached = _stems(" ".join(after[:_NEGATED_WORDS]))
            yield reached or _stems(" ".join(before[-_NEGATED_WORDS:]))


def _names(text: str) -> list[str]:
    """Words in capitals that are not so because a sentence begins."""
    words = [each for each in tokens(text) if each.kind in ("word", "code")]
    capital = [each for each in words[1:] if _is_name(each.text, each.start, text)]
    # Where all nouns have capitals, as in German, a capital makes no name.
    if len(capital) > max(3, 0.4 * len(words)):
        capital = [each for each in capital if each.kind == "code" or each.text.isupper()]
    if capital and words[0].end + 1 == capital[0].start and words[0].text.istitle():
        [stem] = terms([words[0].text])
        capital += words[:1] if stem else []
    return [each.text.lower().removesuffix("'s") for each in capital]


def _is_name(word: str, start: int, text: str) -> bool:
    if not word.lstrip("0123456789")[:1].isupper() or word in {"I", "I'm", "I've"}:
        return False
    before = text[:start].rstrip(" \"'“”„«»(*_")
    return bool(before) and before[-1] not in ".!?:;\n•|"


def is_quoted(text: str, at: int, holds: Callable[[str], bool]) -> bool:
    """Tell whether an offset lies in quoted words that, with it, stand in a source."""
    found = (each for each in _QUOTE.finditer(text) if each.start() < at < each.end())
    return any(holds("".join(filter(None, each.groups()))) for each in found)
