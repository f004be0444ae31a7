"""A scorer that a test can foresee."""

from __future__ import annotations

from tta_llm.messages import ChatInput, ChatRequest
from tta_llm.routing import Score


def by_number(prompt: ChatInput) -> Score:
    """Score a prompt that begins with its score, such as "0.7 and some words"."""
    text = "".join(message.text for message in ChatRequest.of(prompt).messages)
    number = float((text.split() or ["0"])[0])
    return Score(number, (f"it says {number:g}",))
