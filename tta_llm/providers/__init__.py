"""Chat models and embedders, one file for each vendor; its SDK is imported at first use."""

from __future__ import annotations

from tta_llm.providers.anthropic import AnthropicChatModel
from tta_llm.providers.azure import AzureChatModel
from tta_llm.providers.chat import ChatModel
from tta_llm.providers.cohere import CohereRerankModel
from tta_llm.providers.counting import TokenCounter, token_counter
from tta_llm.providers.embedder import Embedder, Vectors
from tta_llm.providers.google import GoogleChatModel
from tta_llm.providers.google_embedder import GoogleEmbedder
from tta_llm.providers.list_price import list_price
from tta_llm.providers.model_info import ModelInfo, model_info
from tta_llm.providers.openai import OpenAIChatModel
from tta_llm.providers.openai_embedder import OpenAIEmbedder
from tta_llm.providers.price import Price
from tta_llm.providers.registry import chat_model, embedder
from tta_llm.providers.reranking import RerankModel, RerankRequest
from tta_llm.providers.structured import StructuredOutputError
from tta_llm.providers.timeouts import Timeouts
from tta_llm.providers.voyage import VoyageRerankModel

__all__ = [
    "AnthropicChatModel",
    "AzureChatModel",
    "ChatModel",
    "CohereRerankModel",
    "Embedder",
    "GoogleChatModel",
    "GoogleEmbedder",
    "ModelInfo",
    "OpenAIChatModel",
    "OpenAIEmbedder",
    "Price",
    "RerankModel",
    "RerankRequest",
    "StructuredOutputError",
    "Timeouts",
    "TokenCounter",
    "Vectors",
    "VoyageRerankModel",
    "chat_model",
    "embedder",
    "list_price",
    "model_info",
    "token_counter",
]
