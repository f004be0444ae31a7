"""The context of a request: who asks, for how long, at what cost, under which trace."""

from __future__ import annotations

import re
from typing import Any

from opentelemetry import propagate, trace

from tta_llm.agents.requester import SESSION_ID, TENANT_ID
from tta_llm.core import WorkflowContext
from tta_llm.serve.exchange import Exchange
from tta_llm.serve.faults import RefusedError

__all__ = ["CORRELATION_ID", "TENANT", "checked_session", "context_of"]

CORRELATION_ID = "tta.correlation_id"
"""In the ASGI scope: the request's id."""
TENANT = "tta.tenant"
"""In the ASGI scope: whose key it came with."""

_SESSION = re.compile(r"[\x21-\x7e]{1,200}")


def context_of(exchange: Exchange, served: str, session_id: str | None = None) -> WorkflowContext:
    """Make the context of one request to a workflow of this name."""
    data: dict[str, Any] = {TENANT_ID: exchange.scope.get(TENANT, "")}
    if session_id is not None:
        data[SESSION_ID] = session_id
    settings = exchange.settings
    return WorkflowContext(
        correlation_id=exchange.scope.get(CORRELATION_ID),
        workflow_id=served,
        data=data,
        timeout_seconds=settings.timeout_seconds,
        budget=settings.budget(),
        parent_span=_caller(exchange),
    )


def checked_session(value: Any) -> str | None:
    """Give the id of a session as a client sent it; None for none.

    Raises:
        RefusedError: When it can't be one.
    """
    if value is None or (isinstance(value, str) and _SESSION.fullmatch(value)):
        return value
    raise RefusedError(
        400,
        "invalid_session_id",
        "A session_id is a string of 1 to 200 printable characters of ASCII without blanks.",
        param="session_id",
    )


def _caller(exchange: Exchange) -> trace.Span | None:
    """Give the caller's span, unless the application around has begun one of its own."""
    if trace.get_current_span().get_span_context().is_valid:
        return None
    span = trace.get_current_span(propagate.extract(dict(exchange.headers)))
    return span if span.get_span_context().is_valid else None
