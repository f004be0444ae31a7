"""A workflow as text, as a diagram, and in a notebook."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tta_llm import (
    ConditionalPrimitive,
    ParallelPrimitive,
    RouterPrimitive,
    SequentialPrimitive,
    WorkflowPrimitive,
    step,
)
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import (
    CompensationPrimitive,
    FallbackPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)
from tta_llm.testing import MockPrimitive


def mock(name: str) -> MockPrimitive:
    return MockPrimitive(name=name)


WORKFLOW: WorkflowPrimitive[Any, Any] = (
    mock("clean")
    >> (mock("fast") | RetryPrimitive(mock("good") >> mock("better")))
    >> ConditionalPrimitive(lambda data: True, mock("long"), mock("short"))
    >> RouterPrimitive({"a": mock("x"), "b": mock("y")}, lambda data: "a", name="tiers")
    >> CachePrimitive(mock("search"), 60)
    >> mock("item").map()
    >> FallbackPrimitive(mock("p"), [mock("q")])
)

OUTLINE = """\
SequentialPrimitive
├─ MockPrimitive 'clean'
├─ ParallelPrimitive
│  ├─ MockPrimitive 'fast'
│  └─ RetryPrimitive
│     └─ at most 4 times: SequentialPrimitive
│        ├─ MockPrimitive 'good'
│        └─ MockPrimitive 'better'
├─ ConditionalPrimitive
│  ├─ then: MockPrimitive 'long'
│  └─ else: MockPrimitive 'short'
├─ RouterPrimitive 'tiers'
│  ├─ a: MockPrimitive 'x'
│  └─ b: MockPrimitive 'y'
├─ CachePrimitive
│  └─ remembered for 60 s: MockPrimitive 'search'
├─ MapPrimitive
│  └─ each: MockPrimitive 'item'
└─ FallbackPrimitive
   ├─ first: MockPrimitive 'p'
   └─ else 1: MockPrimitive 'q'"""

MERMAID = """\
flowchart TD
    n1["embed"]
    subgraph g2["ParallelPrimitive"]
        n3["dense"]
        n4["sparse"]
    end
    n1 --> n3
    n1 --> n4
    subgraph g5["RouterPrimitive 'tiers'"]
        n6{"tiers"}
        n7["small"]
        n6 -->|"fast"| n7
        n8["large"]
        n6 -->|"quality"| n8
    end
    n3 --> n6
    n4 --> n6
    n9["tell"]
    n7 --> n9
    n8 --> n9
"""


def test_the_repr_is_an_outline() -> None:
    assert repr(WORKFLOW) == OUTLINE


def test_the_diagram_joins_what_follows_what() -> None:
    routes = {"fast": mock("small"), "quality": mock("large")}
    workflow = (
        mock("embed")
        >> (mock("dense") | mock("sparse"))
        >> RouterPrimitive(routes, lambda data: "fast", name="tiers")
        >> mock("tell")
    )
    assert workflow.to_mermaid() == MERMAID


def test_a_single_step_is_drawn_alone() -> None:
    assert repr(step(str.upper)) == "FunctionStep 'upper'"
    assert step(str.upper).to_mermaid() == 'flowchart TD\n    n1["upper"]\n'


def test_named_branches_are_drawn_under_their_names() -> None:
    named = ParallelPrimitive({"words": str.split, "length": len}, name="count")
    assert repr(named).splitlines() == [
        "ParallelPrimitive 'count'",
        "├─ words: FunctionStep 'split'",
        "└─ length: FunctionStep 'len'",
    ]


def test_a_limit_is_told() -> None:
    assert "within 5 s" in repr(TimeoutPrimitive(mock("a"), 5))


def test_a_notebook_gets_text_a_diagram_and_a_picture() -> None:
    bundle = WORKFLOW._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/plain"] == OUTLINE
    assert bundle["text/vnd.mermaid"] == WORKFLOW.to_mermaid()
    assert bundle["image/svg+xml"] == WORKFLOW.to_svg()


def test_a_diagram_of_many_branches_after_many_has_fewer_arrows_than_mermaid_refuses() -> None:
    branches = ParallelPrimitive([mock(f"b{number}") for number in range(60)])
    assert (branches >> branches).to_mermaid().count("-->") < 500


def test_names_as_long_as_can_be_leave_the_diagram_below_what_mermaid_refuses() -> None:
    assert len(SequentialPrimitive([mock("n" * 1_000)] * 300).to_mermaid()) < 50_000


def test_what_undoes_a_step_hangs_on_it() -> None:
    chart = CompensationPrimitive([(mock("book"), mock("cancel")), mock("pay")]).to_mermaid()
    assert 'n1 -.->|"undo"| n2' in chart
    assert "n1 --> n3" in chart


def test_the_outline_of_5000_steps_is_bounded() -> None:
    told = repr(SequentialPrimitive([mock("step")] * 5_000))
    assert len(told.splitlines()) <= 61
    assert told.endswith("… and more")


def test_the_diagram_of_5000_steps_is_bounded() -> None:
    chart = SequentialPrimitive([mock("step")] * 5_000).to_mermaid()
    assert len(chart) < 50_000, "Mermaid itself refuses more"
    assert "… and more" in chart


def test_wrappers_nested_150_deep_are_drawn() -> None:
    inner: WorkflowPrimitive[Any, Any] = mock("core")
    for _ in range(150):
        inner = RetryPrimitive(inner)
    assert "core" in inner.to_mermaid()
    assert repr(inner)


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ('a "quoted" one', "a #quot;quoted#quot; one"),
        ("#1", "#35;1"),
        ("%%{init: {}}%%", "#37;#37;{init: {}}#37;#37;"),
        ("`md`", "#96;md#96;"),
        ("a\r\nb\u2028c", "a b c"),
        ("two\nlines", "two lines"),
        ("<lambda>", "#lt;lambda#gt;"),
        ("<img src=x onerror=alert(1)>", "#lt;img src=x onerror=alert(1)#gt;"),
        ("a & b", "a #amp; b"),
    ],
)
def test_what_would_break_a_label_is_escaped(name: str, drawn: str) -> None:
    assert f'n1["{drawn}"]' in mock(name).to_mermaid()


def test_routes_are_escaped_too() -> None:
    router = RouterPrimitive({'"]; x': mock("a")}, lambda data: "a", name='r"')
    chart = router.to_mermaid()
    assert '|"#quot;]; x"|' in chart
    assert '{"r#quot;"}' in chart


def test_no_label_shows_data() -> None:
    secret = MockPrimitive(return_value="sk-secret", name="model")
    assert "sk-secret" not in repr(secret) + secret.to_mermaid()


def test_what_draws_is_not_loaded_before_something_is_drawn() -> None:
    code = (
        "import sys, tta_llm; print([m for m in sys.modules if '.pictures' in m or 'sqlite3' in m])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"
