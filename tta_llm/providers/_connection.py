"""The connection to a server through an SDK of OpenAI's make: keys, clients, errors.

OpenAI's and Anthropic's SDKs come out of the same generator, so their clients and errors have the
same names. A vendor's file says which SDK it is and what is its own.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar, TypeAlias

from tta_llm.core.per_loop import ClientPerLoop
from tta_llm.errors import (
    AuthenticationError,
    ConnectionFailedError,
    MissingExtraError,
    ProviderError,
    ProviderTimeoutError,
    UnknownModelError,
)
from tta_llm.providers._answers import add_nearest, host_of
from tta_llm.providers._trust import trusted
from tta_llm.providers.faults import Fault, classify, transport_error
from tta_llm.providers.secret import NO_KEY, Secret
from tta_llm.providers.timeouts import Timeouts

__all__ = ["Connection"]

Call: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]


class Connection(ABC):
    """Keeps one client for each event loop, and turns what goes wrong into our errors.

    Args:
        who: The class that it serves, for the error when the SDK isn't installed.
        provider: Who answers.
        model: What is asked for.
        api_key: The key; the vendor's variable when missing.
        base_url: Where the server is; the vendor's variable when missing, else the vendor.
        client: A client of the SDK's to use as it is.
        timeouts: How long it may take to connect.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When the SDK isn't installed.
    """

    extra: ClassVar[str]
    """The SDK's package, and the extra that brings it."""
    vendor: ClassVar[str]
    home: ClassVar[str]
    """The vendor's own address."""
    key_variable: ClassVar[str]
    address_variable: ClassVar[str]

    def __init__(
        self,
        who: str,
        *,
        provider: str,
        model: str,
        api_key: str | None,
        base_url: str | None,
        client: Any,
        timeouts: Timeouts,
    ) -> None:
        if client is None and importlib.util.find_spec(self.extra) is None:
            raise MissingExtraError(who, self.extra)
        if client is not None and (api_key is not None or base_url is not None):
            raise ValueError(
                "the client has its own key and address: give client=, or these, not both"
            )
        self._who, self._provider, self._model = who, provider, model
        self._timeouts = timeouts
        self._base_url = base_url or os.environ.get(self.address_variable) or None
        self._injected = None if client is None else client.with_options(max_retries=0)
        self._key = self._injected_key(client) if client else self._find_key(api_key)
        self._clients = ClientPerLoop(self._make_client, _close)

    # ------------------------------------------------------------------------ for a vendor's file

    @abstractmethod
    def _sdk(self) -> Any:
        """Import the SDK."""

    @abstractmethod
    def _new(self, sdk: Any, **settings: Any) -> Any:
        """Make a client."""

    @abstractmethod
    def _error_words(self, body: object) -> tuple[str, tuple[str, ...]]:
        """Read the message and the codes of an error's body."""

    def _injected_key(self, client: Any) -> Secret:
        """Give the client's key, to keep it out of errors; it may have none, or a note of that."""
        key = getattr(client, "api_key", None)
        if not isinstance(key, str) or not key or " " in key:
            key = NO_KEY
        return Secret(key, "api_key")

    # -------------------------------------------------------------------------- what it is used by

    @property
    def served_at(self) -> str | None:
        """The server's address, when it isn't the vendor's."""
        return None if host_of(self._address) == host_of(self.home) else self._address

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
            message, codes = self._error_words(told)
            fault = Fault(self._key.mask(message), codes)
            raise classify(fault, provider=self._provider, model=self._model)

    # ----------------------------------------------------------------------------------- inside

    @property
    def _address(self) -> str:
        if self._injected is None:
            return self._base_url or self.home
        return str(self._injected.base_url)

    def _find_key(self, api_key: str | None) -> Secret:
        if api_key is not None:
            return Secret(api_key, "api_key")
        if key := os.environ.get(self.key_variable):
            return Secret(key, self.key_variable)
        if self._base_url is None:
            raise AuthenticationError(
                f"there is no key for {self.vendor}: set {self.key_variable}, pass api_key=, "
                "or give base_url= for a server that needs none",
                provider=self._provider,
            )
        return Secret(NO_KEY, "api_key")

    def _make_client(self) -> Any:
        try:
            sdk = self._sdk()
        except ImportError as error:
            raise MissingExtraError(self._who, self.extra) from error
        timeout = sdk.Timeout(None, connect=self._timeouts.connect)
        # The SDK calls the class its own; its methods know whether they are httpx's or httpx2's.
        library = sys.modules[sdk.Timeout.__init__.__module__.partition(".")[0]]
        http = sdk.DefaultAsyncHttpxClient(
            timeout=timeout, follow_redirects=False, verify=trusted(library)
        )
        return self._new(sdk, max_retries=0, timeout=timeout, http_client=http)

    def _ours(self, error: Exception) -> ProviderError | None:
        """Give our error for one of the SDK or its HTTP library; None for a bug."""
        sdk = self._sdk()
        self._key.mask_error(error)
        if isinstance(error, sdk.APITimeoutError):
            return ProviderTimeoutError(f"{self._provider} did not answer in time: try again")
        if isinstance(error, sdk.APIConnectionError):
            return ConnectionFailedError(
                f"the connection to {self._provider} could not be made, or broke: try again, "
                f"and check that {host_of(self._address)} can be reached"
            )
        if isinstance(error, sdk.APIStatusError):
            return classify(self._fault(error), provider=self._provider, model=self._model)
        return transport_error(error, provider=self._provider, model=self._model)

    def _fault(self, error: Any) -> Fault:
        message, codes = self._error_words(error.body)
        return Fault(message, codes, error.status_code, dict(error.response.headers))


async def _close(client: Any) -> None:
    await client.close()
