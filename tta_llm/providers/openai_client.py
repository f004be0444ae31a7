"""The connection to a server that speaks OpenAI's protocol."""

from __future__ import annotations

from typing import Any

from tta_llm.providers._connection import Connection
from tta_llm.providers.openai_answer import error_words

__all__ = ["OpenAIConnection"]


class OpenAIConnection(Connection):
    """Keeps one client for each event loop, and turns what goes wrong into our errors."""

    extra = "openai"
    vendor = "OpenAI"
    home = "https://api.openai.com"
    key_variable = "OPENAI_API_KEY"
    address_variable = "OPENAI_BASE_URL"

    def _sdk(self) -> Any:
        import openai  # noqa: PLC0415  # an optional package

        return openai

    def _new(self, sdk: Any, **settings: Any) -> Any:
        return sdk.AsyncOpenAI(api_key=self._key.reveal(), base_url=self._base_url, **settings)

    def _error_words(self, body: object) -> tuple[str, tuple[str, ...]]:
        return error_words(body)
