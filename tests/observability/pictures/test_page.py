"""The page of a run."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.observability.pictures.recorded import broken, mock, ran
from tests.observability.recorder import Spans
from tta_llm.observability.outline import Outline
from tta_llm.observability.pictures.page import render
from tta_llm.observability.runs import EventRecord, Run, SpanRecord

SECOND = 1_000_000_000


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def span(number: int, parent: int | None = None, **more: Any) -> SpanRecord:
    holder = None if parent is None else f"{parent:016x}"
    given: dict[str, Any] = {"start_ns": number, "end_ns": SECOND, "name": f"step {number}"}
    return SpanRecord("0af7", f"{number:016x}", holder, **given | more)


def test_it_tells_what_the_run_took_and_cost() -> None:
    told = {
        "gen_ai.request.model": "gpt",
        "gen_ai.usage.input_tokens": 1_200,
        "gen_ai.usage.output_tokens": 34,
        "tta.cost_usd": 0.25,
    }
    whole = span(0, attributes={"tta.workflow_id": "answers"})
    text = Page(render(Run.of([whole, span(1, 0, attributes=told)]))).text
    assert re.search(r"answers.*✓ done.*1970-01-01 00:00:00 UTC.*1\.00 s", text)
    assert "1,200 read, 34 written" in text
    assert "$0.2500" in text


def test_calls_that_tell_of_no_tokens_have_no_tokens_and_no_cost() -> None:
    page = Page(render(Run.of([span(0, attributes={"gen_ai.request.model": "own"})])))
    assert "Model calls" in page.texts
    assert not {"Tokens", "Cost"}.intersection(page.texts[: page.texts.index("Steps")])


def test_of_several_workflows_those_of_one_step_are_not_drawn() -> None:
    def outlined(number: int, name: str, *steps: str) -> SpanRecord:
        parts = tuple(Outline("FunctionStep", each) for each in steps)
        outline = Outline("SequentialPrimitive", name, "sequence", children=parts)
        return span(number, 0, name=name, attributes={"tta.outline": outline.to_json()})

    whole, single = span(0), outlined(1, "ingest")
    several = [outlined(2, "ask", "search", "write"), outlined(3, "again", "read", "tell")]
    shown = Page(render(Run.of([whole, single, *several])))
    assert [tag for tag, _ in shown.tags].count("svg") == 2
    alone = Page(render(Run.of([whole, single])))
    assert [tag for tag, _ in alone.tags].count("svg") == 1


def test_what_has_no_price_is_told_so() -> None:
    told = {"gen_ai.request.model": "own", "tta.cost_unknown": True}
    assert "1 call unpriced" in Page(render(Run.of([span(0, attributes=told)]))).text


def test_it_tells_where_the_error_arose() -> None:
    failed = {"error.type": "RateLimitError", "tta.path": "answer/step 2 of 3 'rerank'"}
    records = [
        span(0, error=True, attributes={"error.type": "RateLimitError"}),
        span(1, 0, name="rerank", error=True, attributes=failed),
    ]
    text = Page(render(Run.of(records))).text
    assert "rerank failed: RateLimitError (at answer/step 2 of 3 'rerank')" in text


def test_an_errors_text_is_told_where_it_was_captured_and_is_no_mark() -> None:
    event = EventRecord("exception", 5, {"exception.message": "no such host"})
    failed = {"error.type": "ConnectionFailedError", "tta.budget.left_calls": 2}
    page = render(Run.of([span(0, error=True, attributes=failed, events=(event,))]))
    assert "ConnectionFailedError: no such host, 2 calls left" in page
    assert 'class="mark"' not in page


def test_an_event_is_a_mark_at_its_time_and_a_note() -> None:
    event = EventRecord("tta.retry", SECOND // 2, {"target": "search", "reason": "ServerError"})
    page = render(Run.of([span(0, events=(event, event))]))
    assert 'style="left:50.000%" title="retry of search (ServerError)"' in page
    assert "retry of search (ServerError), 2 times" in page


def test_a_retry_storm_leaves_50_marks() -> None:
    event = EventRecord("tta.retry", 5)
    assert render(Run.of([span(0, events=(event,) * 10_000)])).count('class="mark"') == 50


def test_what_was_said_is_shown_where_it_was_captured() -> None:
    asked = [{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}]
    told = {
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "te',
        "gen_ai.system_instructions": '[{"type": "text", "content": "Be brief."}]',
    }
    page = Page(render(Run.of([span(0, attributes=told)])))
    assert [text for text in page.texts if text in ("user", "Why?", "system", "Be brief.")]
    assert told["gen_ai.output.messages"] in page.texts, "what was cut is shown as it is"


def test_long_contents_are_cut_and_it_says_so() -> None:
    told = {"gen_ai.input.messages": json.dumps(["x" * 1_000_000]), "other": "y" * 10_000}
    page = render(Run.of([span(0, attributes=told)]))
    assert "… and 980,000 characters more" in page
    assert len(page) < 60_000


HOSTILE = "</script></style><img src=x onerror=alert(1)>\"' &amp; \u202e"


def test_everything_is_escaped() -> None:
    attributes = {
        "tta.step": HOSTILE,
        "tta.workflow_id": HOSTILE,
        "tta.path": HOSTILE,
        "error.type": HOSTILE,
        "tta.choice": HOSTILE,
        "tta.cache": HOSTILE,
        "gen_ai.input.messages": json.dumps([{"role": HOSTILE, "parts": [{"content": HOSTILE}]}]),
        "gen_ai.output.messages": HOSTILE,
        "tta.outline": json.dumps([[0, HOSTILE, HOSTILE, "group", HOSTILE]]),
        HOSTILE: HOSTILE,
    }
    event = EventRecord(HOSTILE, 5, {"target": HOSTILE, "reason": HOSTILE})
    record = span(0, error=True, attributes=attributes, events=(event,), name=HOSTILE)
    page = Page(render(Run.of([record])))
    assert not {"img", "script", "iframe"} & {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert page.text.count("<img src=x onerror=alert(1)>") >= 12
    assert "\u202e" not in page.text, "it would turn what follows around"


def test_it_loads_and_runs_nothing() -> None:
    page = Page(render(Run.of([span(0)])))
    policy = next(attrs for _, attrs in page.tags if "http-equiv" in attrs)["content"] or ""
    assert policy.startswith("default-src 'none'")
    assert not [attrs for _, attrs in page.tags if "src" in attrs or "href" in attrs]


def test_the_workflows_picture_is_in_it(spans: Spans) -> None:
    workflow = mock("search") >> broken >> mock("answer")
    page = Page(render(ran(spans, workflow)))
    assert [tag for tag, _ in page.tags].count("svg") == 1
    assert {"✓ search", "✗ broken", "○ answer"} <= set(page.texts)


def test_in_a_callers_trace_each_workflow_has_its_picture(spans: Spans) -> None:
    with spans.provider.get_tracer("web").start_as_current_span("GET /"):
        (mock("first") >> mock("then")).run("in")
        (mock("second") >> mock("then")).run("in")
    page = Page(render(ran(spans, mock("third") >> mock("then"))))
    assert [tag for tag, _ in page.tags].count("svg") >= 2


@pytest.mark.parametrize("outline", ["", "{", "[]"])
def test_a_run_whose_outline_is_lost_is_shown_without_a_picture(outline: str) -> None:
    page = Page(render(Run.of([span(0, attributes={"tta.outline": outline})])))
    assert "svg" not in {tag for tag, _ in page.tags}
    assert "step 0" in page.text


def test_of_10000_spans_1000_are_shown_those_that_failed_first() -> None:
    deep = [span(number, number - 1) for number in range(1, 500)]
    wide = [span(number, 0) for number in range(500, 10_000)]
    wide[-1] = span(9_999, 0, error=True, name="late")
    page = render(Run.of([span(0), *deep, *wide]))
    assert page.count('role="row"') == 1_001
    assert "9,000 more steps are not shown" in page
    assert "late" in page
    assert len(page) < 2_000_000


def test_spans_that_the_store_had_no_room_for_are_told() -> None:
    assert "7 spans were not stored" in render(Run.of([span(0)], left_out=7))


def test_a_run_nested_3000_deep_is_shown() -> None:
    nested = [span(number, number - 1, error=number > 2_000) for number in range(1, 3_000)]
    assert render(Run.of([span(0), *nested])).count('role="row"') == 1_001


def test_a_run_that_was_killed_is_unfinished() -> None:
    assert "… unfinished" in Page(render(Run.of([span(0, finished=False)]))).text
