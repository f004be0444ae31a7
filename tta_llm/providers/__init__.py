"""Chat models and embedders, one file for each vendor; its SDK is imported at first use."""

from __future__ import annotations

from tta_llm.providers.chat import ChatModel
from tta_llm.providers.embedder import Embedder, Vectors
from tta_llm.providers.openai import OpenAIChatModel
from tta_llm.providers.price import Price
from tta_llm.providers.registry import chat_model, embedder
from tta_llm.providers.structured import StructuredOutputError
from tta_llm.providers.timeouts import Timeouts

__all__ = [
    "ChatModel",
    "Embedder",
    "OpenAIChatModel",
    "Price",
    "StructuredOutputError",
    "Timeouts",
    "Vectors",
    "chat_model",
    "embedder",
]
