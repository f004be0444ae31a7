"""How much the vendors' current models read and write."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tta_llm.providers._prepare import OPTIONS

__all__ = ["ModelInfo", "model_info"]

_LACKABLE = OPTIONS | {"documents", "images"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model's limits; None for what is unknown.

    Args:
        context_window: How many tokens of input it takes at most.
        max_output_tokens: How many tokens it writes at most, reasoning included.
        prefill: Whether it goes on with an answer that the last message of the request begins.
        lacks: What it is known not to take: `images`, `documents`, or fields of a ChatRequest such
            as `tools` and `response_format`.

    Example:
        ```python
        from tta_llm.providers import ModelInfo, OpenAIChatModel, model_info

        assert model_info("openai", "gpt-4.1-mini").max_output_tokens == 32_768
        own = ModelInfo(context_window=8192)
        local = OpenAIChatModel("own", base_url="http://127.0.0.1:8080/v1", info=own)
        assert local.info == own
        ```
    """

    context_window: int | None = None
    max_output_tokens: int | None = None
    prefill: bool = False
    lacks: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("context_window", "max_output_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value!r}")
        if unknown := set(self.lacks) - _LACKABLE:
            raise ValueError(
                f"a model may lack {', '.join(sorted(_LACKABLE))}, not {', '.join(sorted(unknown))}"
            )


# From models.dev (MIT licence), as of November 2026. It tells the input where input and output have
# a limit each, as with gpt-5, and the window where they share one.
_TABLE: dict[str, dict[tuple[int, int], str]] = {
    "openai": {
        (16_385, 4_096): "gpt-3.5-turbo",
        (8_192, 8_192): "gpt-4",
        (128_000, 4_096): "gpt-4-turbo gpt-4o-2024-05-13",
        (128_000, 16_384): "gpt-4o gpt-4o-mini",
        (1_047_576, 32_768): "gpt-4.1 gpt-4.1-mini gpt-4.1-nano",
        (200_000, 100_000): "o1 o1-pro o3 o3-mini o3-pro o4-mini",
        (272_000, 128_000): "gpt-5 gpt-5-mini gpt-5-nano gpt-5.1 gpt-5.2 gpt-5.2-pro",
        (272_000, 272_000): "gpt-5-pro",
        (128_000, 32_000): "gpt-5.3-codex-spark",
        (400_000, 128_000): "gpt-5.3-codex gpt-5.4-mini gpt-5.4-nano",
        (1_050_000, 128_000): (
            "gpt-5.4 gpt-5.4-pro gpt-5.5 gpt-5.5-pro gpt-5.6 gpt-5.6-luna gpt-5.6-sol "
            "gpt-5.6-terra gpt-6-astra gpt-6-luna gpt-6-sol gpt-6.1-sol gpt-6.1-terra"
        ),
    },
    "anthropic": {
        (200_000, 64_000): "claude-haiku-4-5 claude-opus-4-5 claude-sonnet-4-5",
        (1_000_000, 128_000): (
            "claude-fable-5 claude-fable-5-1 claude-haiku-5-5 claude-opus-4-6 claude-opus-4-7 "
            "claude-opus-4-8 claude-opus-5 claude-opus-5-5 claude-sonnet-4-6 claude-sonnet-5 "
            "claude-sonnet-5-5"
        ),
    },
    "google": {
        (1_048_576, 65_536): (
            "gemini-2.5-flash gemini-2.5-flash-lite gemini-2.5-pro gemini-3-flash-preview "
            "gemini-3.1-flash-lite gemini-3.1-pro-preview gemini-3.5-flash gemini-3.5-flash-lite "
            "gemini-3.6-flash gemini-3.7-flash gemini-3.8-flash gemini-4-argon gemini-flash-latest "
            "gemini-flash-lite-latest"
        ),
        (262_144, 32_768): "gemma-4-26b-a4b-it gemma-4-31b-it",
    },
}

# Anthropic's later models answer 400 to a request that ends with the beginning of an answer
# (platform.claude.com, "What's new in Claude 4.6", prefill removal); OpenAI's and Google's take it
# for a turn that is over.
_PREFILL = frozenset({"claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5"})

# From models.dev as of July 2026. It tells of documents only where images are out of the question,
# for it has gaps there.
_LACKS = {
    "gpt-3.5-turbo": {"documents", "images", "response_format"},
    "gpt-4": {"documents", "images", "response_format"},
    "gpt-4-turbo": {"response_format"},
    "gpt-5.2-pro": {"response_format"},
    "gpt-5.4-pro": {"response_format"},
    "o3-mini": {"documents", "images"},
}

_KNOWN = {
    (vendor, name): ModelInfo(
        context_window=read,
        max_output_tokens=written,
        prefill=name in _PREFILL,
        lacks=frozenset(_LACKS.get(name, ())),
    )
    for vendor, limits in _TABLE.items()
    for (read, written), names in limits.items()
    for name in names.split()
}

_RELEASE = re.compile(r"-(latest|20\d\d-?\d\d-?\d\d)$")


def model_info(vendor: str, model: str) -> ModelInfo | None:
    """Give the limits of a vendor's model; None when they are unknown.

    A release of a model, such as `gpt-4.1-2025-04-14`, has those of the model.

    Args:
        vendor: `openai`, `anthropic` or `google`.
        model: The model, as the vendor names it.
    """
    name = model.removeprefix("models/")
    if (exact := _KNOWN.get((vendor, name))) is not None:
        return exact
    return _KNOWN.get((vendor, _RELEASE.sub("", name)))
