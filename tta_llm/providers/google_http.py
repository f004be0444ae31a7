"""An HTTP client for Google's SDK that hands answers over unread.

Left to itself the SDK reads a body without any limit, takes an empty or cut one for a short answer,
carries the key along a redirect, and has no way to close a stream before its end. It gives no
access to an unread response either, but it takes an HTTP client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from tta_llm.providers._answers import body_bytes
from tta_llm.providers._trust import trusted
from tta_llm.providers.sse import limited_body

__all__ = ["AnsweredError", "http_client"]

_OK = 200


class _Answer:
    """An answer, unread."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.headers: Mapping[str, str] = response.headers

    def iter_bytes(self) -> AsyncIterator[bytes]:
        chunks: AsyncIterator[bytes] = self._response.aiter_bytes()
        return chunks

    async def close(self) -> None:
        await self._response.aclose()


class AnsweredError(Exception):
    """Carries an answer with status 200 past the SDK, to who asked."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__("the provider answered")
        self.answer = answer


def http_client(library: Any, connect_seconds: float) -> Any:
    """Make a client that follows no redirect, and raises AnsweredError for an answer.

    Args:
        library: The package `httpx` or `httpx2`.
        connect_seconds: How long to wait for a connection.
    """
    timeout = library.Timeout(None, connect=connect_seconds)

    class Client(library.AsyncClient):  # type: ignore[misc]  # known at run time only
        async def send(self, request: Any, **options: Any) -> Any:
            # The SDK asks for no timeout at all, which would hold instead of the client's.
            request.extensions = {**request.extensions, "timeout": timeout.as_dict()}
            response = await super().send(request, **(options | {"stream": True}))
            if response.status_code == _OK:
                raise AnsweredError(_Answer(response))
            return await _read(library, response)

    return Client(
        follow_redirects=False,
        timeout=timeout,
        verify=trusted(library),
        limits=library.Limits(max_connections=1000, max_keepalive_connections=100),
    )


async def _read(library: Any, response: Any) -> Any:
    """Read the body of an error within limits, for the SDK to make its own error of."""
    async with body_bytes(_Answer(response)) as chunks:
        body = await limited_body(chunks)
    about_body = ("content-encoding", "content-length", "transfer-encoding")
    return library.Response(
        response.status_code,
        headers=[each for each in response.headers.items() if each[0] not in about_body],
        # The SDK stumbles over what is no UTF-8.
        content=body.decode(errors="replace").encode(),
        request=response.request,
    )
