"""What of a question must be equal exactly, for its embedding hardly tells: 2023 from 2024."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["is_reordered", "question_details"]

_WORD: Final = re.compile(r"°[cf]\b|[$€£¥%+*#<>=]|[^\W\d_]+(?:'[^\W\d_]+)?")
_AROUND: Final = "\"'.,:;!?()[]{}"
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3})")


def _table(lines: str) -> dict[str, str]:
    """Read lines of words, each of which stands for the first in its line."""
    rows = [line.split() for line in lines.splitlines()]
    return {word: row[0] for row in rows for word in row}


# "One" and "may" are not here: they are a pronoun and a verb far more often.
_TELLING: Final = _table("""\
2 two
3 three
4 four
5 five
6 six
7 seven
8 eight
9 nine
10 ten
11 eleven
12 twelve dozen
1st first
2nd second
3rd third
last previous
next following
hundred hundreds
thousand thousands
million millions
billion billions
not no never without nobody none nothing neither nor cannot except excluding
not dont doesnt didnt isnt arent wasnt cant wont
monday mondays
tuesday tuesdays
wednesday wednesdays
thursday thursdays
friday fridays
saturday saturdays
sunday sundays
january
february
march
april
june
july
august
september
october
november
december
today
tomorrow
yesterday
+
*
#
<
>
=
% percent
km kilometre kilometres kilometer kilometers
cm centimetre centimetres centimeter centimeters
mm millimetre millimetres millimeter millimeters
metre metres meter meters
mile miles
foot feet ft
inch inches
kg kilogram kilograms kilo kilos
mg milligram milligrams
gram grams
pound pounds lb lbs £ gbp
ounce ounces oz
litre litres liter liters
gallon gallons
celsius °c
fahrenheit °f
dollar dollars usd $
euro euros eur €
yen jpy ¥
""")
# These are units after a number only: "3 days", but also "how many days" for "how long".
_UNITS_OF_A_NUMBER: Final = _table("""\
seconds s sec secs
minute minutes min
hour hours h
day days
week weeks
month months
year years
gram g
litre l
metre m
""")


def question_details(question: str) -> list[str]:
    """Give the numbers, signs, negations, dates and units of an English question, in its order.

    Two questions that differ in one of them alone have embeddings as near as two that mean the
    same. What is told otherwise ("2024-05-01", "1 May 2024") counts as different, which is a miss
    and does no harm. Names, opposites ("before", "after") and other languages are not known here.

    Example:
        ```python
        from tta_llm.performance import question_details

        assert question_details("Why isn't it 2 km?") == ["not", "2", "km"]
        assert question_details("Why is it two miles?") == ["2", "mile"]
        ```
    """
    return list(_details(question))


def _details(question: str) -> Iterator[str]:
    after_number = False
    for word in _words(question):
        is_number = _has_digit(word)
        if is_number:
            yield word
        elif word in _TELLING:
            yield _TELLING[word]
        elif word.endswith("n't"):
            yield "not"
        elif after_number and word in _UNITS_OF_A_NUMBER:
            yield _UNITS_OF_A_NUMBER[word]
        after_number = is_number or _TELLING.get(word, "").isdigit()


def is_reordered(one: str, other: str) -> bool:
    """Tell whether two texts are the same words in another order, as "from A to B", "from B to A".

    Their embeddings are nearly the same.
    """
    words, others = _words(one), _words(other)
    return words != others and sorted(words) == sorted(others)


def _words(text: str) -> list[str]:
    """Split a text in lower case into words and whatever has a digit in it, such as "3.11"."""
    plain = _THOUSANDS.sub("", text.lower().replace("’", "'"))
    return [word for chunk in plain.split() for word in _words_in(chunk)]


def _words_in(chunk: str) -> list[str]:
    return [chunk.strip(_AROUND)] if _has_digit(chunk) else _WORD.findall(chunk)


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))
