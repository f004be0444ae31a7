"""The numbers of a text with their units, so that "nine hours" and "9 h" are the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

__all__ = ["Quantity", "Token", "quantities", "tokens"]

_SMALL = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen".split(),
        range(20),
        strict=True,
    )
)
_TENS = {
    word: 10 * (place + 2)
    for place, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split())
}
_MULTIPLES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_UNITS = {
    name: names.split()[0]
    for names in (
        "ms millisecond milliseconds",
        "second s sec secs seconds",
        "minute min mins minutes",
        "hour h hr hrs hours",
        "day days",
        "week weeks",
        "month months",
        "year yr yrs years",
        "% percent pct",
        "€ euro euros eur",
        "$ dollar dollars usd",
        "£ gbp",
        "km kilometre kilometres kilometer kilometers",
        "m metre metres meter meters",
        "cm centimetre centimetres centimeter centimeters",
        "mm millimetre millimetres millimeter millimeters",
        "µm μm micrometre micrometres micrometer micrometers",
        "nm nanometre nanometres nanometer nanometers",
        "mile miles",
        "inch inches",
        "foot feet ft",
        "kg kilogram kilograms kilo kilos",
        "g gram grams",
        "mg milligram milligrams",
        "µg μg ug mcg microgram micrograms",
        "ng nanogram nanograms",
        "lb lbs pound pounds",
        "l litre litres liter liters",
        "ml millilitre millilitres milliliter milliliters",
        "degree degrees °c °f",
        "kb",
        "mb",
        "gb",
        "tb",
        "mol mole moles",
        "mmol millimole millimoles",
        "kcal",
        "hz",
        "khz",
        "mhz",
        "ghz",
        "w watt watts",
        "kw",
        "kwh",
        "v volt volts",
    )
    for name in names.split()
}
_TOKEN = re.compile(
    # A name with a number in it: HB-21, iOS16, 10E8, and 20S where S is no unit.
    rf"(?P<code>\d*[^\W\d_]+-?\d\w*(?:[-./]\w+)*|\d+(?!(?i:{'|'.join(_UNITS)})\b)[A-Z]\w*)"
    r"|(?P<number>(?:(?<![\w.,)\]])[-\u2212](?=\d))?\d+(?:[.,:]\d+)*)"
    r"|(?P<sign>°[ ]?[CF]\b|[%‰€$£])"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)*)"
)
_MONTHS = {
    name: str(number)
    for number, names in enumerate(
        "jan january|feb february|mar march|apr april|may|jun june|jul july|aug august|"
        "sep sept september|oct october|nov november|dec december".split("|"),
        1,
    )
    for name in names.split()
}
_ISO_DATE = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_ONE = frozenset({"a", "an", "one", "per", "each", "every"})
_BETWEEN = frozenset({"to", "or", "and"})
_REACH = 4


class Token(NamedTuple):
    """A word, number, sign or name with a number in it."""

    kind: str
    text: str
    start: int
    end: int


class Quantity(NamedTuple):
    """A number, in each way that it can be read, with its unit if it has one.

    It is implied where "a day" stands for one day.
    """

    values: frozenset[str]
    unit: str | None
    start: int
    end: int
    is_implied: bool = False

    def agrees(self, other: Quantity) -> bool:
        """Tell whether both may mean the same; a number without a unit goes with any."""
        if "month of a date" in (self.unit, other.unit) and self.unit != other.unit:
            return False
        same_unit = self.unit == other.unit or None in (self.unit, other.unit)
        return same_unit and not self.values.isdisjoint(other.values)


def tokens(text: str) -> list[Token]:
    """Take a text apart; punctuation is left out."""
    return [Token(str(found.lastgroup), found[0], *found.span()) for found in _TOKEN.finditer(text)]


def quantities(text: str) -> list[Quantity]:
    """Give the numbers of a text, written in digits or in English words, and its months.

    Example:
        ```python
        from tta_llm.rag.answers.quantities import quantities

        [first] = quantities("It lasts nine hours.")
        [second] = quantities("9 h")
        assert first.agrees(second) and not first.agrees(quantities("9 days")[0])
        ```
    """
    parts = tokens(text)
    found = list(_months(text, parts))
    months = {each.start for each in found}
    place = 0
    while place < len(parts):
        read = _number(parts, place)
        if read is None or parts[place].start in months:
            place += 1
            continue
        values, after = read
        unit = _unit(parts, place, after)
        # "one" is mostly no number: "one of them", "the old one".
        word = parts[place].text.lower()
        if unit is not None or word not in _ONE:
            span = parts[place].start, parts[after - 1].end
            found.append(Quantity(values, unit, *span, word in _ONE and word != "one"))
        place = after
    return found


def _number(parts: Sequence[Token], place: int) -> tuple[frozenset[str], int] | None:
    token = parts[place]
    if token.kind == "number":
        minus = place > 0 and parts[place - 1].text.lower() == "minus"
        values, after = _readings(("-" if minus else "") + token.text), place + 1
    elif token.kind == "code":
        return frozenset(re.findall(r"\d+", token.text)), place + 1
    else:
        spelled = _spelled(parts, place)
        if spelled is None:
            return None
        values, after = frozenset({str(spelled[0])}), spelled[1]
    while after < len(parts) and (factor := _MULTIPLES.get(parts[after].text.lower())):
        values, after = frozenset(_times(value, factor) for value in values), after + 1
    return values, after


def _spelled(parts: Sequence[Token], place: int) -> tuple[int, int] | None:
    word = parts[place].text.lower()
    following = parts[place + 1].text.lower() if place + 1 < len(parts) else ""
    if word in _TENS:
        small = _SMALL.get(following, 0)
        return (_TENS[word] + small, place + 2) if 0 < small < 10 else (_TENS[word], place + 1)
    if word in _ONE and (word == "one" or following in _UNITS or following in _MULTIPLES):
        return 1, place + 1
    return (_SMALL[word], place + 1) if word in _SMALL and word != "one" else None


def _readings(text: str) -> frozenset[str]:
    """The values that digits can stand for: "1.200" is read in two ways."""
    text = text.replace("\u2212", "-")
    groups = re.split(r"[.,]", text)
    if ":" in text or len(groups) == 1:
        return frozenset({text.lstrip("0") or "0"})
    readings = set()
    if all(len(group) == 3 for group in groups[1:]):
        readings.add("".join(groups))
    if len(groups) == 2:
        readings.add(_plain(Decimal(".".join(groups))))
    elif text.count(text[-len(groups[-1]) - 1]) == 1:
        readings.add(_plain(Decimal("".join(groups[:-1]) + "." + groups[-1])))
    return frozenset(readings or {text})


def _times(value: str, factor: int) -> str:
    return value if ":" in value or value.count(".") > 1 else _plain(Decimal(value) * factor)


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _unit(parts: Sequence[Token], place: int, after: int) -> str | None:
    if parts[place].kind == "code":
        return None
    if place and parts[place - 1].text in {"€", "$", "£"}:
        return parts[place - 1].text
    crossed = False
    for token in parts[after : after + _REACH]:
        name = token.text.lower().replace(" ", "")
        if name in _UNITS:
            # "s", "m" and the like are units only where they touch the number or nearly do.
            return _UNITS[name] if len(name) > 2 or token.start - parts[after - 1].end < 2 else None
        if (token.kind == "number" or name in _SMALL or name in _TENS) and not crossed:
            return None
        crossed = name in _BETWEEN
    return None


def _months(text: str, parts: Sequence[Token]) -> Iterator[Quantity]:
    for place, token in enumerate(parts):
        number = _MONTHS.get(token.text.lower())
        beside = [*parts[max(place - 1, 0) : place], *parts[place + 1 : place + 2]]
        dated = any(each.kind == "number" for each in beside)
        if number and token.text[0].isupper() and (dated or token.text not in {"May", "March"}):
            yield Quantity(frozenset({number}), "month of a date", token.start, token.end)
    for found in _ISO_DATE.finditer(text):
        month = str(int(found[2]))
        yield Quantity(frozenset({month}), "month of a date", *found.span(2))


def plain_word(word: str) -> str:
    """Write numbers in digits and units in one way, all in lower case."""
    word = word.lower().replace(" ", "").removesuffix("'s")
    number = _SMALL.get(word, _TENS.get(word))
    return _UNITS.get(word, word) if number is None else str(number)
