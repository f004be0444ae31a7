"""The connection to a server that speaks Anthropic's protocol."""

from __future__ import annotations

import inspect
from typing import Any

from tta_llm.providers._connection import Connection
from tta_llm.providers.anthropic_answer import error_words
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
        return error_words(body)

    def _injected_key(self, client: Any) -> Secret:
        token = getattr(client, "auth_token", None)
        return Secret(token, "auth_token") if token else super()._injected_key(client)
