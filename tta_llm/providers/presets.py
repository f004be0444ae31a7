"""Servers that speak OpenAI's protocol, by name: `ollama:llama3`, `groq:...`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tta_llm.errors import AuthenticationError
from tta_llm.providers.openai import OpenAIChatModel
from tta_llm.providers.openai_embedder import OpenAIEmbedder
from tta_llm.providers.secret import NO_KEY

__all__ = ["PRESETS", "Preset", "preset_chat_model", "preset_embedder"]


@dataclass(frozen=True, slots=True)
class Preset:
    """Where a server is, and where its defaults differ from OpenAI's.

    Args:
        base_url: Its address as its documentation has it, for one on this machine its usual one.
        key_variable: The environment variable that its documentation keeps the key in.
        needs_key: Whether it always asks for one.
        max_tokens_field: What it calls the longest answer.
    """

    base_url: str
    key_variable: str
    needs_key: bool = True
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"


# From docs.ollama.com/api/openai-compatibility, openrouter.ai/docs/quickstart,
# console.groq.com/docs/openai, docs.together.ai/docs/inference/openai-compatibility,
# docs.vllm.ai/en/latest/serving/openai_compatible_server and llama.cpp's tools/server/README, in
# November 2026. The variables of vLLM and llama.cpp are those that their servers read.
PRESETS: Mapping[str, Preset] = {
    "groq": Preset(
        "https://api.groq.com/openai/v1", "GROQ_API_KEY", max_tokens_field="max_completion_tokens"
    ),
    "llamacpp": Preset("http://127.0.0.1:8080/v1", "LLAMA_API_KEY", needs_key=False),
    "ollama": Preset("http://localhost:11434/v1", "OLLAMA_API_KEY", needs_key=False),
    "openrouter": Preset("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together": Preset("https://api.together.ai/v1", "TOGETHER_API_KEY"),
    "vllm": Preset(
        "http://localhost:8000/v1",
        "VLLM_API_KEY",
        needs_key=False,
        max_tokens_field="max_completion_tokens",
    ),
}


def preset_chat_model(vendor: str, model: str, **arguments: Any) -> OpenAIChatModel:
    """Give a chat model of one of the `PRESETS`; each argument of OpenAIChatModel overrides them.

    Raises:
        AuthenticationError: When the server needs a key and there is none.
    """
    settings = _settings(vendor, arguments) | {"max_tokens_field": PRESETS[vendor].max_tokens_field}
    return OpenAIChatModel(model, **(settings | arguments))


def preset_embedder(vendor: str, model: str, **arguments: Any) -> OpenAIEmbedder:
    """Give an embedder of one of the `PRESETS`; each argument of OpenAIEmbedder overrides them.

    Raises:
        AuthenticationError: When the server needs a key and there is none.
    """
    return OpenAIEmbedder(model, **(_settings(vendor, arguments) | arguments))


def _settings(vendor: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if "client" in given:
        return {"provider": vendor}
    preset = PRESETS[vendor]
    key = given.get("api_key") or os.environ.get(preset.key_variable)
    if not key and preset.needs_key and "base_url" not in given:
        raise AuthenticationError(
            f"there is no key for {vendor}: set {preset.key_variable}, or pass api_key=",
            provider=vendor,
        )
    return {"provider": vendor, "base_url": preset.base_url, "api_key": key or NO_KEY}
