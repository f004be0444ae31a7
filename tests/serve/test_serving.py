"""What the server does around its workflows: limits on sockets, traces, metrics, mounting, keys."""

from __future__ import annotations

import asyncio
import json
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.serve.live import Live, completion, tta_serve
from tta_llm import step
from tta_llm.cli import main
from tta_llm.serve import KeyRing, ServeSettings, create_app
from tta_llm.serve.json_format import format_of
from tta_llm.serve.running import check_host
from tta_llm.serve.sse import to_json
from tta_llm.testing import FakeChatModel

BOTS = Path(__file__).with_name("bots.py")


async def test_a_full_server_tells_the_next_to_come_again(served: Callable[..., Any]) -> None:
    server: Live = await served(FakeChatModel(delay=0.5), max_concurrency=1)
    async with httpx.AsyncClient(base_url=server.url) as client:
        first = asyncio.create_task(client.post("/run", json={"input": "x"}))
        while not server.gate.inside:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        second = await client.post("/run", json={"input": "x"})
        assert (second.status_code, second.headers["retry-after"]) == (503, "1")
        assert (await client.get("/readyz")).json()["status"] == "full"
        assert (await first).status_code == 200


async def test_a_body_that_does_not_arrive_is_not_waited_for(served: Callable[..., Any]) -> None:
    server: Live = await served(FakeChatModel(), body_seconds=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = "POST /run HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: 100\r\n\r\n{{".encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_headers_have_a_limit(served: Callable[..., Any]) -> None:
    server: Live = await served(FakeChatModel())
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 66_000)
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()


async def test_a_run_stands_under_the_trace_of_its_caller(client: Callable[..., Any]) -> None:
    before, exporter = trace._TRACER_PROVIDER, InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace._TRACER_PROVIDER = provider
    try:
        asks = await client(step(str.strip) >> FakeChatModel())
        parent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
        await asks.post("/run", json={"input": "x"}, headers={"traceparent": parent})
    finally:
        trace._TRACER_PROVIDER = before
        provider.shutdown()
    spans = exporter.get_finished_spans()
    assert len(spans) >= 3
    assert {each.context.trace_id for each in spans if each.context} == {int("ab" * 16, 16)}
    (first,) = [e for e in spans if e.parent and e.parent.span_id == int("cd" * 8, 16)]
    assert first.attributes and "tta.workflow_id" in str(dict(first.attributes))


async def test_it_can_be_mounted_in_another_application() -> None:
    inner = create_app({"bot": FakeChatModel("Hello.")}, ServeSettings(keys=KeyRing()))
    app = Starlette(routes=[Mount("/bots", inner)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/bots/run", json={"input": "x"})
        assert answer.json()["output"] == "Hello."
        assert (await client.get("/bots/v1/models")).json()["data"][0]["id"] == "bot"


async def test_a_mounted_page_is_open_where_requests_need_a_key() -> None:
    inner = create_app(FakeChatModel(), ServeSettings(keys=KeyRing({"acme": "k" * 20})))
    app = Starlette(routes=[Mount("/bots", inner)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/bots/healthz")).status_code == 200
        assert (await client.get("/bots/")).status_code != 401
        assert (await client.get("/bots/v1/models")).status_code == 401


def test_a_process_shows_its_metrics_and_logs_lines_of_json() -> None:
    with tta_serve(f"bot={BOTS}:bot", "--log-json") as server:
        httpx.post(f"{server.url}/v1/chat/completions", json=completion())
        told = httpx.get(f"{server.url}/metrics").text
        assert "gen_ai_client_token_usage" in told
        assert server.stop() == 0
    line = json.loads(server.log[0])
    assert (line["path"], line["status"], line["outcome"]) == (
        "/v1/chat/completions",
        200,
        "answered",
    )


def test_a_command_that_can_not_be_carried_out_ends_with_a_sentence() -> None:
    with pytest.raises(AssertionError) as refused, tta_serve("no_such_module:bot"):
        pass
    assert str(refused.value).startswith("tta: there is no module 'no_such_module'")
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "names no workflow"),
        ([f"{BOTS}:nothing"], "it has the workflows bot, chain, down, slow"),
        ([f"{BOTS}:bot", f"{BOTS}:bot"], "two workflows are called"),
        ([f"={BOTS}:bot"], "'' can't name a workflow"),
        ([f"{BOTS}:bot", "--host=0.0.0.0"], "can be reached from other machines"),
        ([f"{BOTS}:bot", "--key-file=/no/such"], "No such file"),
        ([f"{BOTS}:bot", "--timeout=0"], "timeout_seconds must be"),
        ([f"{BOTS}:bot", "--grace=-1"], "'--grace'"),
        ([f"{BOTS}:bot", "--allow-origin=chat.example.com"], "is no origin"),
    ],
)
def test_a_command_says_why_it_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["serve", "--port=0", *arguments])
    told = capsys.readouterr().err
    assert left.value.code in (1, 2) and told.startswith("tta: ") and said in told
    assert told.count("\n") == 1


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        main(["serve", f"--port={taken.getsockname()[1]}", f"{BOTS}:bot"])
    assert "Address already in use" in capsys.readouterr().err


def test_an_outside_address_needs_keys() -> None:
    with pytest.raises(ValueError, match="there are no keys"):
        check_host("0.0.0.0", ServeSettings())
    check_host("0.0.0.0", ServeSettings(insecure=True))
    check_host("0.0.0.0", ServeSettings(keys=KeyRing({"a": "k" * 16})))
    for here in ("localhost", "127.0.0.1", "::1", "127.8.8.8"):
        check_host(here, ServeSettings())


def test_keys_are_read_with_their_names_and_never_shown() -> None:
    keys = KeyRing.read(
        "# notes\nacme:first-key-of-acme\r\nacme:second-key-of-acme, b:key-of-b-1234567"
    )
    assert len(keys) == 3 and repr(keys) == "KeyRing(acme, b)"
    assert keys.who("second-key-of-acme") == "acme" and keys.who("key-of-b-1234567") == "b"
    assert keys.who("") is None and keys.who("\udcff") is None
    for wrong in ("secret-without-name", "acme:short", "a b:0123456789abcdef"):
        with pytest.raises(ValueError, match=r".") as told:
            KeyRing.read(wrong)
        assert "secret" not in str(told.value) and "0123" not in str(told.value)


def test_a_clients_schema_goes_on_as_it_came_and_answers_are_held_to_it() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "of": {"enum": ["a"]}, "l": {"type": "array"}},
        "required": ["n"],
    }
    made = format_of(schema, "thing", strict=False)
    assert made is format_of(dict(schema), "thing", strict=False)
    assert made.model_json_schema() == schema and made.__name__ == "thing"
    assert made.openai_response_format["json_schema"]["schema"] == schema
    assert made.model_validate_json('{"n": 1, "more": 2}').root == {"n": 1, "more": 2}
    for wrong in ("[]", "{}", '{"n": "1"}', '{"n": true}', '{"n": 1, "of": "b"}'):
        with pytest.raises(ValueError, match="thing"):
            made.model_validate_json(wrong)


def test_numbers_that_json_lacks_and_halves_of_characters_can_be_sent() -> None:
    assert to_json({"a": [math.inf, (math.nan,), 1.5], "b": "é"}) == (
        b'{"a":[null,[null],1.5],"b":"\\u00e9"}'
    )
    assert json.loads(to_json("\udcff")) == "\udcff"
    assert to_json("é") == '"é"'.encode()
