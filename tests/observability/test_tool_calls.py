"""What spans tell of tools' calls."""

from __future__ import annotations

import pytest
from opentelemetry.trace import StatusCode

from tests.observability.recorder import Spans
from tta_llm.agents import tool
from tta_llm.messages import ToolCall


@tool
def divide(first: int, second: int) -> float:
    "Divide two numbers."
    return first / second


def call(second: int) -> ToolCall:
    return ToolCall("call-7", "divide", {"first": 6, "second": second})


def test_a_call_has_a_span_as_the_conventions_name_it(spans: Spans) -> None:
    divide.run(call(2))
    span = spans.one("execute_tool divide")
    told = {name: value for name, value in (span.attributes or {}).items() if "gen_ai" in name}
    assert told == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "divide",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Divide two numbers.",
        "gen_ai.tool.call.id": "call-7",
    }
    assert span.status.status_code is StatusCode.UNSET


def test_a_failure_that_the_model_reads_is_one_on_the_span(spans: Spans) -> None:
    divide.run(call(0))
    span = spans.one("execute_tool divide")
    assert (span.attributes or {})["error.type"] == "ZeroDivisionError"
    assert span.status.status_code is StatusCode.ERROR


def test_arguments_and_result_stand_there_only_where_contents_may(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    divide.run(call(2))
    told = spans.one("execute_tool divide").attributes or {}
    assert told["gen_ai.tool.call.arguments"] == '{"first": 6, "second": 2}'
    assert told["gen_ai.tool.call.result"] == "3.0"
