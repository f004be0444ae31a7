"""Models by name: `openai:gpt-4.1-mini`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from tta_llm.providers.chat import ChatModel
from tta_llm.providers.embedder import Embedder

__all__ = ["chat_model", "embedder"]

_CHAT_MODELS: Mapping[str, str] = {
    "openai": "tta_llm.providers.openai:OpenAIChatModel",
}
_EMBEDDERS: Mapping[str, str] = {}


def chat_model(name: str, **arguments: Any) -> ChatModel:
    """Give the chat model of this name, `vendor:model`.

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
    make, model = _find(
        name, _CHAT_MODELS, "tta_llm.chat_models", "a chat model", "openai:gpt-4.1-mini"
    )
    return cast("ChatModel", make(model, **arguments))


def embedder(name: str, **arguments: Any) -> Embedder:
    """Give the embedder of this name, `vendor:model`.

    Packages outside add vendors of theirs with an entry point in the group `tta_llm.embedders`.

    Args:
        name: The vendor, a colon, and the model as the vendor names it.
        arguments: Passed on to the vendor's class.

    Raises:
        ValueError: When the name has no vendor, or one that nobody knows; the message has the
            nearest.
    """
    example = "openai:text-embedding-3-small"
    make, model = _find(name, _EMBEDDERS, "tta_llm.embedders", "an embedder", example)
    return cast("Embedder", make(model, **arguments))


def _find(
    name: str, known: Mapping[str, str], group: str, what: str, example: str
) -> tuple[Callable[..., Any], str]:
    vendor, colon, model = name.partition(":")
    if not colon or not model or not vendor:
        raise ValueError(f"{name!r} does not name {what}: write vendor:model, as in {example!r}")
    if vendor in known:
        module, _, attribute = known[vendor].partition(":")
        return getattr(import_module(module), attribute), model
    outside = entry_points(group=group)
    for point in outside.select(name=vendor):
        return point.load(), model
    raise ValueError(_unknown(vendor, what, [*known, *outside.names]))


def _unknown(vendor: str, what: str, vendors: list[str]) -> str:
    if not vendors:
        return f"there is no vendor {vendor!r} of {what}: install a package that brings one"
    near = difflib.get_close_matches(vendor.lower(), vendors, n=1)
    guess = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(vendors))}"
    return f"there is no vendor {vendor!r} of {what}: {guess}"
