"""Who asks, as a request's context tells it."""

from __future__ import annotations

from tta_llm.core import WorkflowContext

__all__ = ["SESSION_ID", "TENANT_ID", "session_of", "tenant_of"]

SESSION_ID = "session_id"
"""In a context's data: which conversation a request goes on with."""
TENANT_ID = "tenant_id"
"""In a context's data: whose conversation it is; what one has written no other can reach."""


def session_of(context: WorkflowContext) -> str | None:
    """Give the session of the request; None when it has none.

    Raises:
        TypeError: When it is no string.
    """
    return _told(context, SESSION_ID)


def tenant_of(context: WorkflowContext) -> str:
    """Give the tenant of the request; empty when it has none.

    Raises:
        TypeError: When it is no string.
    """
    return _told(context, TENANT_ID) or ""


def _told(context: WorkflowContext, key: str) -> str | None:
    value = context.data.get(key)
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"context.data[{key!r}] is a string, not {type(value).__name__}")
