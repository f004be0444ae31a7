"""Which errors another try can mend."""

from __future__ import annotations

import errno
import functools
import socket
from typing import Any

import pytest

from tta_llm.errors import AllFailedError, ProviderError, RateLimitError, ServerError
from tta_llm.recovery import CircuitBreaker, FallbackPrimitive, RetryPrimitive, can_mend
from tta_llm.testing import MockPrimitive

# It comes with a dependency's dependency, which may change its mind.
httpx = pytest.importorskip("httpx")


class SdkError(Exception):
    """As vendors' SDKs do it."""

    def __init__(self, status_code: int) -> None:
        super().__init__(status_code)
        self.status_code = status_code


def http_error(status: int) -> Any:
    request = httpx.Request("GET", "http://127.0.0.1/")
    response = httpx.Response(status, request=request)
    return httpx.HTTPStatusError("bad", request=request, response=response)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_an_sdks_or_http_librarys_status_tells(status: int) -> None:
    assert can_mend(SdkError(status))
    assert can_mend(http_error(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 501])
def test_a_request_that_is_wrong_stays_wrong(status: int) -> None:
    assert not can_mend(SdkError(status))
    assert not can_mend(http_error(status))


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
        httpx.RemoteProtocolError("cut"),
        socket.gaierror(-3, "temporary failure"),
        OSError(errno.ENETUNREACH, "unreachable"),
        BrokenPipeError(),
        TimeoutError(),
    ],
    ids=repr,
)
def test_a_lost_connection_can_be_made_again(error: Exception) -> None:
    assert can_mend(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "disk full"),
        PermissionError("no"),
        MemoryError(),
        ZeroDivisionError(),
        httpx.InvalidURL("bad"),
        ProviderError("who knows"),
    ],
    ids=repr,
)
def test_all_else_is_final(error: Exception) -> None:
    assert not can_mend(error)


def test_a_group_can_be_mended_if_any_of_its_errors_can() -> None:
    assert can_mend(AllFailedError("all", [ValueError(), RateLimitError("x")]))
    assert not can_mend(AllFailedError("all", [ValueError()]))
    assert can_mend(ExceptionGroup("a", [ExceptionGroup("b", [ServerError("x")])]))


async def judge(result: object) -> bool:
    return not result


class Judge:
    async def __call__(self, result: object) -> bool:
        return not result


ASYNC = [judge, functools.partial(judge), Judge()]
ASYNC_IDS = ["function", "partial", "object"]


@pytest.mark.parametrize("wrong", [*ASYNC, 3], ids=[*ASYNC_IDS, "number"])
def test_what_can_not_judge_a_result_at_once_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="retry_if_result is a plain function of the result"):
        RetryPrimitive(MockPrimitive(), retry_if_result=wrong)
    with pytest.raises(TypeError, match="fallback_if_result is a plain function"):
        FallbackPrimitive(MockPrimitive(), [MockPrimitive()], fallback_if_result=wrong)


@pytest.mark.parametrize("wrong", [*ASYNC, "500", [KeyError]], ids=[*ASYNC_IDS, "text", "list"])
def test_what_can_not_judge_an_error_at_once_is_refused(wrong: Any) -> None:
    for make in (
        lambda: RetryPrimitive(MockPrimitive(), retry_on=wrong),
        lambda: FallbackPrimitive(MockPrimitive(), [MockPrimitive()], raise_on=wrong),
        lambda: CircuitBreaker(counts=wrong),
    ):
        with pytest.raises(TypeError, match="or a plain function of the error, not"):
            make()
