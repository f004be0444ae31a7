"""Contents leave the process only where the application asks for it, redacted and within limits."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry._logs import _internal as logs_internal
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.observability.recorder import Spans
from tta_llm import WorkflowContext
from tta_llm.errors import ServerError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    DocumentPart,
    ImagePart,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
    assistant,
    system,
    tool,
    user,
)
from tta_llm.observability import set_redaction
from tta_llm.observability.contents import MOST_IN_A_CALL, MOST_IN_A_PART
from tta_llm.observability.redaction import redacted
from tta_llm.providers.secret import Secret
from tta_llm.testing import FakeChatModel, FakeEmbedder

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CONTENTS = {"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"}
PRIVATE = "my private words"
EVENTS = pytest.importorskip("opentelemetry.sdk._logs.export")


@pytest.fixture(autouse=True)
def no_redaction() -> Iterator[None]:
    yield
    set_redaction(None)


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> Spans:
    monkeypatch.setenv(VARIABLE, "SPAN_ONLY")
    return spans


def told(spans: Spans) -> dict[str, Any]:
    """What the one call's span says of its contents."""
    attributes: Any = spans.one("chat fake").attributes
    return {name: json.loads(attributes[name]) for name in CONTENTS if name in attributes}


async def ask(request: Any, answer: Any = "fine") -> None:
    await FakeChatModel(answer).execute(request, WorkflowContext())


def first_text(spans: Spans, name: str = "gen_ai.input.messages") -> str:
    return str(told(spans)[name][0]["parts"][0]["content"])


# ------------------------------------------------------------------------------------ whether


@pytest.mark.parametrize("value", [None, "", "NO_CONTENT", "no_content", "false", "EVENT_ONLY"])
async def test_by_default_no_content_stands_on_spans(
    value: str | None, monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    await ask(PRIVATE, PRIVATE)
    async for _ in FakeChatModel(PRIVATE, model="b").stream(PRIVATE, WorkflowContext()):
        pass
    await FakeEmbedder().execute(PRIVATE, WorkflowContext())
    assert not [span for span in spans if "private" in span.to_json()]


@pytest.mark.parametrize("value", ["SPAN_ONLY", "span_only", "SPAN_AND_EVENT", "true", "True"])
async def test_the_standard_variable_puts_contents_on_spans(
    value: str, monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    await ask(PRIVATE, "an answer")
    assert told(spans) == {
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": PRIVATE}]}
        ],
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": "an answer"}],
                "finish_reason": "stop",
            }
        ],
    }


async def test_a_value_that_means_nothing_is_told_once_and_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, "everything")
    for _ in range(3):
        await ask(PRIVATE)
    assert not [span for span in spans if "private" in span.to_json()]
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "'everything' means nothing" in warnings[0].getMessage()
    assert "SPAN_ONLY" in warnings[0].getMessage()


async def test_no_content_is_a_label(captured: Spans, metric_reader: InMemoryMetricReader) -> None:
    await ask(PRIVATE, PRIVATE)
    data = metric_reader.get_metrics_data()
    assert data is not None and "private" not in data.to_json()


async def test_what_was_asked_is_shown_of_a_call_that_failed_too(captured: Spans) -> None:
    with pytest.raises(ServerError):
        await ask(PRIVATE, ServerError("down"))
    assert told(captured).keys() == {"gen_ai.input.messages"}


async def test_a_stream_s_answer_is_shown_as_a_whole(captured: Spans) -> None:
    async for _ in FakeChatModel("one two").stream("x", WorkflowContext()):
        pass
    assert first_text(captured, "gen_ai.output.messages") == "one two"


# ---------------------------------------------------------------------------------- in what form


async def test_each_part_has_the_form_of_the_conventions(captured: Spans) -> None:
    request = ChatRequest(
        [
            system("Be brief."),
            system("Be kind."),
            user(
                [TextPart("Look"), ImagePart(b"1234", "image/png"), ImagePart(url="https://x/?k=1")]
            ),
            user([DocumentPart(b"12345", "application/pdf", "secret plan.pdf")]),
            assistant(
                [ReasoningPart("hm", "seal"), ToolCall("1", "find", {"what": ["a", 1, None]})]
            ),
            tool(ToolResult("1", "found")),
            system("Later."),
        ],
        tools=[ToolDefinition("find", "", {"type": "object"})],
    )
    answer = ChatResponse(
        message=assistant([TextPart("So."), ToolCall("2", "find", {})]),
        finish_reason="tool_calls",
        usage=Usage(1, 1),
        model="m",
        provider="p",
    )
    await ask(request, answer)
    blob = {"type": "blob", "content": ""}
    arguments = {"what": ["a", 1, None]}
    assert told(captured) == {
        "gen_ai.system_instructions": [
            {"type": "text", "content": "Be brief."},
            {"type": "text", "content": "Be kind."},
        ],
        "gen_ai.input.messages": [
            {
                "role": "user",
                "parts": [
                    {"type": "text", "content": "Look"},
                    {**blob, "modality": "image", "mime_type": "image/png", "size": 4},
                    {"type": "uri", "modality": "image", "mime_type": None, "uri": ""},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {**blob, "modality": "document", "mime_type": "application/pdf", "size": 5}
                ],
            },
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "hm"},
                    {"type": "tool_call", "id": "1", "name": "find", "arguments": arguments},
                ],
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "1", "response": "found"}],
            },
            {"role": "system", "parts": [{"type": "text", "content": "Later."}]},
        ],
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "text", "content": "So."},
                    {"type": "tool_call", "id": "2", "name": "find", "arguments": {}},
                ],
                "finish_reason": "tool_call",
            }
        ],
    }


async def test_half_a_surrogate_pair_can_be_exported(captured: Spans) -> None:
    await ask("a\ud800b")
    assert first_text(captured) == "a?b"


# ----------------------------------------------------------------------------------- how much


async def test_a_long_part_is_cut_and_says_how_much_more_there_is(captured: Spans) -> None:
    await ask("x" * (MOST_IN_A_PART + 5))
    assert first_text(captured) == "x" * MOST_IN_A_PART + "[5 more characters]"


async def test_long_arguments_of_a_tool_are_cut_to_text(captured: Spans) -> None:
    call = ToolCall("1", "find", {"what": "x" * (2 * MOST_IN_A_PART)})
    await ask([user("x"), assistant([call]), tool(ToolResult("1", "none"))])
    arguments = told(captured)["gen_ai.input.messages"][1]["parts"][0]["arguments"]
    assert arguments.startswith('{"what": "xxx')
    assert len(arguments) < MOST_IN_A_PART + 40


async def test_a_call_has_a_limit_and_the_oldest_messages_are_left_out(captured: Spans) -> None:
    messages = [user(f"{number:03}" + "x" * 4_000) for number in range(100)]
    await ask(messages, "y" * 10)
    shown = json.dumps(told(captured), ensure_ascii=False)
    assert len(shown) < MOST_IN_A_CALL + 100 * 100
    texts = [each["parts"][0]["content"] for each in told(captured)["gen_ai.input.messages"]]
    assert texts[-1].startswith("099")
    assert texts[0] == "[4003 more characters]"


async def test_of_very_many_messages_the_latest_are_shown(captured: Spans) -> None:
    await ask([user(str(number)) for number in range(1000)])
    assert len(told(captured)["gen_ai.input.messages"]) == 200
    assert first_text(captured) == "800"


# ---------------------------------------------------------------------------------- redaction


@pytest.mark.parametrize(
    "key",
    [
        "sk-nobodys-1234567890",
        "sk-proj-canary_1234567890",
        "sk-ant-api03-canary",
        "AIza" + "canary1234567890canary",
        "ghp_canary1234567890canary12",
        "github_pat_canary1234567890canary12",
        "xoxb-canary-123456",
        "AKIA" + "CANARY1234567890",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canarycanary",
        "Bearer canary1234567890",
        "bearer  canary1234567890",
        "-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ncanary",
    ],
)
async def test_what_looks_like_a_key_is_always_masked(key: str, captured: Spans) -> None:
    call = assistant([ToolCall("1", "login", {"key": key, key: 1, "all": [{"deep": key}]})])
    request = [system(key), user(f"use {key} please"), call, tool(ToolResult("1", key))]
    await ask(request, f"I used {key}")
    assert not [span for span in captured if "canary" in span.to_json().lower()]
    assert "[secret]" in first_text(captured)
    assert first_text(captured).endswith(" please") or "\n" in key


async def test_a_key_that_this_process_holds_is_masked_whatever_it_looks_like(
    captured: Spans,
) -> None:
    secret = Secret("nobody-guesses-this-one", "MY_KEY")
    await ask(f"it is {secret.reveal()}.")
    assert first_text(captured) == "it is [secret]."


def test_plain_words_are_no_keys() -> None:
    text = "A task-oriented risk-averse sk-learn user asks for basic information of a bearer."
    assert redacted(text) == text


async def test_the_applications_function_sees_each_text_after_the_keys_are_masked(
    captured: Spans,
) -> None:
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text.replace("private", "[…]")

    set_redaction(redact)
    await ask([system(f"{PRIVATE} sk-nobodys-123"), user(PRIVATE)], PRIVATE)
    assert seen == [f"{PRIVATE} [secret]", PRIVATE, PRIVATE]
    assert not [span for span in captured if "private" in span.to_json()]


async def test_a_text_is_redacted_before_it_is_cut(captured: Spans) -> None:
    set_redaction(lambda text: text.replace("a secret", "…"))
    await ask("x" * (MOST_IN_A_PART - 4) + "a secret")
    assert "a se" not in first_text(captured)


@pytest.mark.parametrize("wrong", [lambda _: None, lambda _: 1 / 0, lambda _: b"private"])
async def test_a_function_that_fails_loses_the_text_and_not_the_call(
    wrong: Any, captured: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    set_redaction(wrong)
    await ask(PRIVATE, PRIVATE)
    assert not [span for span in captured if "private" in span.to_json()]
    assert first_text(captured) == "[left out: the redaction function failed]"
    assert "a redaction failed with" in caplog.text
    assert "private" not in caplog.text


def test_a_redaction_is_a_function() -> None:
    with pytest.raises(TypeError, match="not str"):
        set_redaction("private")  # type: ignore[arg-type]


async def test_contents_that_cannot_be_told_are_left_out_and_the_call_goes_on(
    captured: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    loop: list[Any] = []
    loop.append(loop)
    calls = assistant([ToolCall("1", "f", {"loop": loop})])
    answer = ChatResponse(
        message=calls, finish_reason="tool_calls", usage=Usage(1, 1), model="m", provider="p"
    )
    await ask("x", answer)
    assert told(captured).keys() == {"gen_ai.input.messages"}
    assert "can't be shown: RecursionError" in caplog.text


# -------------------------------------------------------------------------------------- events


@pytest.fixture
def events() -> Iterator[Any]:
    if not hasattr(EVENTS, "InMemoryLogRecordExporter"):
        pytest.skip("this release of OpenTelemetry has no events")
    exporter = EVENTS.InMemoryLogRecordExporter()
    before = logs_internal._LOGGER_PROVIDER
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logs_internal._LOGGER_PROVIDER = provider
    yield exporter
    logs_internal._LOGGER_PROVIDER = before
    provider.shutdown()


@pytest.mark.parametrize("value", ["EVENT_ONLY", "SPAN_AND_EVENT"])
async def test_an_event_holds_the_contents_in_their_own_form(
    value: str, monkeypatch: pytest.MonkeyPatch, spans: Spans, events: Any
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    await ask(PRIVATE, "an answer")
    (emitted,) = [each.log_record for each in events.get_finished_logs()]
    context = spans.one("chat fake").context
    assert emitted.event_name == "gen_ai.client.inference.operation.details"
    assert context is not None and emitted.span_id == context.span_id
    (message,) = emitted.attributes["gen_ai.input.messages"]
    assert message["role"] == "user"
    assert message["parts"][0]["content"] == PRIVATE
    assert emitted.attributes["gen_ai.output.messages"][0]["finish_reason"] == "stop"
    assert emitted.attributes["gen_ai.request.model"] == "fake"


@pytest.mark.parametrize("value", ["", "SPAN_ONLY"])
async def test_there_is_no_event_unless_it_is_asked_for(
    value: str, monkeypatch: pytest.MonkeyPatch, spans: Spans, events: Any
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    await ask(PRIVATE)
    assert not events.get_finished_logs()


async def test_nothing_is_redacted_for_a_span_that_nobody_records(
    monkeypatch: pytest.MonkeyPatch, metric_reader: InMemoryMetricReader
) -> None:
    monkeypatch.setenv(VARIABLE, "SPAN_ONLY")
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text

    set_redaction(redact)
    await ask(PRIVATE)
    assert not seen
