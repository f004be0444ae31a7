"""The certificates that connections trust, read once."""

from __future__ import annotations

from functools import cache
from ssl import SSLContext
from types import ModuleType

__all__ = ["trusted"]


@cache
def trusted(library: ModuleType) -> SSLContext:
    """Give the context that all clients of an HTTP library share.

    Reading the certificates takes longer than all else about a client, and an SDK reads them anew
    for each client, or for each transport of it.

    Args:
        library: The package `httpx` or `httpx2`.
    """
    context: SSLContext = library.create_ssl_context()
    return context
