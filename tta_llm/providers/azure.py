"""OpenAI's models on Azure."""

from __future__ import annotations

import os
from typing import Any

from tta_llm.errors import AuthenticationError
from tta_llm.providers.openai import OpenAIChatModel
from tta_llm.providers.openai_client import OpenAIConnection

__all__ = ["AzureChatModel"]


class AzureChatModel(OpenAIChatModel):
    """A deployment on Azure OpenAI.

    A deployment's name doesn't tell its model, so it has no price and no limits unless they are
    given, as in `price=list_price("azure", "gpt-4.1-mini")`. For tokens of Microsoft Entra, give
    an `openai.AsyncAzureOpenAI` of yours as `client`.

    Args:
        model: The deployment's name.
        api_key: The key; `AZURE_OPENAI_API_KEY` when missing.
        base_url: The resource's endpoint; `AZURE_OPENAI_ENDPOINT` when missing.
        api_version: The version of Azure's interface; `OPENAI_API_VERSION` when missing.
        arguments: Those of OpenAIChatModel.

    Raises:
        AuthenticationError: When the key, the endpoint or the version is missing.

    Example:
        ```python
        from tta_llm.providers import chat_model

        model = chat_model(
            "azure:my-deployment",
            api_key="...",
            base_url="https://example.openai.azure.com",
            api_version="2024-10-21",
        )
        assert (model.provider, model.model) == ("azure", "my-deployment")
        ```
    """

    def __init__(self, model: str, *, api_version: str | None = None, **arguments: Any) -> None:
        self._api_version = api_version
        if arguments.get("client") is None:
            arguments["api_key"] = _found(arguments, "api_key", "AZURE_OPENAI_API_KEY")
            arguments["base_url"] = _found(arguments, "base_url", "AZURE_OPENAI_ENDPOINT")
            self._api_version = _found(
                {"api_version": api_version}, "api_version", "OPENAI_API_VERSION"
            )
        super().__init__(model, **({"provider": "azure"} | arguments))

    def _connect(self, **arguments: Any) -> OpenAIConnection:
        return _AzureConnection(
            self._api_version,
            type(self).__name__,
            provider=self.provider,
            model=self.model,
            timeouts=self.timeouts,
            **arguments,
        )


class _AzureConnection(OpenAIConnection):
    def __init__(self, api_version: str | None, who: str, **arguments: Any) -> None:
        self._api_version = api_version
        super().__init__(who, **arguments)

    def _new(self, sdk: Any, **settings: Any) -> Any:
        return sdk.AsyncAzureOpenAI(
            api_key=self._key.reveal(),
            azure_endpoint=self._base_url,
            api_version=self._api_version,
            **settings,
        )


def _found(given: dict[str, Any], name: str, variable: str) -> str:
    value = given.get(name) or os.environ.get(variable)
    if not value:
        raise AuthenticationError(
            f"a model on Azure needs {name}=: pass it, or set {variable}", provider="azure"
        )
    return str(value)
