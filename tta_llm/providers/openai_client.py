"""The connection to a server that speaks OpenAI's protocol: keys, clients, errors."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from tta_llm.errors import (
    AuthenticationError,
    ConnectionFailedError,
    MissingExtraError,
    ProviderError,
    ProviderTimeoutError,
    UnknownModelError,
)
from tta_llm.providers._answers import add_nearest, host_of
from tta_llm.providers.clients import ClientPerLoop
from tta_llm.providers.faults import Fault, classify, transport_error
from tta_llm.providers.openai_answer import error_words
from tta_llm.providers.secret import Secret
from tta_llm.providers.timeouts import Timeouts

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

__all__ = ["NO_KEY", "OpenAIConnection"]

NO_KEY = "none-needed"
"""What is sent to a server that needs no key; the SDK asks for some key."""

_OPENAI = "https://api.openai.com"

Call: TypeAlias = "Callable[[AsyncOpenAI], AbstractAsyncContextManager[Any]]"


class OpenAIConnection:
    """Keeps one client for each event loop, and turns what goes wrong into our errors.

    Args:
        who: The class that it serves, for the error when the SDK isn't installed.
        provider: Who answers.
        model: What is asked for.
        api_key: The key; `OPENAI_API_KEY` when missing.
        base_url: Where the server is; `OPENAI_BASE_URL` when missing, else OpenAI.
        client: An `openai.AsyncOpenAI` to use as it is.
        timeouts: How long it may take to connect.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When the SDK isn't installed.
    """

    def __init__(
        self,
        who: str,
        *,
        provider: str,
        model: str,
        api_key: str | None,
        base_url: str | None,
        client: AsyncOpenAI | None,
        timeouts: Timeouts,
    ) -> None:
        if client is None and importlib.util.find_spec("openai") is None:
            raise MissingExtraError(who, "openai")
        if client is not None and (api_key is not None or base_url is not None):
            raise ValueError(
                "the client has its own key and address: give client=, or these, not both"
            )
        self._who, self._provider, self._model = who, provider, model
        self._timeouts = timeouts
        self._base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        self._injected = None if client is None else client.with_options(max_retries=0)
        self._key = _injected_key(client) if client else _find_key(api_key, self._base_url)
        self._clients = ClientPerLoop(self._make_client, _close)

    @property
    def served_at(self) -> str | None:
        """The server's address, when it isn't OpenAI's."""
        return None if host_of(self._address) == host_of(_OPENAI) else self._address

    @property
    def _address(self) -> str:
        if self._injected is None:
            return self._base_url or _OPENAI
        return str(self._injected.base_url)

    async def aclose(self) -> None:
        """Close the client of the running loop."""
        await self._clients.aclose()

    async def model_names(self) -> list[str]:
        """Ask the server which models it has.

        Raises:
            ProviderError: When it doesn't tell.
        """
        client = self._injected or await self._clients.get()
        try:
            return [each.id for each in (await client.models.list()).data]
        except Exception as error:
            raise self._ours(error) or error from error

    @asynccontextmanager
    async def asked(self, call: Call) -> AsyncIterator[Any]:
        """Make a call and give the response, unread; leaving the block closes it."""
        client = self._injected or await self._clients.get()
        try:
            async with call(client) as response:
                yield response
        except ProviderError:
            raise
        except Exception as error:
            ours = self._ours(error)
            if ours is None:
                raise
            if isinstance(ours, UnknownModelError):
                await add_nearest(ours, self._model, self.model_names())
            raise ours from error

    def raise_told(self, body: dict[str, Any]) -> None:
        """Raise the error that an answer with status 200 tells."""
        if (told := body.get("error")) is not None:
            message, codes = error_words(told)
            fault = Fault(self._key.mask(message), codes)
            raise classify(fault, provider=self._provider, model=self._model)

    def _make_client(self) -> AsyncOpenAI:
        try:
            import openai  # noqa: PLC0415  # an optional package
        except ImportError as error:
            raise MissingExtraError(self._who, "openai") from error
        timeout = openai.Timeout(None, connect=self._timeouts.connect)
        http = openai.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False)
        return self._new(openai, max_retries=0, timeout=timeout, http_client=http)

    def _new(self, openai: Any, **settings: Any) -> Any:
        key = self._key.reveal()
        return openai.AsyncOpenAI(api_key=key, base_url=self._base_url, **settings)

    def _ours(self, error: Exception) -> ProviderError | None:
        """Give our error for one of the SDK or its HTTP library; None for a bug."""
        import openai  # noqa: PLC0415  # an optional package

        self._key.mask_error(error)
        if isinstance(error, openai.APITimeoutError):
            return ProviderTimeoutError(f"{self._provider} did not answer in time: try again")
        if isinstance(error, openai.APIConnectionError):
            return ConnectionFailedError(
                f"the connection to {self._provider} could not be made, or broke: try again, "
                f"and check that {host_of(self._address)} can be reached"
            )
        if isinstance(error, openai.APIStatusError):
            return classify(_fault(error), provider=self._provider, model=self._model)
        return transport_error(error, provider=self._provider, model=self._model)


def _find_key(api_key: str | None, base_url: str | None) -> Secret:
    if api_key is not None:
        return Secret(api_key, "api_key")
    if key := os.environ.get("OPENAI_API_KEY"):
        return Secret(key, "OPENAI_API_KEY")
    if base_url is None:
        raise AuthenticationError(
            "there is no key for OpenAI: set OPENAI_API_KEY, pass api_key=, "
            "or give base_url= for a server that needs none",
            provider="openai",
        )
    return Secret(NO_KEY, "api_key")


def _injected_key(client: AsyncOpenAI) -> Secret:
    """Give the client's key, to keep it out of errors; Azure's may be a note that none is set."""
    key = client.api_key
    return Secret(NO_KEY if not key or " " in key else key, "api_key")


def _fault(error: APIStatusError) -> Fault:
    message, codes = error_words(error.body)
    return Fault(message, codes, error.status_code, dict(error.response.headers))


async def _close(client: AsyncOpenAI) -> None:
    await client.close()
