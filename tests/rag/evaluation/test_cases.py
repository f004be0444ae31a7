"""Cases are read from lines of JSON, and what is wrong with a line is told with its number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.rag.results import chunk
from tta_llm.rag.evaluation.cases import EvaluationCase, ExpectedSource, read_cases


def read(tmp_path: Path, *lines: str, start: bytes = b"", end: str = "\n") -> list[EvaluationCase]:
    file = tmp_path / "cases.jsonl"
    file.write_bytes(start + "".join(line + end for line in lines).encode())
    return read_cases(file)


def test_a_line_has_a_question_and_what_is_expected(tmp_path: Path) -> None:
    [one, two, three] = read(
        tmp_path,
        '{"question": "A?", "sources": ["a.md", {"path": "b.pdf", "page": 2}], "answer": "x"}',
        '{"question": "B?", "answerable": false, "id": "b", "sources": null, "answer": null}',
        '{"question": "C?", "sources": [{"path": "c", "lines": [3, 5], "span": [1, 9]}]}',
    )
    assert one == EvaluationCase(
        "A?", (ExpectedSource("a.md"), ExpectedSource("b.pdf", page=2)), "x"
    )
    assert two == EvaluationCase("B?", answerable=False, id="b")
    assert three.sources == (ExpectedSource("c", lines=(3, 5), span=(1, 9)),)
    assert (one.id, two.id) == ("A?", "b")


def test_a_byte_order_mark_windows_line_ends_and_empty_lines_do_no_harm(tmp_path: Path) -> None:
    line = '{"question": "\u00c4?", "answer": "\u2028"}'
    [case] = read(tmp_path, "", line, "  ", start=b"\xef\xbb\xbf", end="\r\n")
    assert (case.question, case.answer) == ("\u00c4?", "\u2028")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "Expecting property name"),
        ("[]", "a line is an object"),
        ("{}", "question is empty"),
        ('{"question": " ", "answer": "x"}', "question is empty"),
        ('{"question": 1, "answer": "x"}', '"question" is a str, not 1'),
        ('{"question": "A?"}', '"answerable": false'),
        ('{"question": "A?", "answerable": false, "answer": "x"}', '"answerable": false'),
        ('{"question": "A?", "answerable": "no"}', '"answerable" is a bool'),
        ('{"question": "A?", "souces": ["a"]}', "did you mean 'sources'?"),
        ('{"question": "A?", "zzz": 1}', "there are answer, answerable, id"),
        ('{"question": "A?", "sources": "a.md"}', '"sources" is a list'),
        ('{"question": "A?", "sources": [3]}', "a source is a path"),
        ('{"question": "A?", "sources": [{"page": 3}]}', "a source is a path"),
        ('{"question": "A?", "sources": [{"path": "a", "pge": 3}]}', "did you mean 'page'?"),
        ('{"question": "A?", "sources": [{"path": "a", "page": true}]}', '"page" is a int'),
        ('{"question": "A?", "sources": [{"path": "a", "lines": [3]}]}', "a pair of numbers"),
        ('{"question": "ok", "answer": "x"}', "there is a case 'ok' already"),
    ],
)
def test_a_broken_line_is_told_with_its_number(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"line 2 of .*cases.jsonl") as caught:
        read(tmp_path, '{"question": "ok", "answer": "x"}', line)
    assert told in str(caught.value)


def test_what_is_no_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_bytes(b'{"question": "\xe4"}\n')
    with pytest.raises(ValueError, match=r"line 1 of .*utf-8"):
        read_cases(file)


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no case in"):
        read(tmp_path, "", " ")


def test_a_chunk_shows_a_source_when_it_has_a_part_of_the_place() -> None:
    piece = replace(chunk("nine\n  hours", "a.md", start=10), line_start=4, line_end=5)
    shown = [
        ExpectedSource("a.md"),
        ExpectedSource("a.md", quote="nine hours"),
        ExpectedSource("a.md", lines=(5, 9)),
        ExpectedSource("a.md", lines=(1, 4)),
        ExpectedSource("a.md", span=(0, 11)),
        ExpectedSource("a.md", span=(12, 13)),
    ]
    hidden = [
        ExpectedSource("b.md"),
        ExpectedSource("a.md", quote="ten hours"),
        ExpectedSource("a.md", lines=(6, 9)),
        ExpectedSource("a.md", lines=(1, 3)),
        ExpectedSource("a.md", span=(0, 10)),
        ExpectedSource("a.md", span=(piece.end, 99)),
        ExpectedSource("a.md", page=1),
    ]
    assert [source for source in shown if not source.shown_by(piece)] == []
    assert [source for source in hidden if source.shown_by(piece)] == []
    paged = replace(piece, page=1, line_start=None, line_end=None)
    assert ExpectedSource("a.md", page=1).shown_by(paged)
    assert not ExpectedSource("a.md", lines=(1, 9)).shown_by(paged)
