"""A server that takes and gives JSON, asked without an SDK: keys, clients, errors."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tta_llm.core.per_loop import ClientPerLoop
from tta_llm.errors import AuthenticationError, InvalidResponseError, MissingExtraError
from tta_llm.providers._answers import whole_answer
from tta_llm.providers._trust import trusted
from tta_llm.providers.faults import Fault, classify, transport_error
from tta_llm.providers.secret import NO_KEY, Secret
from tta_llm.providers.timeouts import Timeouts

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

__all__ = ["JsonServer", "find_key"]

_OK = 200


def find_key(
    provider: str, api_key: str | None, variables: Sequence[str], *, needed: bool
) -> Secret:
    """Give the key that was passed, or the one in the environment.

    Raises:
        AuthenticationError: When there is none and one is needed.
    """
    if api_key is not None:
        return Secret(api_key, "api_key")
    for name in variables:
        if key := os.environ.get(name):
            return Secret(key, name)
    if needed:
        raise AuthenticationError(
            f"there is no key for {provider}: set {variables[0]}, pass api_key=, or give base_url= "
            "for a server that needs none",
            provider=provider,
        )
    return Secret(NO_KEY, "api_key")


class JsonServer:
    """Keeps one HTTP client for each event loop, and turns what goes wrong into our errors.

    Args:
        who: The class that it serves, for the error when httpx2 isn't installed.
        provider: Who answers.
        model: What is asked for.
        key: Sent as a bearer token.
        base_url: What each path is put behind.
        client: An `httpx2.AsyncClient` to use as it is; it stays open.
        timeouts: How long it may take to connect.

    Raises:
        MissingExtraError: When httpx2 isn't installed.
    """

    def __init__(
        self,
        who: str,
        *,
        provider: str,
        model: str,
        key: Secret,
        base_url: str,
        client: AsyncClient | None,
        timeouts: Timeouts,
    ) -> None:
        if client is None and importlib.util.find_spec("httpx2") is None:
            raise MissingExtraError(who, "rerank")
        self._provider, self._model, self._key = provider, model, key
        self._base_url = base_url.rstrip("/")
        self._injected, self._connect_seconds = client, timeouts.connect
        self._clients: ClientPerLoop[AsyncClient] = ClientPerLoop(self._make_client, _close)

    async def aclose(self) -> None:
        """Close the client of the running loop."""
        await self._clients.aclose()

    async def post(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Send an object and give the one that comes back.

        Raises:
            ProviderError: When the server refuses, can't be reached, or answers something else.
        """
        client = self._injected or await self._clients.get()
        request = client.build_request(
            "POST",
            self._base_url + path,
            # Escaped, for halves of characters that a document may hold have no UTF-8.
            content=json.dumps(fields).encode(),
            headers={"content-type": "application/json", **self._authorization()},
        )
        try:
            response = await client.send(request, stream=True, follow_redirects=False)
            return await self._answer(_Unread(response), response.status_code)
        except Exception as error:
            self._key.mask_error(error)
            ours = transport_error(error, provider=self._provider, model=self._model)
            if ours is None:
                raise
            raise ours from error

    def _authorization(self) -> dict[str, str]:
        """Give the key's header; a client of the user's may have one of its own."""
        key = self._key.reveal()
        return {} if key == NO_KEY else {"authorization": f"Bearer {key}"}

    async def _answer(self, unread: _Unread, status: int) -> dict[str, Any]:
        if status == _OK:
            return await whole_answer(unread)
        try:
            message = _words(await whole_answer(unread))
        except InvalidResponseError:
            message = ""
        fault = Fault(self._key.mask(message), (), status, dict(unread.headers))
        raise classify(fault, provider=self._provider, model=self._model)

    def _make_client(self) -> AsyncClient:
        import httpx2  # noqa: PLC0415  # an optional package

        # How long an answer may take is measured on our own clock.
        timeout = httpx2.Timeout(None, connect=self._connect_seconds)
        return httpx2.AsyncClient(timeout=timeout, verify=trusted(httpx2))


class _Unread:
    """A response of httpx2, as those of the SDKs look."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.headers: Mapping[str, str] = response.headers

    def iter_bytes(self) -> AsyncIterator[bytes]:
        return self._response.aiter_bytes()

    async def close(self) -> None:
        await self._response.aclose()


def _words(body: Mapping[str, Any]) -> str:
    """Read what an error says: Cohere calls it `message`, and Voyage `detail`."""
    told = body.get("message") or body.get("detail") or body.get("error") or ""
    return told if isinstance(told, str) else json.dumps(told)


async def _close(client: AsyncClient) -> None:
    await client.aclose()
