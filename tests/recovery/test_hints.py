"""What a provider says about trying again, in every form it is said."""

from __future__ import annotations

import email.utils
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm import WorkflowContext
from tta_llm.errors import (
    AllFailedError,
    CircuitOpenError,
    OverloadedError,
    ProviderError,
    RateLimitError,
)
from tta_llm.providers.faults import Fault, classify
from tta_llm.recovery import RetryPrimitive, can_mend
from tta_llm.recovery._hints import header_seconds, retry_after, told_whether_to_retry
from tta_llm.testing import MockPrimitive, VirtualClock

# ------------------------------------------------------------------------------------------ headers

EXACT = [
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after": "1.5"}, 1.5),
    ({"retry-after": " 3 "}, 3.0),
    ({"retry-after": "1e2"}, 100.0),
    ({"retry-after": "-5"}, 0.0),
    ({"retry-after-ms": "250"}, 0.25),
    ({"retry-after-ms": "-250"}, 0.0),
    ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
    ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
    ({"retry-after-ms": "inf", "retry-after": "9"}, 9.0),
    ({"retry-after-ms": "", "retry-after": "9"}, 9.0),
    ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
]
NOTHING = ["", "soon", "inf", "-inf", "nan", "1e999", "7s", "1,5", "Wed, 99 Oct 2015 07:28:00 GMT"]


@pytest.mark.parametrize(("headers", "seconds"), EXACT)
def test_seconds_and_milliseconds(headers: dict[str, str], seconds: float) -> None:
    assert header_seconds(headers) == seconds


@pytest.mark.parametrize("text", NOTHING)
def test_what_makes_no_sense_says_nothing(text: str) -> None:
    assert header_seconds({"retry-after": text}) is None
    assert header_seconds({"retry-after-ms": text}) is None


def test_no_header_says_nothing() -> None:
    assert header_seconds({}) is None


@pytest.mark.parametrize(
    "date",
    [
        email.utils.formatdate(time.time() + 3600, usegmt=True),
        email.utils.formatdate(time.time() + 3600),  # "-0000": GMT that doesn't say so
        email.utils.formatdate(time.time() + 3600).removesuffix(" -0000"),
        time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(time.time() + 3600)),  # RFC 850
        time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(time.time() + 3600)),  # asctime
    ],
)
def test_a_date_in_any_of_http_s_forms(date: str) -> None:
    seconds = header_seconds({"retry-after": date})
    assert seconds is not None
    assert 3000 < seconds <= 3600


@given(text=st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ ?\S*"))
def test_no_header_is_an_error(text: str) -> None:
    for seconds in (
        header_seconds({"retry-after": text}),
        header_seconds({"retry-after-ms": text}),
    ):
        assert seconds is None or 0 <= seconds < math.inf


@pytest.mark.parametrize(
    ("said", "told"),
    [("true", True), ("false", False), ("TRUE", None), ("yes", None), ("", None)],
)
def test_whether_to_retry_is_read_as_the_sdks_read_it(said: str, told: bool | None) -> None:
    assert told_whether_to_retry({"x-should-retry": said}) is told
    assert told_whether_to_retry({}) is None


# -------------------------------------------------------------------------------------- our errors


@pytest.mark.parametrize("seconds", [0, 0.5, 12])
def test_our_own_errors_know(seconds: float) -> None:
    assert retry_after(RateLimitError("wait", retry_after=seconds)) == seconds
    assert retry_after(CircuitOpenError("open", retry_after=seconds)) == seconds


def test_our_own_errors_may_not_know() -> None:
    assert retry_after(OverloadedError("busy")) is None
    assert retry_after(ConnectionError()) is None


@pytest.mark.parametrize("told", [math.inf, math.nan, "5", True, None])
def test_an_attribute_that_is_no_number_of_seconds_is_ignored(told: Any) -> None:
    error = ConnectionError()
    error.retry_after = told  # type: ignore[attr-defined]
    assert retry_after(error) is None


def test_an_error_of_the_past_is_for_now() -> None:
    assert retry_after(RateLimitError("wait", retry_after=-3)) == 0


def waits(seconds: float | None) -> Exception:
    return RateLimitError("wait", retry_after=seconds)


@pytest.mark.parametrize(
    ("group", "seconds"),
    [
        ([waits(9), waits(3), waits(5)], 3),
        ([waits(9), ConnectionError()], None),
        ([waits(9), ExceptionGroup("inner", [waits(4), waits(8)])], 4),
        ([waits(9), ExceptionGroup("inner", [waits(4), KeyError()])], None),
        ([waits(0), waits(8)], 0),
    ],
)
def test_a_group_waits_for_the_soonest(group: list[Exception], seconds: float | None) -> None:
    assert retry_after(ExceptionGroup("all", group)) == seconds
    assert retry_after(AllFailedError("all", group)) == seconds


# -------------------------------------------------------------------------- errors of the libraries


def answer(status: int, headers: dict[str, str], body: Any = None, library: str = "httpx2") -> Any:
    http = pytest.importorskip(library)
    request = http.Request("POST", "https://api.invalid/v1")
    return http.Response(status, headers=headers, json=body or {}, request=request)


def of_openai(headers: dict[str, str]) -> Exception:
    openai = pytest.importorskip("openai")
    error: Exception = openai.RateLimitError("no", response=answer(429, headers), body=None)
    return error


def of_anthropic(headers: dict[str, str]) -> Exception:
    anthropic = pytest.importorskip("anthropic")
    error: Exception = anthropic.RateLimitError("no", response=answer(429, headers), body=None)
    return error


def of_httpx2(headers: dict[str, str]) -> Exception:
    httpx2 = pytest.importorskip("httpx2")
    response = answer(429, headers)
    error: Exception = httpx2.HTTPStatusError("no", request=response.request, response=response)
    return error


def of_google(headers: dict[str, str], body: Any = None) -> Exception:
    errors = pytest.importorskip("google.genai.errors")
    # Before its version 3 it spoke the older library.
    library = "httpx2" if hasattr(errors, "httpx2") else "httpx"
    with pytest.raises(errors.ClientError) as told:
        errors.APIError.raise_for_response(answer(429, headers, body, library))
    error: Exception = told.value
    return error


LIBRARIES = [of_openai, of_anthropic, of_httpx2, of_google]


@pytest.mark.parametrize("make", LIBRARIES)
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After-Ms": "40"}, 0.04),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_headers_of_the_libraries_errors_are_read(
    make: Any, headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(make(headers)) == seconds


@pytest.mark.parametrize("make", LIBRARIES)
def test_what_the_libraries_errors_say_about_trying_again_holds(make: Any) -> None:
    assert can_mend(make({}))
    assert not can_mend(make({"x-should-retry": "false"}))
    assert can_mend(make({"x-should-retry": "true"}))


def test_an_error_that_tells_its_status_by_itself_is_known_by_it() -> None:
    """As aiohttp's ClientResponseError does; with google-genai's the same word is a text."""
    for status, mends in ((503, True), (404, False), ("UNAVAILABLE", False)):
        error = Exception()
        error.status = status  # type: ignore[attr-defined]
        assert can_mend(error) is mends


def test_a_retry_waits_as_long_as_an_sdk_s_error_asks() -> None:
    clock = VirtualClock()
    step = MockPrimitive(values=[of_openai({"retry-after": "40"}), "an answer"])
    workflow = RetryPrimitive(step, wait_seconds=0.001)
    assert clock.run(workflow.execute("x", WorkflowContext(clock=clock))) == "an answer"
    assert 40 <= clock.now() < 40.01


# ------------------------------------------------------------------------------------ Google's body

QUOTA = "type.googleapis.com/google.rpc.QuotaFailure"
HELP = "type.googleapis.com/google.rpc.Help"
RETRY = "type.googleapis.com/google.rpc.RetryInfo"


def exhausted(*details: Any) -> dict[str, Any]:
    """What Gemini answers when a minute's quota is used up."""
    return {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota. Please retry in 58.934310785s.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {"@type": QUOTA, "violations": [{"quotaId": "GenerateRequestsPerMinute"}]},
                {
                    "@type": HELP,
                    "links": [{"description": "Learn more", "url": "https://x.invalid"}],
                },
                *details,
            ],
        }
    }


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("58s", 58.0),
        ("58.934310785s", 58.934310785),
        ("0s", 0.0),
        ("0.250s", 0.25),
        ("soon", None),
        ("", None),
        ("-3s", None),
        ("infs", None),
        (None, None),
        ({"seconds": 5}, None),
    ],
)
def test_google_tells_in_the_body(delay: Any, seconds: float | None) -> None:
    told = exhausted({"@type": RETRY, "retryDelay": delay})
    assert retry_after(of_google({}, told)) == seconds
    assert retry_after(of_google({}, [told])) == seconds  # a stream's errors come in a list


def test_a_body_without_a_delay_says_nothing() -> None:
    bodies: list[Any] = [exhausted(), exhausted("x", 5), {"error": "no"}, {"error": {"details": 1}}]
    for body in (*bodies, []):
        assert retry_after(of_google({}, body)) is None
    assert retry_after(of_google({}, exhausted({"retryDelay": "5s"}))) is None


def test_a_header_goes_before_the_body() -> None:
    told = exhausted({"@type": RETRY, "retryDelay": "58s"})
    assert retry_after(of_google({"retry-after": "2"}, told)) == 2


def test_google_s_error_without_a_response_is_read_too() -> None:
    """As google-genai raises it from what is no response of httpx's."""
    errors = pytest.importorskip("google.genai.errors")
    error = errors.ClientError(429, exhausted({"@type": RETRY, "retryDelay": "5s"}), None)
    assert retry_after(error) == 5
    assert can_mend(error)
    assert not can_mend(errors.ClientError(400, {"error": {"code": 400}}, None))
    assert can_mend(errors.ServerError(503, {"error": {"code": 503}}, None))


# ------------------------------------------------------------------------- through the adapters


def meant(fault: Fault) -> ProviderError:
    return classify(fault, provider="p", model="m")


@pytest.mark.parametrize(
    ("status", "said", "mends"),
    [
        (429, None, True),
        (429, "false", False),
        (429, "true", True),
        (503, "false", False),
        (529, None, True),
        (400, None, False),
        (400, "true", True),
        (409, "true", True),
        (503, "maybe", True),
        (400, "maybe", False),
    ],
)
def test_a_provider_overrules_its_status(status: int, said: str | None, mends: bool) -> None:
    headers = {} if said is None else {"x-should-retry": said}
    error = meant(Fault("no", (), status, headers))
    assert error.transient is mends
    assert can_mend(error) is mends


def test_it_overrules_the_code_too() -> None:
    quota = Fault("no", ("insufficient_quota",), 429, {"x-should-retry": "true"})
    assert can_mend(meant(quota))


@pytest.mark.parametrize(("headers", "seconds"), EXACT)
def test_the_adapters_errors_carry_the_wait(headers: dict[str, str], seconds: float) -> None:
    assert meant(Fault("no", (), 429, headers)).retry_after == seconds
    assert retry_after(meant(Fault("no", (), 429, headers))) == seconds


def test_a_retry_obeys_what_the_provider_says() -> None:
    stop = meant(Fault("no", (), 429, {"x-should-retry": "false"}))
    step, clock = MockPrimitive(raises=stop), VirtualClock()
    with pytest.raises(RateLimitError):
        clock.run(RetryPrimitive(step).execute("x", WorkflowContext(clock=clock)))
    assert step.call_count == 1
