"""What Chroma leaves to its users: to close all of a client, and to say where it failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tta_llm.errors import TTAError

__all__ = ["close", "told"]


def close(client: Any) -> None:
    """Close a client with its connections; closing twice is no error."""
    client.close()
    # Chroma leaves the connections to a server open, its own and those of its administration.
    for each in (client, getattr(client, "_admin_client", None)):
        session = getattr(getattr(each, "_server", None), "_session", None)
        if session is not None:
            session.close()


@contextmanager
def told(where: str) -> Iterator[None]:
    """Say of what Chroma raises where it was."""
    try:
        yield
    except Exception as error:
        if "dimension" in str(error):
            raise ValueError(
                f"{where} has vectors of another length ({error}): use one embedder, or another "
                "namespace"
            ) from error
        raise TTAError(f"{where} failed: {error}") from error
