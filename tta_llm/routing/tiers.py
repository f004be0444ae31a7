"""Which of a vendor's models stands for a tier."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TIER_MODELS"]

TIER_MODELS: Mapping[str, str] = {
    "anthropic:balanced": "anthropic:claude-sonnet-5-5",
    "anthropic:fast": "anthropic:claude-haiku-5-5",
    "anthropic:quality": "anthropic:claude-opus-5-5",
    "google:balanced": "google:gemini-3.8-flash",
    "google:fast": "google:gemini-3.5-flash-lite",
    "google:quality": "google:gemini-4-argon",
    "openai:balanced": "openai:gpt-6.1-terra",
    "openai:fast": "openai:gpt-6-luna",
    "openai:quality": "openai:gpt-6.1-sol",
}
"""The vendors' current models that are nearest to each other, by list price and by what their
vendors call them, as the package genai-prices had them in November 2026: in US dollars for a
million tokens out, `fast` is 0.5 to 2.5, `balanced` 3.75 to 10, `quality` 10 to 20. Nobody here
measured how good they are; give a chain `tiers=` of your own where that matters."""
