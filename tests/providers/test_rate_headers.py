"""Rate limits in headers: as providers send them, and as garbage."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.messages import RateLimits
from tta_llm.providers.rate_headers import rate_limits

X, CLAUDE = "x-ratelimit-", "anthropic-ratelimit-"


def x_headers(**told: str) -> dict[str, str]:
    return {X + name.replace("_", "-"): value for name, value in told.items()}


def claude_headers(**told: str) -> dict[str, str]:
    names = {name: name.replace("_", "-") for name in told}
    return {CLAUDE + names[name]: value for name, value in told.items()}


def test_openai_per_minute() -> None:
    """As api.openai.com sent them in April 2025."""
    headers = x_headers(
        limit_requests="500",
        limit_tokens="30000",
        remaining_requests="499",
        remaining_tokens="29876",
        reset_requests="120ms",
        reset_tokens="248ms",
    )
    assert rate_limits(headers) == RateLimits(500, 499, 0.12, 30_000, 29_876, 0.248)


def test_openai_per_day() -> None:
    """As api.openai.com sent them in October 2024 to a customer with a limit per day."""
    headers = x_headers(
        limit_requests="10000",
        limit_tokens="200000",
        remaining_requests="9999",
        remaining_tokens="199938",
        reset_requests="8.64s",
        reset_tokens="18ms",
    )
    told = rate_limits(headers)
    assert told is not None
    assert astuple(told) == pytest.approx((10_000, 9_999, 8.64, 200_000, 199_938, 0.018))


def test_groq() -> None:
    """As Groq's documentation has them."""
    headers = x_headers(
        limit_requests="14400",
        limit_tokens="18000",
        remaining_requests="14370",
        remaining_tokens="17997",
        reset_requests="2m59.56s",
        reset_tokens="7.66s",
    )
    assert rate_limits(headers) == RateLimits(14_400, 14_370, 179.56, 18_000, 17_997, 7.66)


def test_anthropic_by_the_servers_own_clock() -> None:
    headers = claude_headers(
        requests_limit="50",
        requests_remaining="49",
        requests_reset="2026-03-03T18:44:16Z",
        tokens_limit="60000",
        tokens_remaining="59000",
        tokens_reset="2026-03-03T18:45:15.5+00:00",
    )
    headers["date"] = "Tue, 03 Mar 2026 18:44:15 GMT"
    assert rate_limits(headers) == RateLimits(50, 49, 1.0, 60_000, 59_000, 60.5)


def test_anthropic_without_a_date_by_this_machines_clock() -> None:
    then = datetime.now(UTC) + timedelta(seconds=600)
    told = rate_limits(claude_headers(requests_reset=then.isoformat()))
    assert told is not None
    assert told.requests_reset_seconds == pytest.approx(600, abs=30)


def test_anthropic_kinds_of_tokens_make_one_when_the_sum_is_not_told() -> None:
    headers = claude_headers(
        input_tokens_limit="450000",
        input_tokens_remaining="400000",
        input_tokens_reset="2026-01-18T12:00:10Z",
        output_tokens_limit="90000",
        output_tokens_remaining="85000",
        output_tokens_reset="2026-01-18T12:00:03Z",
    )
    headers["date"] = "Sun, 18 Jan 2026 12:00:00 GMT"
    assert rate_limits(headers) == RateLimits(None, None, None, 540_000, 485_000, 10.0)


def test_anthropic_has_no_tokens_left_when_one_kind_has_none() -> None:
    headers = claude_headers(
        tokens_limit="540000",
        tokens_remaining="400000",
        tokens_reset="2026-01-18T12:00:10Z",
        input_tokens_remaining="400000",
        output_tokens_remaining="0",
        output_tokens_reset="2026-01-18T12:00:30Z",
    )
    headers["date"] = "Sun, 18 Jan 2026 12:00:00 GMT"
    assert rate_limits(headers) == RateLimits(None, None, None, 540_000, 0, 30.0)


def test_a_reset_that_has_passed_is_now() -> None:
    headers = claude_headers(requests_reset="2026-01-18T12:00:00Z")
    headers["date"] = "Sun, 18 Jan 2026 12:00:01 GMT"
    assert rate_limits(headers) == RateLimits(requests_reset_seconds=0.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("1s", 1),
        ("1h2m3.5s", 3723.5),
        ("120ms", 0.12),
        ("500µs", 0.0005),
        ("20us", 0.00002),
        ("9ns", 0.000000009),
        ("0s", 0),
        ("125.82", 125.82),  # GPT-4 in 2023
        (" 3s ", 3),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    told = rate_limits(x_headers(reset_requests=text))
    assert told is not None
    assert told.requests_reset_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-1s",
        "1 s",
        "1.2.3s",
        "s",
        "1e3",
        "٣s",
        "nan",
        "inf",
        "1756000000",
        "9999999h",
        "2026-01-18T12:00:00Z",
        "1s" * 50_000,
        "9" * 50_000,
    ],
)
def test_garbage_in_a_duration_is_ignored(text: str) -> None:
    assert rate_limits(x_headers(reset_requests=text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "in 5m",
        "2026-01-18T12:00:00",  # without an offset it is not RFC 3339
        "2026-13-41T00:00:00Z",
        "1756000000",
        "9999-12-31T23:59:59Z",
    ],
)
def test_garbage_in_a_time_is_ignored(text: str) -> None:
    assert rate_limits(claude_headers(requests_reset=text)) is None


def test_a_broken_date_is_ignored() -> None:
    then = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    told = rate_limits(claude_headers(requests_reset=then) | {"date": "yesterday"})
    assert told is not None
    assert told.requests_reset_seconds == pytest.approx(60, abs=30)


@pytest.mark.parametrize("text", ["", "-1", "many", "1.5", "1e3", "30,000", "٣", "9" * 5000])
def test_garbage_in_a_number_is_ignored(text: str) -> None:
    assert rate_limits(x_headers(remaining_requests=text)) is None


@pytest.mark.parametrize("limit", ["-1", "0", "none"])
def test_a_limit_that_is_none_says_nothing_of_what_remains(limit: str) -> None:
    """OpenAI sends such for models without a limit."""
    headers = x_headers(limit_tokens=limit, remaining_tokens="0", reset_tokens="0s")
    assert rate_limits(headers) is None
    assert rate_limits(headers | x_headers(limit_requests="60")) == RateLimits(requests_limit=60)


def test_no_headers_tell_nothing() -> None:
    assert rate_limits({}) is None
    assert rate_limits({"content-type": "application/json", "retry-after": "3"}) is None


NAMES = [
    *(
        X + f"{each}-{what}"
        for each in ("limit", "remaining", "reset")
        for what in ("requests", "tokens")
    ),
    *(
        CLAUDE + f"{what}-{each}"
        for each in ("limit", "remaining", "reset")
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
    "date",
]
VALUES = st.text(max_size=40) | st.from_regex(r"[0-9]{1,4}(h|m|s|ms)?", fullmatch=True)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_whatever_stands_there_is_never_an_error(headers: dict[str, str]) -> None:
    told = rate_limits(headers)
    for name in RateLimits.__slots__:
        value = getattr(told, name, None)
        assert value is None or value >= 0
