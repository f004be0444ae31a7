"""The parts that every provider's file is built from."""

from __future__ import annotations

import asyncio
import copy
import pickle
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tta_llm.errors import InvalidResponseError
from tta_llm.messages import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
    assistant,
    tool,
    user,
)
from tta_llm.providers import Price, Timeouts
from tta_llm.providers.faults import never_sent, transport_error
from tta_llm.providers.secret import Secret
from tta_llm.providers.sse import sse_data
from tta_llm.providers.structured import strict_schema
from tta_llm.providers.tokens import estimated_usage, most_input_tokens

KEY = "sk-canary-77aa"

# ----------------------------------------------------------------------------- server-sent events


async def pieces(data: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    ends = sorted(min(cut, len(data)) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(data)], strict=True):
        yield data[start:end]


lines = st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8")), min_size=1)


@given(st.lists(lines), st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 300)))
def test_events_are_the_same_however_the_bytes_are_cut(
    events: list[list[str]], end: str, cuts: list[int]
) -> None:
    wire = "".join(": note" + end + "".join(f"data: {s}{end}" for s in e) + end for e in events)

    async def read() -> list[str]:
        return [text async for text in sse_data(pieces(wire.encode(), cuts))]

    assert asyncio.run(read()) == ["\n".join(event) for event in events]


async def test_other_fields_are_passed_over_and_a_missing_last_line_is_forgiven() -> None:
    wire = b"event: x\nid: 1\ndata:a\ndata: b\n\nretry: 3\n\ndata: c"
    assert [text async for text in sse_data(pieces(wire, []))] == ["a\nb", "c"]


async def test_broken_utf8_is_an_error() -> None:
    with pytest.raises(InvalidResponseError, match="UTF-8"):
        [text async for text in sse_data(pieces(b"data: \xff\n\n", []))]


# -------------------------------------------------------------------------------------------- keys


def test_a_key_is_shown_by_nothing() -> None:
    secret = Secret(f" {KEY}\n", "THE_KEY")
    assert secret.reveal() == KEY
    assert KEY not in f"{secret!r} {secret} {[secret]}"
    assert secret.mask(f"a {KEY} b") == "a [secret] b"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(secret)


@pytest.mark.parametrize("value", ["", "  ", f"{KEY} x", f"{KEY}\nx", f"{KEY}é"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ValueError, match="THE_KEY is empty, or holds spaces") as caught:
        Secret(value, "THE_KEY")
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_key_is_taken_out_of_an_error_and_those_behind_it() -> None:
    inner = ValueError(f"header {KEY}", {"authorization": KEY})
    outer = RuntimeError(f"bad {KEY}")
    outer.__cause__ = inner
    inner.__context__ = outer
    vars(outer)["body"] = {"message": KEY}
    Secret(KEY, "k").mask_error(outer)
    assert KEY not in f"{outer!r} {inner!r} {vars(outer)}"
    assert str(outer) == "bad [secret]"


# ------------------------------------------------------------------------------------------ prices


def test_cached_tokens_have_their_own_price_and_never_make_it_negative() -> None:
    price = Price(input=10, output=20, cached_input=1, cache_write=12.5)
    usage = Usage(100, 10, cached_input_tokens=60, cache_write_tokens=20)
    assert price.cost(usage) == pytest.approx((20 * 10 + 60 * 1 + 20 * 12.5 + 10 * 20) / 1e6)
    assert price.cost(Usage(10, 0, cached_input_tokens=50)) >= 0
    assert Price(input=10, output=20).cost(usage) == pytest.approx((100 * 10 + 10 * 20) / 1e6)


def test_what_is_kept_for_an_hour_has_its_own_price_and_twice_that_of_input_without_one() -> None:
    usage = Usage(100, 0, cache_write_tokens=70, cache_write_1h_tokens=50)
    price = Price(input=10, output=0, cache_write=12.5, cache_write_1h=15)
    assert price.cost(usage) == pytest.approx((30 * 10 + 20 * 12.5 + 50 * 15) / 1e6)
    price = Price(input=10, output=0, cache_write=12.5)
    assert price.cost(usage) == pytest.approx((30 * 10 + 20 * 12.5 + 50 * 20) / 1e6)
    nonsense = Usage(100, 0, cache_write_tokens=70, cache_write_1h_tokens=500)
    assert price.cost(nonsense) == pytest.approx((30 * 10 + 70 * 20) / 1e6)


tokens = st.integers(0, 1000)
rates = st.floats(0, 50)
prices = st.builds(Price, rates, rates, st.none() | rates, st.none() | rates, st.none() | rates)


@given(tokens, tokens, tokens, tokens, prices)
def test_no_call_costs_more_than_the_most(
    plain: int, cached: int, short: int, long: int, price: Price
) -> None:
    read = plain + cached + short + long
    usage = Usage(read, 7, cached, short + long, long)
    assert price.cost(usage) <= price.at_most(read, 7, for_an_hour=long > 0) * (1 + 1e-9)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_senseless_price_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        Price(input=value, output=1)


# ------------------------------------------------------------------------------------------ tokens


class Point(BaseModel):
    x: int


def test_the_most_tokens_count_every_part() -> None:
    bare = most_input_tokens(ChatRequest("é"))
    assert bare == 2 + 16
    request = ChatRequest(
        [
            user([ImagePart(url="u"), DocumentPart(b"12345", "text/plain")]),
            assistant([ToolCall("i", "f", {"a": 1})]),
            tool(ToolResult("i", "1234")),
        ],
        tools=[ToolDefinition("f", "does", {"type": "object"})],
        response_format=Point,
    )
    assert most_input_tokens(request) > 50_000 + 5 + 4 + 3 * 16


def test_an_estimate_says_that_it_is_one() -> None:
    usage = estimated_usage(ChatRequest("Hello there"), "12345678")
    assert usage == Usage(7, 2, estimated=True)


# ------------------------------------------------------------------------------ structured answers


class Line(BaseModel):
    start: Point
    end: Point | None = None
    default: int = 3


class Free(BaseModel):
    weights: dict[str, int]


def test_a_strict_schema_requires_all_and_allows_no_more() -> None:
    schema = strict_schema(Line)
    assert schema is not None
    assert schema["required"] == ["start", "end", "default"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Point"]["additionalProperties"] is False
    assert "default" in schema["properties"]
    assert "default" not in schema["properties"]["default"]
    assert schema["properties"]["start"] == {"$ref": "#/$defs/Point"}


def test_what_cannot_be_strict_is_not() -> None:
    assert strict_schema(Free) is None


# ------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("name", ["connect", "first", "gap", "total"])
def test_senseless_timeouts_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        Timeouts(**{name: 0})


# ------------------------------------------------------------- errors of an HTTP library, by name


def raw(name: str, *bases: type[Exception]) -> type[Exception]:
    made: Any = type(name, bases or (Exception,), {"__module__": "httpx2._exceptions"})
    return made  # type: ignore[no-any-return]


TRANSPORT = raw("TransportError")
TIMEOUT = raw("TimeoutException", TRANSPORT)
CONNECT = raw("ConnectError", TRANSPORT)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (raw("ReadTimeout", TIMEOUT)(), "ProviderTimeoutError"),
        (raw("RemoteProtocolError", TRANSPORT)(), "ConnectionFailedError"),
        (raw("DecodingError")(), "InvalidResponseError"),
    ],
)
def test_raw_errors_of_the_http_library_are_known_by_name(error: Exception, ours: str) -> None:
    assert type(transport_error(error, provider="p", model="m")).__name__ == ours


def test_other_errors_are_nobodys() -> None:
    assert transport_error(KeyError("x"), provider="p", model="m") is None


def test_a_connection_that_was_never_made() -> None:
    outer = RuntimeError()
    outer.__cause__ = CONNECT()
    assert never_sent(outer)
    assert not never_sent(RuntimeError())
