"""What the routes take and give, asked without a socket."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.serve.live import completion
from tta_llm import step
from tta_llm.core import WorkflowContext
from tta_llm.errors import (
    AllFailedError,
    AuthenticationError,
    BudgetExceededError,
    CannotServeError,
    CircuitOpenError,
    ContentFilterError,
    ContextLengthError,
    DeadlineExceededError,
    InvalidResponseError,
    OverloadedError,
    RateLimitError,
)
from tta_llm.messages import (
    DocumentPart,
    ImagePart,
    StreamRestart,
    TextDelta,
    ToolCall,
    assistant,
)
from tta_llm.recovery import FallbackPrimitive
from tta_llm.serve import KeyRing
from tta_llm.testing import FakeChatModel

EVENTS = {"accept": "text/event-stream"}
KEY = "sk-canary-0123456789"


def events(text: str) -> list[tuple[str, Any]]:
    """Read the events of a stream."""
    blocks = [
        dict(line.split(": ", 1) for line in each.split("\n"))
        for each in text.split("\n\n")
        if each.startswith("event")
    ]
    return [(each["event"], json.loads(each["data"])) for each in blocks]


def chunks(text: str) -> list[Any]:
    """Read the chunks of a stream in OpenAI's form."""
    return [
        json.loads(line[6:]) for line in text.split("\n\n") if line[6:] and line[6:] != "[DONE]"
    ]


async def test_run_tells_the_answer_and_its_figures(client: Callable[..., Any]) -> None:
    asks = await client(FakeChatModel("Nine hours."))
    told = (await asks.post("/run", json={"input": "x", "session_id": "s-1"})).json()
    assert (told["output"], told["session_id"], told["finish_reason"]) == (
        "Nine hours.",
        "s-1",
        "stop",
    )
    assert told["usage"]["output_tokens"] == 2 and told["cost_usd"] is None


async def test_run_tells_a_fallback_in_the_middle_of_a_stream(client: Callable[..., Any]) -> None:
    chain = FallbackPrimitive(
        FakeChatModel("One two", break_after=1, name="first"),
        [FakeChatModel("Three", name="second")],
        after_first_piece="restart",
    )
    asks = await client({"bot": chain})
    told = events((await asks.post("/run", json={"input": "x"}, headers=EVENTS)).text)
    assert [name for name, _ in told] == ["start", "text", "restart", "text", "done"]
    assert told[2][1] == {"choice": "second", "reason": "ConnectionFailedError"}
    assert told[-1][1]["text"] == "Three"
    assert told[-1][1]["failed_attempts"][0]["choice"] == "first"


async def test_a_restart_ends_a_stream_of_openai_unless_it_may_go_on(
    client: Callable[..., Any],
) -> None:
    def chain() -> Any:
        first = FakeChatModel("One two", break_after=1)
        return FallbackPrimitive(first, [FakeChatModel("Three")], after_first_piece="restart")

    body = completion(stream=True)
    asks = await client({"bot": chain()})
    told = (await asks.post("/v1/chat/completions", json=body)).text
    assert chunks(told)[-1]["error"]["code"] == "answer_restarted" and "[DONE]" not in told
    asks = await client({"bot": chain()}, on_restart="continue")
    told = (await asks.post("/v1/chat/completions", json=body)).text
    said = [each["choices"][0]["delta"].get("content", "") for each in chunks(told)]
    assert "".join(said) == "One\n\nThree"


async def test_commentary_that_an_agent_takes_back_does_not_end_a_stream(
    client: Callable[..., Any],
) -> None:
    class Commenting(FakeChatModel):
        async def _stream(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
            yield TextDelta("I look.")
            yield StreamRestart("agent", "tools are called: search")
            async for event in super()._stream(request, context):
                yield event

    asks = await client({"bot": Commenting("Found.")})
    told = (await asks.post("/v1/chat/completions", json=completion(stream=True))).text
    said = [each["choices"][0]["delta"].get("content", "") for each in chunks(told)]
    assert "".join(said) == "I look.\n\nFound."


async def test_run_serves_any_workflow_by_the_type_of_its_input(
    client: Callable[..., Any],
) -> None:
    @step
    def total(numbers: list[int]) -> dict[str, int]:
        return {"sum": sum(numbers)}

    asks = await client(total)
    assert (await asks.post("/run", json={"input": [1, 2]})).json()["output"] == {"sum": 3}
    wrong = await asks.post("/run", json={"input": ["one"]})
    assert wrong.status_code == 422 and "0: Input should be" in wrong.json()["error"]["message"]
    assert (await asks.get("/v1/models")).json()["data"] == []
    streamed = events((await asks.post("/run", json={"input": [1]}, headers=EVENTS)).text)
    assert streamed[1] == ("piece", {"value": {"sum": 1}}) and streamed[-1][0] == "done"


async def test_a_workflow_of_texts_can_be_chatted_with(client: Callable[..., Any]) -> None:
    @step
    def shout(text: str) -> str:
        return text.upper()

    asks = await client({"bot": shout})
    answer = await asks.post("/v1/chat/completions", json=completion())
    assert answer.json()["choices"][0]["message"]["content"] == "HELLO"
    two = {"model": "bot", "messages": [{"role": "user", "content": "a"}] * 2}
    assert (await asks.post("/v1/chat/completions", json=two)).json()["error"]["code"] == "one_text"


async def test_what_a_client_sends_reaches_the_model(client: Callable[..., Any]) -> None:
    model = FakeChatModel(name="bot")
    asks = await client(model)
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,YWI="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,YWI="}},
    ]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    call["tta"] = {"signature": "seal"}
    body = {
        "model": "bot",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "d"}]},
            {"role": "tool", "tool_call_id": "c", "content": "1"},
            {"role": "tool", "tool_call_id": "d", "content": [{"type": "text", "text": "2"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "max_completion_tokens": 9,
        "temperature": 0,
        "top_p": 0.5,
        "stop": "END",
        "seed": 3,
        "reasoning_effort": "low",
        "user": "u",
        "presence_penalty": 0,
        "n": 1,
    }
    answer = await asks.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    (asked,) = model.calls
    assert [each.role for each in asked.messages] == ["system", "user", "assistant", "tool"]
    assert asked.messages[1].parts[1:] == (
        ImagePart(b"ab", "image/png"),
        ImagePart(url="https://example.com/a.png"),
        DocumentPart(b"ab", "application/pdf"),
    )
    assert asked.messages[2].tool_calls[0] == ToolCall("c", "f", {"a": 1}, "seal")
    assert len(asked.messages[3].parts) == 2
    assert (asked.tool_choice, asked.max_tokens, asked.temperature) == ("f", 9, 0)
    assert (asked.top_p, asked.stop, asked.seed) == (0.5, ("END",), 3)
    assert asked.reasoning_effort == "low" and asked.tools[0].strict


async def test_one_call_is_passed_on_where_a_client_takes_one(client: Callable[..., Any]) -> None:
    calls = assistant([ToolCall(str(n), "f", {}) for n in range(3)])
    asks = await client(FakeChatModel(calls, name="bot"))
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = completion(tools=tools, parallel_tool_calls=False)
    answer = (await asks.post("/v1/chat/completions", json=body)).json()
    assert len(answer["choices"][0]["message"]["tool_calls"]) == 1
    told = chunks((await asks.post("/v1/chat/completions", json={**body, "stream": True})).text)
    deltas = [each["choices"][0]["delta"] for each in told]
    assert {each["index"] for delta in deltas for each in delta.get("tool_calls", [])} == {0}


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"tool_choice": "f"}, "tool_choice"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0].type",
        ),
    ],
)
async def test_what_would_change_the_answer_silently_is_refused_by_name(
    client: Callable[..., Any], changes: dict[str, Any], param: str
) -> None:
    model = FakeChatModel(name="bot")
    asks = await client(model)
    answer = await asks.post("/v1/chat/completions", json=completion(**changes))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert model.call_count == 0


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ContextLengthError("x"), 400, "context_length_exceeded"),
        (ContentFilterError("x"), 400, "content_filter"),
        (CannotServeError("x"), 400, "invalid_request"),
        (BudgetExceededError("x"), 402, "budget_exceeded"),
        (RateLimitError("x", retry_after=2.5), 429, "rate_limit_exceeded"),
        (OverloadedError("x"), 503, "overloaded"),
        (CircuitOpenError("x", retry_after=3), 503, "overloaded"),
        (DeadlineExceededError("x"), 504, "timeout"),
        (AuthenticationError("x"), 502, "provider_failed"),
        (InvalidResponseError("x"), 502, "provider_failed"),
        (AllFailedError("x", [OverloadedError("x"), OverloadedError("y")]), 503, "overloaded"),
        (AllFailedError("x", [OverloadedError("x"), RateLimitError("y")]), 502, "provider_failed"),
        (KeyError("x"), 500, "internal_error"),
    ],
)
async def test_each_error_has_its_status_and_no_word_of_the_inside(
    client: Callable[..., Any], error: Exception, status: int, code: str
) -> None:
    def fail(text: str) -> str:
        raise error

    asks = await client({"bot": step(fail)})
    answer = await asks.post("/v1/chat/completions", json=completion())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers.get("retry-after") in (None, "3")
    (_, (name, told)) = events((await asks.post("/run", json={"input": "x"}, headers=EVENTS)).text)
    assert (name, told["type"], told["status"]) == ("error", code, status)


async def test_keys_are_asked_for_and_name_the_tenant(client: Callable[..., Any]) -> None:
    @step
    def who(text: str, context: WorkflowContext) -> str:
        return str(context.data["tenant_id"])

    asks: httpx.AsyncClient = await client({"bot": who}, keys=KeyRing({"acme": KEY}))
    none = await asks.post("/run", json={"input": "x"})
    assert none.status_code == 401 and none.headers["www-authenticate"].startswith("Bearer")
    for wrong in ("Bearer sk-canary-wrong", f"Basic {KEY}", KEY):
        answer = await asks.post("/run", json={"input": "x"}, headers={"authorization": wrong})
        assert answer.status_code == 401
    known = {"authorization": f"Bearer {KEY}"}
    answer = await asks.post("/run", json={"input": "x"}, headers=known)
    assert answer.json()["output"] == "acme"
    assert (await asks.get("/healthz")).status_code == 200
    assert (await asks.get("/metrics")).status_code == 401


async def test_pages_of_others_can_not_drive_the_server(client: Callable[..., Any]) -> None:
    asks = await client(FakeChatModel(), allow_origins=("https://chat.example.com",))

    async def status(**headers: str) -> int:
        answer = await asks.post("/run", json={"input": "x"}, headers=headers)
        return int(answer.status_code)

    assert await status(origin="http://localhost") == 200
    assert await status(origin="https://chat.example.com") == 200
    assert await status(origin="https://evil.example.com") == 403
    assert await status(origin="null") == 403
    assert await status(host="rebound.example.com") == 403
    plain = await asks.post(
        "/run", content=b'{"input": "x"}', headers={"content-type": "text/plain"}
    )
    assert plain.status_code == 415


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"input": NaN}', 400),
        (b'{"input": "\\ud800"}', 400),
        (b"[" * 100_000, 400),
        (b"\xff", 400),
        (b"{}", 422),
        (b'{"input": ""}', 422),
        (b'{"input": "x", "session_id": "a b"}', 400),
        (b'{"input": "x", "workflow": "y"}', 404),
        (b'{"input": "' + b"x" * 200_000 + b'"}', 413),
    ],
)
async def test_a_body_that_will_not_do_is_refused(
    client: Callable[..., Any], body: bytes, status: int
) -> None:
    asks = await client(FakeChatModel(), max_body_bytes=150_000)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    for content in (body, pieces()):  # with its length, and without
        headers = {"content-type": "application/json"}
        answer = await asks.post("/run", content=content, headers=headers)
        assert answer.status_code == status


async def test_a_length_that_is_no_number_is_passed_over(client: Callable[..., Any]) -> None:
    asks = await client(FakeChatModel())
    headers = [(b"content-type", b"application/json"), (b"content-length", b"\xb2")]
    assert (await asks.post("/run", content=b"{}", headers=headers)).status_code == 422


async def test_limits_of_the_server_hold_for_a_request(client: Callable[..., Any]) -> None:
    slow = await client(FakeChatModel(delay=60), timeout_seconds=0.05)
    assert (await slow.post("/run", json={"input": "x"})).status_code == 504
    poor = await client(FakeChatModel(), max_tokens=1)
    assert (await poor.post("/run", json={"input": "x"})).status_code == 402


async def test_an_id_that_came_with_the_request_follows_it(client: Callable[..., Any]) -> None:
    @step
    def which(text: str, context: WorkflowContext) -> str:
        return context.correlation_id

    asks = await client(which)
    answer = await asks.post("/run", json={"input": "x"}, headers={"x-request-id": "mine-1"})
    assert answer.json()["output"] == answer.headers["x-request-id"] == "mine-1"
    answer = await asks.post("/run", json={"input": "x"}, headers={"x-request-id": "a b"})
    assert answer.headers["x-request-id"] == answer.json()["output"] != "a b"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
