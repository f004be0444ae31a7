"""Turning what a provider says went wrong into one of our errors.

A vendor's file reads its SDK's error into a `Fault`; what it means is decided here, once for all of
them. The specific code is read first, then the status, then the vendor's broad kind: a quota comes
as 429 like a rate limit, an overflow as 400 like a typing error, and an error inside a stream has
status 200 or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tta_llm.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    InvalidResponseError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    UnknownModelError,
)
from tta_llm.providers.rate_headers import rate_limits
from tta_llm.recovery._hints import header_seconds, told_whether_to_retry

__all__ = ["Fault", "classify", "never_sent", "transport_error"]

Kind = type[ProviderError]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a provider says went wrong.

    Args:
        message: The provider's words.
        codes: Its code and type, as far as it gives them.
        status: The HTTP status, when there is one.
        headers: The response's headers, names in lower case.
        retry_after: Seconds to wait, when it tells so in the body.
    """

    message: str
    codes: tuple[str, ...] = ()
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None


_BY_CODE: dict[str, Kind] = {
    "context_length_exceeded": ContextLengthError,
    "exceed_context_size_error": ContextLengthError,
    "insufficient_quota": PermissionDeniedError,
    "billing_hard_limit_reached": PermissionDeniedError,
    "billing_not_active": PermissionDeniedError,
    "billing_error": PermissionDeniedError,
    "contract_spend_limit_reached": PermissionDeniedError,
    "enforced_spend_limit_reached": PermissionDeniedError,
    "organization_on_hold": PermissionDeniedError,
    "invalid_api_key": AuthenticationError,
    "API_KEY_INVALID": AuthenticationError,
    "model_not_found": UnknownModelError,
    "DeploymentNotFound": UnknownModelError,
    "content_filter": ContentFilterError,
    "content_policy_violation": ContentFilterError,
    "ResponsibleAIPolicyViolation": ContentFilterError,
    "rate_limit_exceeded": RateLimitError,
    "rate_limit_error": RateLimitError,
    "overloaded_error": OverloadedError,
    "server_overloaded": OverloadedError,
    "engine_overloaded": OverloadedError,
}

_BY_STATUS: dict[int, Kind] = {
    401: AuthenticationError,
    402: PermissionDeniedError,
    403: PermissionDeniedError,
    408: ProviderTimeoutError,
    425: RateLimitError,
    429: RateLimitError,
    503: OverloadedError,
    504: ProviderTimeoutError,
    529: OverloadedError,
}

# These are too broad to go before a status, but all there is inside a stream.
_BY_BROAD_KIND: dict[str, Kind] = {
    "authentication_error": AuthenticationError,
    "permission_error": PermissionDeniedError,
    "not_found_error": UnknownModelError,
    "invalid_request_error": InvalidRequestError,
    "request_too_large": InvalidRequestError,
    "BadRequestError": InvalidRequestError,
    "timeout_error": ProviderTimeoutError,
    "INVALID_ARGUMENT": InvalidRequestError,
    "UNAUTHENTICATED": AuthenticationError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "NOT_FOUND": UnknownModelError,
    "RESOURCE_EXHAUSTED": RateLimitError,
    "UNAVAILABLE": OverloadedError,
    "DEADLINE_EXCEEDED": ProviderTimeoutError,
    "400": InvalidRequestError,
    "401": AuthenticationError,
    "403": PermissionDeniedError,
    "408": ProviderTimeoutError,
    "429": RateLimitError,
    "503": OverloadedError,
    "529": OverloadedError,
}

_OVERFLOW = re.compile(
    r"context (length|limit|window|size)|maximum context|prompt is too long"
    r"|input token count.{0,40}exceed",
    re.IGNORECASE,
)
_MODEL = re.compile(r"\b(models?|deployment)\b", re.IGNORECASE)
_LONGEST_MESSAGE = 300


def classify(fault: Fault, *, provider: str, model: str) -> ProviderError:
    """Give the error that a fault means; raise it from the SDK's own."""
    kind = _kind_of(fault)
    error = kind(
        f"{provider} {_said(fault)}. {_remedy(kind, fault, model)}",
        provider=provider,
        model=model,
        status=fault.status,
        request_id=fault.headers.get("x-request-id") or fault.headers.get("request-id"),
        retry_after=header_seconds(fault.headers)
        if fault.retry_after is None
        else fault.retry_after,
    )
    told = told_whether_to_retry(fault.headers)
    error.transient = kind.transient if told is None else told
    error.rate_limits = rate_limits(fault.headers)
    return error


def _kind_of(fault: Fault) -> Kind:
    for code in fault.codes:
        if code in _BY_CODE:
            return _BY_CODE[code]
    status = fault.status
    told = status is not None and status != 200
    if (not told or status in (400, 413, 422, 500)) and _OVERFLOW.search(fault.message):
        return ContextLengthError
    if told and status is not None:
        return _kind_of_status(status, fault.message)
    return next((_BY_BROAD_KIND[c] for c in fault.codes if c in _BY_BROAD_KIND), ServerError)


def _kind_of_status(status: int, message: str) -> Kind:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 404:
        return UnknownModelError if _MODEL.search(message) else InvalidRequestError
    return ServerError if status >= 500 else InvalidRequestError


def _said(fault: Fault) -> str:
    words = " ".join(fault.message.split())
    if words.startswith("<"):
        words = "a page of HTML"
    if len(words) > _LONGEST_MESSAGE:
        words = words[:_LONGEST_MESSAGE] + " …"
    where = "said in its stream" if fault.status in (None, 200) else f"answered {fault.status}"
    return f"{where}: {words.rstrip('.')}" if words else where


def _remedy(kind: Kind, fault: Fault, model: str) -> str:
    if fault.status is not None and 300 <= fault.status < 400:
        return (
            "Redirects are not followed, because they would carry the key along: correct base_url"
        )
    if fault.status == 404 and kind is InvalidRequestError:
        return (
            "There is nothing at this address: check base_url, which ends in /v1 for OpenAI's "
            "protocol and not for Anthropic's"
        )
    return _REMEDIES[kind].format(model=model)


_REMEDIES: dict[Kind, str] = {
    AuthenticationError: "Check the key",
    PermissionDeniedError: "Check what the key may do, and the account's credit",
    UnknownModelError: "Check the model's name, {model!r}",
    InvalidRequestError: "Sending it again won't help: change the request",
    ContextLengthError: "Shorten the input, or take a model with a larger window than {model!r}",
    ContentFilterError: "The provider's policy forbids it: change the request",
    RateLimitError: "Wait, or send fewer requests",
    OverloadedError: "Try again later",
    ServerError: "Try again later",
    ProviderTimeoutError: "Try again, or give it more time",
}


# Those of httpx and of httpx2, which one SDK or another brings; neither is imported for its names.
_TRANSPORTS = ("httpx", "httpx2", "httpcore", "httpcore2")


def transport_error(error: BaseException, *, provider: str, model: str) -> ProviderError | None:
    """Give the error that a raw error of the HTTP library means; None when it isn't one."""
    names = set(_transport_names(error))
    kind: Kind
    if "TimeoutException" in names:
        kind, what = ProviderTimeoutError, "did not answer in time: give it more, or try again"
    elif "DecodingError" in names:
        kind, what = InvalidResponseError, "sent a body that can't be decompressed"
    elif "TransportError" in names or "NetworkError" in names or "ProtocolError" in names:
        kind, what = ConnectionFailedError, "broke the connection: try again"
    else:
        return None
    return kind(f"{provider} {what}", provider=provider, model=model)


def never_sent(error: BaseException) -> bool:
    """Tell whether no connection was made, so that nobody charges for the call."""
    link: BaseException | None = error
    while link is not None:
        if {"ConnectError", "ConnectTimeout", "PoolTimeout"} & set(_transport_names(link)):
            return True
        link = link.__cause__
    return False


def _transport_names(error: BaseException) -> Iterator[str]:
    for kind in type(error).__mro__:
        if kind.__module__.partition(".")[0] in _TRANSPORTS:
            yield kind.__name__
