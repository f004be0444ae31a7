"""The connection to Google: keys, clients, errors."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tta_llm.core.per_loop import ClientPerLoop
from tta_llm.errors import (
    AuthenticationError,
    MissingExtraError,
    ProviderError,
    UnknownModelError,
)
from tta_llm.providers._answers import add_nearest, host_of
from tta_llm.providers.faults import Fault, classify, transport_error
from tta_llm.providers.google_answer import fault_of
from tta_llm.providers.google_wire import GivenWire, OwnWire, Wire, is_installed, told_fault
from tta_llm.providers.secret import NO_KEY, Secret
from tta_llm.providers.timeouts import Timeouts

if TYPE_CHECKING:
    from google.genai import Client

__all__ = ["GoogleConnection"]

_HOME = "generativelanguage.googleapis.com"
_KEY_NAMES = ("GOOGLE_API_KEY", "GEMINI_API_KEY")


class GoogleConnection:
    """Keeps one client for each event loop, and turns what goes wrong into our errors.

    Args:
        who: The class that it serves, for the error when the SDK isn't installed.
        provider: Who answers.
        model: What is asked for.
        api_key: The key; `GOOGLE_API_KEY` or `GEMINI_API_KEY` when missing.
        base_url: Where the server is; `GOOGLE_GEMINI_BASE_URL` when missing, else Google.
        client: A client of the SDK's to use as it is.
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
        client: Client | None,
        timeouts: Timeouts,
    ) -> None:
        if client is None and not is_installed():
            raise MissingExtraError(who, "google")
        if client is not None and (api_key is not None or base_url is not None):
            raise ValueError(
                "the client has its own key and address: give client=, or these, not both"
            )
        self._provider, self._model = provider, model
        self._connect_seconds = timeouts.connect
        self._base_url = base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL") or None
        self._given = None if client is None else GivenWire(client)
        self._key = _key_of(client) if client else _find_key(api_key, self._base_url)
        self._wires = ClientPerLoop(self._make_wire, OwnWire.aclose)

    @property
    def served_at(self) -> str | None:
        """The server's address, when it isn't Google's."""
        if self._given or self._base_url is None or host_of(self._base_url) == _HOME:
            return None
        return self._base_url

    async def aclose(self) -> None:
        """Close the client of the running loop."""
        await self._wires.aclose()

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[Wire]:
        """Give what sends requests; the block's errors become ours."""
        wire: Wire = self._given or await self._wires.get()
        try:
            yield wire
        except ProviderError:
            raise
        except Exception as error:
            ours = self._ours(error)
            if ours is None:
                raise
            if isinstance(ours, UnknownModelError):
                await add_nearest(ours, self._model, wire.model_names())
            raise ours from error

    def raise_told(self, body: dict[str, Any], headers: Mapping[str, str]) -> None:
        """Raise the error that an answer with status 200 tells."""
        if body.get("error") is not None:
            raise self._classified(fault_of(body, None, headers))

    def _make_wire(self) -> OwnWire:
        return OwnWire(self._key.reveal(), self._base_url, self._connect_seconds)

    def _ours(self, error: Exception) -> ProviderError | None:
        """Give our error for one of the SDK or its HTTP library; None for a bug."""
        self._key.mask_error(error)
        if (fault := told_fault(error)) is not None:
            return self._classified(fault)
        return transport_error(error, provider=self._provider, model=self._model)

    def _classified(self, fault: Fault) -> ProviderError:
        fault = replace(fault, message=self._key.mask(fault.message))
        return classify(fault, provider=self._provider, model=self._model)


def _find_key(api_key: str | None, base_url: str | None) -> Secret:
    if api_key is not None:
        return Secret(api_key, "api_key")
    for name in _KEY_NAMES:
        if key := os.environ.get(name):
            return Secret(key, name)
    if base_url is None:
        raise AuthenticationError(
            f"there is no key for Google: set {' or '.join(_KEY_NAMES)}, pass api_key=, "
            "or give base_url= for a server that needs none",
            provider="google",
        )
    return Secret(NO_KEY, "api_key")


def _key_of(client: Client) -> Secret:
    """Give the client's key, to keep it out of errors; it shows none, and Vertex AI needs none."""
    key = getattr(getattr(client, "_api_client", None), "api_key", None)
    return Secret(key or NO_KEY, "api_key")
