"""The outline of a workflow: bounded, sent as JSON and read again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tta_llm import SequentialPrimitive, WorkflowPrimitive
from tta_llm.core._outline import outline_of
from tta_llm.observability.outline import Outline
from tta_llm.recovery import RetryPrimitive
from tta_llm.testing import MockPrimitive


def mock(name: str) -> MockPrimitive:
    return MockPrimitive(name=name)


def test_it_holds_kinds_names_shapes_and_labels() -> None:
    assert outline_of(RetryPrimitive(mock("a") >> mock("b"), max_retries=2)) == Outline(
        "RetryPrimitive",
        "RetryPrimitive",
        children=(
            Outline(
                "SequentialPrimitive",
                "SequentialPrimitive",
                "sequence",
                "at most 3 times",
                (
                    Outline("MockPrimitive", "a", label="1"),
                    Outline("MockPrimitive", "b", label="2"),
                ),
            ),
        ),
    )


def test_it_reads_what_it_wrote() -> None:
    whole = outline_of(mock("a") >> (mock('"quoted"') | mock("日本語") >> mock("<b>")) >> mock("c"))
    assert Outline.from_json(whole.to_json()) == whole


def test_5000_steps_are_bounded_and_it_says_so() -> None:
    whole = outline_of(SequentialPrimitive([mock("step")] * 5_000))
    assert len(list(whole.walk())) == 251
    assert whole.children[-1] == Outline("", "… and more", "more")


def test_branches_nested_so_that_they_are_a_million_steps_are_bounded() -> None:
    part: Any = mock("a")
    for _ in range(20):
        part = part | part.map()
    assert len(list(outline_of(part).walk())) == 251


def test_600_nested_wrappers_are_bounded() -> None:
    part: WorkflowPrimitive[int, int] = mock("core")
    for _ in range(600):
        part = RetryPrimitive(part)
    whole = outline_of(part)
    assert Outline.from_json(whole.to_json()).to_json() == whole.to_json()


def test_its_json_has_at_most_16_kilobytes_whatever_the_names() -> None:
    whole = outline_of(SequentialPrimitive([mock("名" * 1_000)] * 300))
    assert len(whole.to_json().encode()) <= 16_000
    read = Outline.from_json(whole.to_json())
    assert len(read.children) > 20
    assert read.children[-1].name == "… and more"


def test_a_name_that_no_text_can_hold_is_sent_all_the_same() -> None:
    whole = outline_of(mock("half \ud83d a pair"))
    assert whole.to_json().encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "7",
        "[7]",
        '[[0,"a"]]',
        '[[0,"a","b","group",1]]',
        '[["0","a","b","group",""]]',
        '[[1,"a","b","group",""]]',
        '[[0,"a","b","group",""],[0,"a","b","group",""]]',
        '[[0,"a","b","group",""],[2,"a","b","group",""]]',
        "[" * 100_000,
    ],
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="outline"):
        Outline.from_json(text)


def test_json_of_too_many_parts_is_read_within_bounds() -> None:
    rows = [[0, "S", "s", "sequence", ""], *[[1, "A", "a", "group", ""]] * 5_000]
    assert len(list(Outline.from_json(json.dumps(rows)).walk())) == 251
