"""Outcomes are read from lines of JSON, and an error names its line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tta_llm.routing import Outcome, read_outcomes
from tta_llm.routing.outcomes import qualities, tiers_of

GOOD = b'{"prompt": "a", "outcomes": {"fast": 0, "quality": 1}}'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "traffic.jsonl"


def test_tiers_keep_their_order_and_other_fields_are_left_alone(data: Path) -> None:
    data.write_bytes(b'{"id": 7, "prompt": "a", "outcomes": {"z": 0.25, "a": true}}\n')
    [outcome] = read_outcomes(data)
    assert outcome.prompt == "a"
    assert list(outcome.scores.items()) == [("z", 0.25), ("a", True)]


def test_weak_and_strong_score_are_two_tiers(data: Path) -> None:
    data.write_bytes(b'{"prompt": "a", "strong_score": 1.0, "weak_score": 0.0, "sub": ""}')
    assert list(read_outcomes(data)[0].scores.items()) == [("weak", 0), ("strong", 1)]


def test_a_prompt_alone_is_not_judged(data: Path) -> None:
    data.write_bytes(b'{"prompt": "a"}')
    assert read_outcomes(data) == [Outcome("a")]


def test_byte_order_mark_windows_line_ends_and_empty_lines_are_fine(data: Path) -> None:
    data.write_bytes(b"\xef\xbb\xbf" + GOOD + b"\r\n\r\n" + GOOD + b"\r\n")
    assert len(read_outcomes(data)) == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "line 2 of"),
        (b"[1]", "an object"),
        (b'{"prompt": 1}', '"prompt" that is a string'),
        (b'{"prompt": "a", "outcomes": [1]}', '"outcomes" are numbers'),
        (b'{"prompt": "a", "outcomes": {"fast": "good"}}', '"outcomes" are numbers'),
        (b'{"prompt": "a", "outcomes": {"fast": 7}}', "from 0 to 1, not 7"),
        (b'{"prompt": "a", "outcomes": {"fast": NaN}}', "from 0 to 1, not nan"),
        (b'{"prompt": "\xff"}', "line 2 of"),
    ],
)
def test_what_is_wrong_with_a_line_is_told(data: Path, line: bytes, told: str) -> None:
    data.write_bytes(GOOD + b"\n" + line)
    with pytest.raises(ValueError, match=f"line 2 of .*{told}|{told}.*"):
        read_outcomes(data)


def test_a_file_without_prompts_is_refused(data: Path) -> None:
    data.write_bytes(b"\n")
    with pytest.raises(ValueError, match="there is no prompt"):
        read_outcomes(data)


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan])
def test_scores_are_from_0_to_1(score: float) -> None:
    with pytest.raises(ValueError, match="'fast' is from 0 to 1"):
        Outcome("a", {"fast": score})


def test_the_repr_hides_the_prompt() -> None:
    assert "secret" not in repr(Outcome("secret", {"fast": 1}))


def test_a_missing_tier_is_named_with_its_outcome() -> None:
    with pytest.raises(ValueError, match="outcome 2 has no score for 'b'; it has 'a'"):
        qualities([Outcome("x", {"a": 1, "b": 0}), Outcome("y", {"a": 1})], ("a", "b"))


def test_without_any_scores_the_tiers_are_not_known() -> None:
    with pytest.raises(ValueError, match="name them"):
        tiers_of([Outcome("x")])
