"""Every error that tta_llm raises on purpose.

```
TTAError
├── CompositionError (TypeError)       a workflow that can't be built, such as a wrong join
├── UnknownRouteError (LookupError)    a router named a route that isn't there
├── DeadlineExceededError (TimeoutError)
├── BudgetExceededError                the next call would pass the budget
├── CallRefusedError                   a guard refused a call before it was made
│   ├── CannotServeError               no model behind it takes the request
│   ├── CircuitOpenError               its target fails too often
│   ├── RateLimitExceededError         the wait for its turn would be too long
│   └── ConcurrencyLimitError          too many are under way and waiting
├── AnswerRejectedError                no tier's answer passed a cascade's check
├── AgentLimitError                    an agent came to one of its limits
├── AgentRunError                      a run of an agent can't be taken up
├── AllFailedError (ExceptionGroup)    every choice of a fallback failed; holds each attempt
├── UnkeyableError (TypeError)         a cache can't make a key of this input
├── MissingExtraError (ImportError)    an optional package isn't installed
├── DocumentError                      a document can't be read
├── IndexMismatchError                 an index was built by another embedder
└── ProviderError                      a model's provider failed
    ├── AuthenticationError            the key is missing or wrong
    ├── PermissionDeniedError
    ├── UnknownModelError
    ├── InvalidRequestError
    │   └── ContextLengthError
    ├── ContentFilterError
    ├── RateLimitError                 may be tried again, after `retry_after` seconds
    ├── OverloadedError                may be tried again
    ├── ServerError                    may be tried again
    ├── ConnectionFailedError (ConnectionError)     may be tried again
    ├── ProviderTimeoutError (TimeoutError)         may be tried again
    └── InvalidResponseError           may be tried again
```

A bad argument is a plain `ValueError` or `TypeError`, as everywhere in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

__all__ = [
    "AgentLimitError",
    "AgentRunError",
    "AllFailedError",
    "AnswerRejectedError",
    "AuthenticationError",
    "BudgetExceededError",
    "CallRefusedError",
    "CannotServeError",
    "CircuitOpenError",
    "CompositionError",
    "ConcurrencyLimitError",
    "ConnectionFailedError",
    "ContentFilterError",
    "ContextLengthError",
    "DeadlineExceededError",
    "DocumentError",
    "IndexMismatchError",
    "InvalidRequestError",
    "InvalidResponseError",
    "MissingExtraError",
    "OverloadedError",
    "PermissionDeniedError",
    "ProviderError",
    "ProviderTimeoutError",
    "RateLimitError",
    "RateLimitExceededError",
    "ServerError",
    "TTAError",
    "UnkeyableError",
    "UnknownModelError",
    "UnknownRouteError",
]


class TTAError(Exception):
    """Base of every error that tta_llm raises on purpose."""


class CompositionError(TTAError, TypeError):
    """A workflow can't be put together as it is written."""


class UnknownRouteError(TTAError, LookupError):
    """A router function named a route that isn't there, and the router has no default.

    Args:
        route: What the router function gave.
        routes: The names there are.
    """

    def __init__(self, route: object, routes: Iterable[str]) -> None:
        self.route = route
        self.routes: tuple[str, ...] = tuple(routes)
        there = ", ".join(map(repr, self.routes))
        super().__init__(
            f"there is no route {route!r}; the routes are {there}. "
            "Let router_fn return one of them, or give the router a default"
        )

    def __reduce__(self) -> tuple[type[Self], tuple[object, tuple[str, ...]], dict[str, object]]:
        return type(self), (self.route, self.routes), self.__dict__


class DeadlineExceededError(TTAError, TimeoutError):
    """The time for the whole request, or for one part of it, ran out.

    Args:
        message: Whose time it was.
        deadline: When it ran out, on the clock of the request. It tells a limit from those around
            and inside it: no two of them run out at the same time, for the outermost counts.
    """

    def __init__(self, message: str, *, deadline: float | None = None) -> None:
        super().__init__(message)
        self.deadline = deadline


class BudgetExceededError(TTAError):
    """The next call would pass the context's budget; it was not made.

    Args:
        message: Which limit it would pass, and by how much.
        meter: What counts towards that limit; it tells an agent's own limit from those around it.
    """

    def __init__(self, message: str, *, meter: Any = None) -> None:
        super().__init__(message)
        self.meter = meter


class CallRefusedError(TTAError):
    """A guard refused a call before it was made; another target may be asked at once.

    Args:
        message: Which guard, and why.
        retry_after: Seconds until it may let a call through, as far as that is known.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CannotServeError(CallRefusedError):
    """No model behind a step can serve the request, by what is known of it; none was asked."""


class CircuitOpenError(CallRefusedError):
    """The target failed too often of late and is left alone for a while."""


class RateLimitExceededError(CallRefusedError):
    """The call would have to wait for its turn longer than it has time."""


class ConcurrencyLimitError(CallRefusedError):
    """As many calls as allowed are under way, and no more may wait, or there is no time to."""


class AnswerRejectedError(TTAError):
    """No tier of a cascade gave an answer that passed its check.

    Args:
        message: What was tried.
        answer: The last of the answers; None when there was none.
    """

    def __init__(self, message: str, answer: Any = None) -> None:
        super().__init__(message)
        self.answer = answer


class AgentLimitError(TTAError):
    """An agent came to one of its limits before it had an answer.

    Args:
        message: Which limit, and what to do.
        reason: Which one, as `StopReason` names it.
        response: What there is: an `AgentResponse` with the messages so far and what they took.
    """

    def __init__(self, message: str, reason: str = "", response: Any = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.response = response


class AgentRunError(TTAError):
    """A run of an agent can't be taken up: unknown, expired, another's, or under way elsewhere.

    Args:
        message: What is wrong with it.
        run_id: Which one.
    """

    def __init__(self, message: str, run_id: str = "") -> None:
        super().__init__(message)
        self.run_id = run_id


class AllFailedError(TTAError, ExceptionGroup[Exception]):
    """Every choice failed; `exceptions` holds one error for each, in the order they were tried."""

    def derive(self, excs: Sequence[Exception]) -> Self:  # type: ignore[override]
        """Keep the class when `except*` or `split` takes the group apart."""
        return type(self)(self.message, excs)


class UnkeyableError(TTAError, TypeError):
    """A cache can't make a key of this input."""


class MissingExtraError(TTAError, ImportError):
    """An optional package isn't installed.

    Args:
        what: What was asked for, as the reader knows it ("the Chroma store").
        extra: The extra of tta-llm that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        self.what: str = what
        self.extra: str = extra
        super().__init__(
            f'{what} needs a package that is not installed: pip install "tta-llm[{extra}]"'
        )

    def __reduce__(self) -> tuple[type[Self], tuple[str, str], dict[str, object]]:
        return type(self), (self.what, self.extra), self.__dict__


class DocumentError(TTAError):
    """A document can't be read; the message says which and why."""


class IndexMismatchError(TTAError):
    """An index was built by another embedder than the one that asks."""


class ProviderError(TTAError):
    """A model's provider failed.

    Args:
        message: What happened, without keys or prompts.
        provider: The provider's name, such as `openai`.
        model: The model that was asked.
        status: The HTTP status, when there was one.
        request_id: The provider's identifier of the request.
        retry_after: Seconds that the provider asks to wait, when it said so.
    """

    transient: bool = False
    """Whether another try can help; a provider may say otherwise of one error."""

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.rate_limits: Any = None
        """What the provider said of its limits: a `tta_llm.messages.RateLimits`, or None."""


class AuthenticationError(ProviderError):
    """The key is missing, wrong or expired."""


class PermissionDeniedError(ProviderError):
    """The key is known, but may not do this."""


class UnknownModelError(ProviderError):
    """The provider has no such model; the message names the nearest ones."""


class InvalidRequestError(ProviderError):
    """The request can't be served as it is; sending it again won't help."""


class ContextLengthError(InvalidRequestError):
    """The input doesn't fit the model's context window."""


class ContentFilterError(ProviderError):
    """The provider refused the input or the output by its policy."""


class RateLimitError(ProviderError):
    """Too many requests or tokens; `retry_after` says how long to wait, when known."""

    transient = True


class OverloadedError(ProviderError):
    """The provider has no capacity right now."""

    transient = True


class ServerError(ProviderError):
    """The provider failed inside."""

    transient = True


class ConnectionFailedError(ProviderError, ConnectionError):
    """The connection could not be made, or broke."""

    transient = True


class ProviderTimeoutError(ProviderError, TimeoutError):
    """The provider did not answer in time."""

    transient = True


class InvalidResponseError(ProviderError):
    """The provider's answer is broken, empty or cut short."""

    transient = True
