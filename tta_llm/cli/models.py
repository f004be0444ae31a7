"""The chat models that a command line names, of a vendor or of a server of one's own."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from tta_llm.cli.exits import UsageError
from tta_llm.providers import ChatModel, OpenAIChatModel, chat_model

__all__ = ["chosen_name", "model_of"]

_PROTOCOLS = ("openai:", "anthropic:", "google:")
_DEFAULT = "openai:gpt-4.1-mini"


def chosen_name(name: str | None, base_url: str | None) -> str | None:
    """Name the default model for those who name neither model nor server, and have its key."""
    has_key = not base_url and os.environ.get("OPENAI_API_KEY")
    return _DEFAULT if name is None and has_key else name


async def model_of(name: str | None, base_url: str | None) -> ChatModel | None:
    """Make the model of that name, or the first that the server has; None for "none".

    Raises:
        UsageError: There is no such vendor, no such address, or the server has no models.
        TTAError: The server does not answer, or the vendor's key or package is missing.
    """
    if base_url and not _is_address(base_url):
        raise UsageError(
            f"--base-url {base_url!r} is no address: write one such as http://localhost:11434/v1"
        )
    if name is None:
        name = await _first_model(base_url) if base_url else "none"
    if name == "none":
        return None
    try:
        if base_url:
            # A server's own names may have colons, such as llama3:8b.
            name = name if name.startswith(_PROTOCOLS) else f"openai:{name}"
            return chat_model(name, base_url=base_url)
        return chat_model(name)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


async def _first_model(base_url: str) -> str:
    """Ask the server for its models: a local one has a single one, as a rule."""
    async with OpenAIChatModel("unnamed", base_url=base_url) as server:
        names = await server.model_names()
    if not names:
        raise UsageError(f"the server at {base_url} names no model; say which one with --model")
    return f"openai:{names[0]}"
