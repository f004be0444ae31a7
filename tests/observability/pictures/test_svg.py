"""Workflows as SVG."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observability.pictures.recorded import broken, mock, ran
from tests.observability.recorder import Spans
from tta_llm import (
    ConditionalPrimitive,
    ParallelPrimitive,
    RouterPrimitive,
    SequentialPrimitive,
    WorkflowPrimitive,
)
from tta_llm.observability.outline import Outline
from tta_llm.observability.pictures import draw_mermaid, draw_svg
from tta_llm.observability.pictures.lettering import cut, text_width
from tta_llm.recovery import CompensationPrimitive, FallbackPrimitive, RetryPrimitive

SVG = "{http://www.w3.org/2000/svg}"


def parsed(workflow: WorkflowPrimitive[Any, Any], run: Any = None) -> ET.Element:
    return ET.fromstring(workflow.to_svg(run))


def texts(workflow: WorkflowPrimitive[Any, Any], run: Any = None) -> list[str]:
    return ["".join(each.itertext()) for each in parsed(workflow, run).iter(f"{SVG}text")]


def titles(workflow: WorkflowPrimitive[Any, Any], run: Any = None) -> list[str]:
    return [each.text or "" for each in parsed(workflow, run).iter(f"{SVG}title")]


def size(workflow: WorkflowPrimitive[Any, Any]) -> tuple[float, float]:
    root = parsed(workflow)
    return float(root.attrib["width"]), float(root.attrib["height"])


def test_steps_stand_below_each_other_and_branches_side_by_side() -> None:
    width, height = size(mock("a") >> mock("b") >> mock("c"))
    wide, low = size(mock("a") | mock("b") | mock("c"))
    assert height > width
    assert wide > low


def test_a_choice_has_its_labels() -> None:
    workflow = ConditionalPrimitive(lambda data: True, mock("long"), mock("short"))
    assert {"then", "else", "long", "short"} <= set(texts(workflow))


def test_a_box_has_a_caption_that_tells_what_it_does() -> None:
    assert "Retry, at most 3 times" in texts(RetryPrimitive(mock("a"), max_retries=2))


def test_boxes_around_boxes_are_drawn_as_one() -> None:
    once = parsed(RetryPrimitive(mock("a")))
    twice = parsed(RetryPrimitive(RetryPrimitive(mock("a"))))
    frames = [len(each.findall(f".//{SVG}rect[@class='tta-frame']")) for each in (once, twice)]
    assert frames == [1, 1]


def test_fallbacks_are_told_in_their_order() -> None:
    assert {"first", "else 1"} <= set(texts(FallbackPrimitive(mock("a"), [mock("b")])))


def test_what_undoes_a_step_stands_at_its_side() -> None:
    workflow = CompensationPrimitive([(mock("book"), mock("cancel"))])
    assert {"book", "undo", "cancel"} <= set(texts(workflow))


def test_it_says_what_it_is_to_who_cannot_see_it() -> None:
    root = parsed(mock("a") >> mock("b"))
    assert root.attrib["role"] == "img"
    assert root.findtext(f"{SVG}title") == "SequentialPrimitive"
    assert "MockPrimitive 'b'" in (root.findtext(f"{SVG}desc") or "")


def test_a_long_name_is_cut_and_told_in_full_in_a_title() -> None:
    name = "a name that is far too long for the box of a step in a picture"
    assert not any(name in text for text in texts(mock(name)))
    assert any(text.endswith("…") for text in texts(mock(name)))
    assert f"{name} (Mock)" in titles(mock(name))


@pytest.mark.parametrize(
    "name",
    [
        "日本語の名前",
        "صعب",
        "🙂🙂",
        "</style><script>alert(1)</script>",
        "a & b",
        '"',
        "\x00\x1b",
        "\ud83d",
    ],
)
def test_any_name_gives_a_picture_that_can_be_read(name: str) -> None:
    picture = (mock(name) >> RouterPrimitive({name: mock("x")}, lambda data: name)).to_svg()
    root = ET.fromstring(picture.encode())
    assert not list(root.iter(f"{SVG}script"))


def test_it_refers_to_nothing_outside() -> None:
    picture = (mock("a") >> (mock("b") | mock("c"))).to_svg()
    assert re.findall(r"https?://[^\"' ]+", picture) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<image|<use|url\(|@import|\bhref", picture)


def test_it_has_colours_for_the_dark_too() -> None:
    assert "@media (prefers-color-scheme:dark)" in mock("a").to_svg()


def test_5000_steps_are_bounded_and_it_says_so() -> None:
    workflow = SequentialPrimitive([mock("step")] * 5_000)
    assert "… and more" in texts(workflow)
    assert len(workflow.to_svg()) < 200_000


def test_200_branches_and_100_routes_stand_in_rows() -> None:
    branches = ParallelPrimitive([mock(f"b{number}") for number in range(200)])
    routes = {f"r{number}": mock(f"m{number}") for number in range(100)}
    router = RouterPrimitive(routes, lambda data: "r0")
    assert max(size(branches)[0], size(router)[0]) < 1_200


def test_wrappers_nested_150_deep_are_drawn() -> None:
    inner: WorkflowPrimitive[Any, Any] = mock("core")
    for _ in range(150):
        inner = RetryPrimitive(inner)
    assert "core" in texts(inner)


def test_groups_nested_100_deep_are_drawn() -> None:
    inner: WorkflowPrimitive[Any, Any] = mock("core")
    for number in range(100):
        inner = ParallelPrimitive({"in": inner, f"beside {number}": mock("b")})
    assert "core" in texts(inner)
    assert len(inner.to_svg()) < 300_000


def test_a_run_shows_states_and_figures(spans: Spans) -> None:
    workflow = FallbackPrimitive(broken, [mock("second")]) >> mock("after")
    run = ran(spans, workflow)
    told = titles(workflow, run)
    assert any(title.startswith("broken (FunctionStep): failed") for title in told)
    assert any(title.startswith("after (Mock): done · ") for title in told)
    assert {"✗ broken", "✓ second", "↷ Fallback", "✗ failed", "↷ fell back"} <= set(
        texts(workflow, run)
    )


def test_a_run_is_in_the_diagram_too(spans: Spans) -> None:
    workflow = broken >> mock("after")
    chart = workflow.to_mermaid(ran(spans, workflow))
    assert re.search(r'n1\["broken<br/>.* ms"\]', chart)
    assert "    class n1 failed\n" in chart
    assert "    class n2 not_reached\n" in chart


def test_wide_letters_are_taken_for_wide() -> None:
    assert text_width("日本", 10) > 2 * text_width("il", 10)
    assert text_width("e\u0301", 10) == text_width("e", 10)


def test_what_fits_is_not_cut() -> None:
    assert cut("fits", 10, 100) == "fits"
    assert cut("does not fit", 10, 40).endswith("…")
    assert text_width(cut("m" * 1_000, 10, 90), 10) <= 90


NAMES = st.text(max_size=12)
LEAVES = st.builds(
    Outline, NAMES, NAMES, st.sampled_from(["group", "more"]), st.one_of(NAMES, st.just("undo 1"))
)
OUTLINES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        Outline,
        NAMES,
        NAMES,
        st.sampled_from(["group", "sequence", "choice", "other"]),
        st.one_of(NAMES, st.just("undo 1")),
        st.lists(inner, max_size=4).map(tuple),
    ),
)


@given(OUTLINES)
def test_any_outline_that_a_file_may_hold_is_drawn(outline: Outline) -> None:
    read = Outline.from_json(outline.to_json())
    drawn = ET.fromstring(draw_svg(read).encode())
    parts = [part for _, part in read.walk()]
    assert len(drawn.findall(f".//{SVG}rect[@class='tta-leaf']")) == sum(
        not part.children for part in parts
    )
    assert draw_mermaid(read).count("[") >= sum(not part.children for part in parts)
