"""Questions with what is expected of them, and the file they are read from."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tta_llm.rag.documents import Chunk

__all__ = ["EvaluationCase", "ExpectedSource", "read_cases"]


@dataclass(frozen=True, slots=True)
class ExpectedSource:
    """Where an answer stands: a document, or a place in it.

    What is None doesn't matter. A chunk shows the source when it has a part of the place.

    Args:
        path: The document's path, below the folder that was loaded.
        quote: Words that the chunk must hold, however they are spaced.
        lines: The first and the last line in the file.
        page: The page.
        span: Where the place begins and ends in the document's text.
    """

    path: str
    quote: str | None = None
    lines: tuple[int, int] | None = None
    page: int | None = None
    span: tuple[int, int] | None = None

    @property
    def is_document(self) -> bool:
        """Whether the whole document is meant."""
        return (self.quote, self.lines, self.page, self.span) == (None,) * 4

    def shown_by(self, chunk: Chunk) -> bool:
        """Tell whether a chunk shows it."""
        if chunk.path != self.path or (self.page is not None and self.page != chunk.page):
            return False
        if self.quote is not None and _spaced(self.quote) not in _spaced(chunk.text):
            return False
        if self.span is not None and not (chunk.start < self.span[1] and self.span[0] < chunk.end):
            return False
        return self.lines is None or self.meets(chunk.line_start, chunk.line_end)

    def meets(self, first: int | None, last: int | None) -> bool:
        """Tell whether these lines and the source's have one in common."""
        if self.lines is None or first is None or last is None:
            return self.lines is None
        return first <= self.lines[1] and self.lines[0] <= last


@dataclass(frozen=True, slots=True)
class EvaluationCase:
    """A question, and what is expected.

    Args:
        question: What is asked.
        sources: Where the answer stands; all of them are to be found.
        answer: Words that a right answer holds.
        answerable: Whether the documents answer it; otherwise silence is expected.
        id: What tells it from others in two runs; the question when missing.

    Raises:
        ValueError: When nothing is expected, or an unanswerable question has an answer.

    Example:
        ```python
        from tta_llm.rag import EvaluationCase, ExpectedSource

        case = EvaluationCase("How long does it last?", (ExpectedSource("lamp.md"),), "nine hours")
        assert case.id == "How long does it last?"
        ```
    """

    question: str
    sources: tuple[ExpectedSource, ...] = ()
    answer: str | None = None
    answerable: bool = True
    id: str = ""

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise ValueError(f"the question is empty ({self.question!r})")
        if self.answerable != bool(self.sources or self.answer):
            raise ValueError(
                'a question has "sources" or an "answer", or is marked with "answerable": false'
            )
        if not self.id:
            object.__setattr__(self, "id", self.question)


def read_cases(path: Path | str) -> list[EvaluationCase]:
    """Read cases from lines of JSON.

    A line is `{"question": "...", "sources": ["a.md"], "answer": "..."}`, or
    `{"question": "...", "answerable": false}`. A source is a path, or an object with `path` and one
    or more of `quote`, `lines` (`[3, 5]`), `page` and `span`.

    Raises:
        OSError: When the file can't be read.
        ValueError: When a line is not of this form, it names the line; or there is none, or two
            have the same id.
    """
    path = Path(path)
    cases: dict[str, EvaluationCase] = {}
    for number, case in _read(path):
        if case.id in cases:
            raise ValueError(
                f"line {number} of {str(path)!r}: there is a case {case.id!r} already; give one of "
                'them another "id"'
            )
        cases[case.id] = case
    if not cases:
        raise ValueError(f"there is no case in {str(path)!r}; give it one line of JSON for each")
    return list(cases.values())


def _read(path: Path) -> Iterator[tuple[int, EvaluationCase]]:
    # Opened as bytes, for a byte order mark, and for line ends within a line that JSON allows.
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901
            if line.strip():
                try:
                    yield number, _case(json.loads(line))
                except (ValueError, TypeError) as error:
                    raise ValueError(f"line {number} of {str(path)!r}: {error}") from error


def _case(row: Any) -> EvaluationCase:
    if not isinstance(row, dict):
        raise TypeError('a line is an object, as in {"question": "...", "sources": ["a.md"]}')
    _check_fields(row, {each.name for each in fields(EvaluationCase)})
    sources = row.get("sources") or []
    if not isinstance(sources, list):
        raise TypeError(f'"sources" is a list, not {sources!r}')
    return EvaluationCase(
        question=_typed(row, "question", str) or "",
        sources=tuple(map(_source, sources)),
        answer=_typed(row, "answer", str),
        answerable=_typed(row, "answerable", bool) is not False,
        id=_typed(row, "id", str) or "",
    )


def _source(told: Any) -> ExpectedSource:
    row = {"path": told} if isinstance(told, str) else told
    if not isinstance(row, dict) or not row.get("path"):
        raise TypeError(f'a source is a path, or an object with a "path", not {told!r}')
    _check_fields(row, {each.name for each in fields(ExpectedSource)})
    return ExpectedSource(
        path=_typed(row, "path", str) or "",
        quote=_typed(row, "quote", str),
        lines=_pair(row, "lines"),
        page=_typed(row, "page", int),
        span=_pair(row, "span"),
    )


def _check_fields(row: dict[str, Any], known: Collection[str]) -> None:
    for name in row:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = (
                f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            )
            raise ValueError(f"there is no field {name!r}: {guess}")


def _typed(row: dict[str, Any], name: str, kind: type[Any]) -> Any:
    value = row.get(name)
    if value is not None and type(value) is not kind:
        raise TypeError(f'"{name}" is a {kind.__name__}, not {value!r}')
    return value


def _pair(row: dict[str, Any], name: str) -> tuple[int, int] | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or [type(each) for each in value] != [int, int]:
        raise TypeError(f'"{name}" is a pair of numbers, as in [3, 5], not {value!r}')
    return value[0], value[1]


def _spaced(text: str) -> str:
    return " ".join(text.split())
