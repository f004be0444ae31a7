"""Reading a filter that was written as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn, TypeVar

from tta_llm.rag.stores._filter_values import BARE_NAME, KEYWORDS, Value
from tta_llm.rag.stores.filters import MOST_DEPTH, AllOf, AnyOf, Comparison, Filter, Membership

__all__ = ["parse_filter"]

T = TypeVar("T")

_MOST_CHARACTERS = 100_000

_TOKENS = re.compile(
    rf"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<quoted>`(?:[^`]|``)+`)
      | (?P<number>-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<word>{BARE_NAME.pattern})
      | (?P<operator>[=!<>]=|[<>])
      | (?P<mark>[(),])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}

_VALUE = 'a value: "a text", a number, true or false'
_CONDITION = "a condition, such as year >= 2020"


def parse_filter(text: str) -> Filter:
    r"""Read a filter such as `year >= 2020 and lang in ("en", "de")`.

    Fields are compared by `==`, `!=`, `<`, `<=`, `>`, `>=`, `in (…)` and `not in (…)`; `and` binds
    tighter than `or`, and brackets tighter than both. Texts stand in double or single quotes, with
    `\"`, `\\`, `\n` and `\u00e9` as escapes. A name with other signs than letters, digits, `_`,
    `.` and `-` stands in backticks.

    Raises:
        ValueError: It is no filter; the message says where, and what was expected there.

    Example:
        ```python
        from tta_llm.rag import parse_filter

        drafts = parse_filter("draft == true or path in ('a.md', 'b.md')")
        assert drafts.matches({"path": "b.md"})
        ```
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(
            f"a filter may have {_MOST_CHARACTERS:,} characters, not {len(text):,}: shorten it"
        )
    return _Parser(text).filter()


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Parser:
    """Descends through brackets, with one token in sight."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0
        self._end = 0
        self._next = self._scan()

    def filter(self) -> Filter:
        found = self._any_of()
        if self._next.kind != "end":
            self._fail("'and', 'or' or the end")
        return found

    def _any_of(self) -> Filter:
        return self._joined("or", AnyOf, self._all_of)

    def _all_of(self) -> Filter:
        return self._joined("and", AllOf, self._term)

    def _joined(self, word: str, kind: type[AllOf | AnyOf], read: Callable[[], Filter]) -> Filter:
        parts = [read()]
        while self._takes(word):
            parts.append(read())
        if len(parts) == 1:
            return parts[0]
        return self._make(self._next.at, kind, tuple(parts))

    def _term(self) -> Filter:
        if not self._takes("("):
            return self._condition()
        self._depth += 1
        if self._depth > MOST_DEPTH:
            self._fail(f"no more than {MOST_DEPTH} brackets in each other")
        found = self._any_of()
        self._expect(")", "'and', 'or' or ')'")
        self._depth -= 1
        return found

    def _condition(self) -> Filter:
        at, name = self._next.at, self._name()
        if self._takes("not"):
            self._expect("in", "'in' after 'not'")
            return self._make(at, Membership, name, self._values(), True)  # noqa: FBT003
        if self._takes("in"):
            return self._make(at, Membership, name, self._values())
        if self._next.kind != "operator":
            self._fail("==, !=, <, <=, >, >=, 'in' or 'not in'")
        return self._make(at, Comparison, name, self._take().text, self._value())

    def _name(self) -> str:
        kind, text, _ = self._next
        if kind == "quoted":
            return self._take().text[1:-1].replace("``", "`")
        if kind != "word" or text.lower() in KEYWORDS:
            self._fail(_CONDITION)
        return self._take().text

    def _values(self) -> tuple[Value, ...]:
        self._expect("(", "'(' and a list of values")
        values: list[Value] = []
        while not self._takes(")"):
            values.append(self._value())
            if self._next.text != ")":
                self._expect(",", "',' or ')'")
        return tuple(values)

    def _value(self) -> Value:
        kind, text, at = self._next
        if kind == "text":
            return _ESCAPE.sub(_unescape, self._take().text[1:-1])
        if kind == "number":
            self._take()
            number: type[float] = int if text.lstrip("-").isdigit() else float
            return self._make(at, number, text)
        if text.lower() not in ("true", "false"):
            self._fail(_VALUE)
        return self._take().text.lower() == "true"

    # ------------------------------------------------------------------------------- the tokens

    def _scan(self) -> _Token:
        found = _TOKENS.match(self._text, self._end)
        if found is None:
            rest = self._text[self._end :].lstrip()
            self._next = _Token("", rest[:1], len(self._text) - len(rest))
            self._fail(_hint(rest[0]))
        self._end = found.end()
        kind = str(found.lastgroup)
        return _Token(kind, found[kind], found.start(kind))

    def _take(self) -> _Token:
        taken, self._next = self._next, self._scan()
        return taken

    def _takes(self, text: str) -> bool:
        is_there = self._next.kind in ("word", "mark") and self._next.text.lower() == text
        if is_there:
            self._take()
        return is_there

    def _expect(self, text: str, expected: str) -> None:
        if not self._takes(text):
            self._fail(expected)

    def _make(self, at: int, kind: Callable[..., T], *arguments: object) -> T:
        try:
            return kind(*arguments)
        except ValueError as error:
            raise ValueError(f"{self._place(at)}: {error}") from error

    def _fail(self, expected: str) -> NoReturn:
        found = repr(self._next.text) if self._next.text else "the end"
        raise ValueError(f"{self._place(self._next.at)}: expected {expected}, found {found}")

    def _place(self, at: int) -> str:
        shown = self._text if len(self._text) <= 200 else self._text[:200] + "…"
        return f"the filter {shown!r} is wrong at character {at + 1}"


def _hint(sign: str) -> str:
    if sign in "\"'`":
        return f"a closing {sign}"
    return "== or !=" if sign in "=!" else "a name, a value or an operator"


def _unescape(escape: re.Match[str]) -> str:
    if escape[1]:
        return chr(int(escape[1], 16))
    return _ESCAPED.get(escape[2], escape[2])
