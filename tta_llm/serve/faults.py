"""What a client is told when something failed: a status and a sentence, and nothing of the inside.

| Error | Status | Code |
|---|---|---|
| InvalidRequestError, CannotServeError | 400 | `invalid_request` |
| ContextLengthError | 400 | `context_length_exceeded` |
| ContentFilterError | 400 | `content_filter` |
| BudgetExceededError | 402 | `budget_exceeded` |
| AgentLimitError | 402 | `agent_limit` |
| AgentRunError | 404 | `unknown_run` |
| RateLimitError, RateLimitExceededError | 429 | `rate_limit_exceeded` |
| OverloadedError, CircuitOpenError, ConcurrencyLimitError | 503 | `overloaded` |
| DeadlineExceededError, ProviderTimeoutError | 504 | `timeout` |
| AllFailedError | that of its errors when all have the same, else 502 | |
| any other ProviderError, AnswerRejectedError | 502 | `provider_failed` |
| anything else | 500 | `internal_error` |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tta_llm import errors

__all__ = ["Fault", "RefusedError", "fault_of"]


@dataclass(frozen=True, slots=True)
class Fault:
    """How a failure is told to a client."""

    status: int
    code: str
    message: str
    retryable: bool = False
    retry_after: float | None = None
    param: str | None = None

    @property
    def type(self) -> str:
        """OpenAI's word for the kind of error."""
        return _TYPES.get(self.status, "server_error" if self.status >= 500 else _INVALID)

    def headers(self) -> dict[str, str]:
        """Give the headers that go with it."""
        told: dict[str, str] = {}
        if self.retry_after is not None:
            told["retry-after"] = str(max(1, math.ceil(min(self.retry_after, 86_400))))
        if self.status == 401:
            told["www-authenticate"] = 'Bearer realm="tta"'
        return told

    def body(self) -> dict[str, Any]:
        """Give it in OpenAI's form."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}


_INVALID = "invalid_request_error"
_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    504: "timeout_error",
}


class RefusedError(Exception):
    """The server itself refuses a request, and tells the client why."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.fault: Fault = Fault(
            status, code, message, status in (408, 429, 503), retry_after, param
        )


_INTERNAL = Fault(500, "internal_error", "The workflow failed; the server's log says why.")
_FAILED = Fault(502, "provider_failed", "No model behind this server could answer.")
_LIMITED = Fault(429, "rate_limit_exceeded", "Too many requests: try again later.", retryable=True)
_FULL = Fault(503, "overloaded", "No capacity at the moment: try again later.", retryable=True)
_LATE = Fault(504, "timeout", "The answer took too long.", retryable=True)
_CANNOT = Fault(400, "invalid_request", "No model behind this server takes such a request.")
_TRANSIENT = replace(_FAILED, retryable=True)

# The first that fits counts, so a class stands before its bases.
_FAULTS: Sequence[tuple[tuple[type[Exception], ...], Fault]] = (
    (
        (errors.ContextLengthError,),
        Fault(400, "context_length_exceeded", "The messages are longer than the model reads."),
    ),
    (
        (errors.ContentFilterError,),
        Fault(400, "content_filter", "The provider refused this by its policy."),
    ),
    ((errors.InvalidRequestError, errors.CannotServeError), _CANNOT),
    (
        (errors.BudgetExceededError,),
        Fault(402, "budget_exceeded", "The next model call would pass what a request may cost."),
    ),
    (
        (errors.AgentLimitError,),
        Fault(402, "agent_limit", "The agent came to one of its limits before it had an answer."),
    ),
    (
        (errors.AgentRunError,),
        Fault(404, "unknown_run", "There is no such run, or somebody works on it just now."),
    ),
    ((errors.RateLimitError, errors.RateLimitExceededError), _LIMITED),
    ((errors.OverloadedError, errors.CircuitOpenError, errors.ConcurrencyLimitError), _FULL),
    ((errors.DeadlineExceededError, errors.ProviderTimeoutError), _LATE),
    ((errors.ServerError, errors.ConnectionFailedError, errors.InvalidResponseError), _TRANSIENT),
    ((errors.ProviderError, errors.AnswerRejectedError), _FAILED),
)


def fault_of(error: BaseException) -> Fault:
    """Say how an error is told."""
    if isinstance(error, RefusedError):
        return error.fault
    if isinstance(error, errors.AllFailedError):
        return _joint([fault_of(each) for each in error.exceptions])
    for kinds, fault in _FAULTS:
        if isinstance(error, kinds):
            after = getattr(error, "retry_after", None)
            return replace(fault, retry_after=after) if fault.retryable else fault
    if isinstance(error, BaseExceptionGroup):
        return fault_of(error.exceptions[0])
    return _INTERNAL


def _joint(faults: Sequence[Fault]) -> Fault:
    """Say how the errors of all choices are told: whichever is free first is worth a try."""
    waits = [each.retry_after for each in faults if each.retry_after is not None]
    if len({each.status for each in faults}) == 1:
        return replace(faults[0], retry_after=min(waits, default=None))
    return replace(_FAILED, retryable=any(each.retryable for each in faults))
