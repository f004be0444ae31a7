"""Models by name: `openai:gpt-4.1-mini`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeAlias, cast

from tta_llm.providers.chat import ChatModel
from tta_llm.providers.embedder import Embedder
from tta_llm.providers.presets import PRESETS, preset_chat_model, preset_embedder

__all__ = ["chat_model", "embedder"]

Maker: TypeAlias = str | Callable[..., Any]
"""What makes a model of a name, or where that is."""

_CHAT_MODELS: dict[str, Maker] = {
    "anthropic": "tta_llm.providers.anthropic:AnthropicChatModel",
    "azure": "tta_llm.providers.azure:AzureChatModel",
    "google": "tta_llm.providers.google:GoogleChatModel",
    "google-generativeai": "tta_llm.providers.google_generativeai:GoogleGenerativeAIChatModel",
    "openai": "tta_llm.providers.openai:OpenAIChatModel",
}
_EMBEDDERS: dict[str, Maker] = {
    "google": "tta_llm.providers.google_embedder:GoogleEmbedder",
    "minilm": "tta_llm.providers.minilm:minilm",
    "openai": "tta_llm.providers.openai_embedder:OpenAIEmbedder",
}


def chat_model(name: str, **arguments: Any) -> ChatModel:
    """Give the chat model of this name, `vendor:model`.

    Besides the vendors there are servers that speak OpenAI's protocol: `groq`, `llamacpp`,
    `ollama`, `openrouter`, `together` and `vllm`, with their addresses and the environment
    variables of their keys.

    Packages outside add vendors of theirs with an entry point in the group `tta_llm.chat_models`:
    its name is the vendor, its object takes the model's name and keyword arguments, and returns a
    ChatModel.

    Args:
        name: The vendor, a colon, and the model as the vendor names it.
        arguments: Passed on to the vendor's class, such as `api_key` and `base_url`.

    Raises:
        ValueError: When the name has no vendor, or one that nobody knows; the message has the
            nearest.

    Example:
        ```python
        from tta_llm.providers import chat_model

        model = chat_model("openai:gpt-4.1-mini", api_key="...")
        assert model.provider == "openai" and model.model == "gpt-4.1-mini"
        ```
    """
    known = _CHAT_MODELS | _presets(preset_chat_model)
    make, model = _find(name, known, "tta_llm.chat_models", "a chat model", "openai:gpt-4.1-mini")
    return cast("ChatModel", make(model, **arguments))


def embedder(name: str, **arguments: Any) -> Embedder:
    """Give the embedder of this name, `vendor:model`.

    `minilm:all-MiniLM-L6-v2` runs on this machine, with no key.

    Packages outside add vendors of theirs with an entry point in the group `tta_llm.embedders`.

    Args:
        name: The vendor, a colon, and the model as the vendor names it.
        arguments: Passed on to the vendor's class.

    Raises:
        ValueError: When the name has no vendor, or one that nobody knows; the message has the
            nearest.

    Example:
        ```python
        from tta_llm.providers import embedder

        assert embedder("minilm:all-MiniLM-L6-v2").dimensions == 384
        ```
    """
    known = _EMBEDDERS | _presets(preset_embedder)
    example = "openai:text-embedding-3-small"
    make, model = _find(name, known, "tta_llm.embedders", "an embedder", example)
    return cast("Embedder", make(model, **arguments))


def _presets(make: Callable[..., Any]) -> dict[str, Maker]:
    return {vendor: partial(make, vendor) for vendor in PRESETS}


def _find(
    name: str, known: Mapping[str, Maker], group: str, what: str, example: str
) -> tuple[Callable[..., Any], str]:
    vendor, colon, model = name.partition(":")
    if not colon or not model or not vendor:
        raise ValueError(f"{name!r} does not name {what}: write vendor:model, as in {example!r}")
    if (there := known.get(vendor)) is not None:
        return (_loaded(there) if isinstance(there, str) else there), model
    outside = entry_points(group=group)
    for point in outside.select(name=vendor):
        return point.load(), model
    raise ValueError(_unknown(vendor, what, [*known, *outside.names]))


def _loaded(address: str) -> Callable[..., Any]:
    module, _, attribute = address.partition(":")
    return cast("Callable[..., Any]", getattr(import_module(module), attribute))


def _unknown(vendor: str, what: str, vendors: list[str]) -> str:
    if not vendors:
        return f"there is no vendor {vendor!r} of {what}: install a package that brings one"
    near = difflib.get_close_matches(vendor.lower(), vendors, n=1)
    guess = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(vendors))}"
    return f"there is no vendor {vendor!r} of {what}: {guess}"
