"""The connection to a server that speaks Anthropic's protocol."""

from __future__ import annotations

import inspect
from typing import Any

from tta_llm.providers._answers import string_of
from tta_llm.providers._connection import Connection
from tta_llm.providers.secret import Secret

__all__ = ["AnthropicConnection"]


class AnthropicConnection(Connection):
    """Keeps one client for each event loop, and turns what goes wrong into our errors."""

    extra = "anthropic"
    vendor = "Anthropic"
    home = "https://api.anthropic.com"
    key_variable = "ANTHROPIC_API_KEY"
    address_variable = "ANTHROPIC_BASE_URL"

    def _sdk(self) -> Any:
        import anthropic  # noqa: PLC0415  # an optional package

        return anthropic

    def _new(self, sdk: Any, **settings: Any) -> Any:
        make = sdk.AsyncAnthropic
        if "open_telemetry" in inspect.signature(make).parameters:
            # Since 2.0 the SDK has spans of its own; a call has one, and that is ours.
            settings["open_telemetry"] = False
        address = self._base_url or self.home
        return make(api_key=self._key.reveal(), base_url=address, **settings)

    def _error_words(self, body: object) -> tuple[str, tuple[str, ...]]:
        """Read the message and the codes of a body, the specific code before the kind."""
        told = body.get("error", body) if isinstance(body, dict) else body
        if not isinstance(told, dict):
            return told if isinstance(told, str) else "", ()
        details = told.get("details")
        code = details.get("error_code") if isinstance(details, dict) else None
        codes = (code, told.get("code"), told.get("type"))
        message = string_of(told.get("message")) or ""
        return message, tuple(str(each) for each in codes if each is not None)

    def _injected_key(self, client: Any) -> Secret:
        token = getattr(client, "auth_token", None)
        return Secret(token, "auth_token") if token else super()._injected_key(client)
