"""Other libraries over the same server; each stands beside ours where it is installed.

They pin SDKs of different generations, so they need environments of their own:

    uv venv .cache/peers
    uv pip install --python .cache/peers -e '.[openai,anthropic]' any-llm-sdk[openai] \
        pydantic-ai-slim[openai] langchain-openai
    .cache/peers/bin/python -m benchmarks.providers

    uv venv .cache/litellm
    uv pip install --python .cache/litellm -e '.[openai,anthropic]' litellm
    .cache/litellm/bin/python -m benchmarks.providers
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from benchmarks.entrants import KEY, MESSAGES, PROMPT, Entrant
from benchmarks.loopback import Loopback


def _any_llm(server: Loopback) -> Entrant:
    from any_llm import AnyLLM

    llm = AnyLLM.create("openai", api_key=KEY, api_base=server.base_url, max_retries=0)

    async def chat(model: str) -> str:
        answer: Any = await llm.acompletion(model=model, messages=MESSAGES)
        return str(answer.choices[0].message.content)

    async def stream(model: str) -> AsyncIterator[str]:
        options = {"include_usage": True}
        chunks: Any = await llm.acompletion(
            model=model, messages=MESSAGES, stream=True, stream_options=options
        )
        async for chunk in chunks:
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    return Entrant("any-llm", chat, stream)


def _pydantic_ai(server: Loopback) -> Entrant:
    from openai import AsyncOpenAI
    from pydantic_ai.messages import ModelRequest
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0)
    provider = OpenAIProvider(openai_client=client)
    models: dict[str, Any] = {}
    messages: list[Any] = [ModelRequest.user_text_prompt(PROMPT)]

    def model(name: str) -> Any:
        return models.get(name) or models.setdefault(name, OpenAIChatModel(name, provider=provider))

    async def ask(model: Any) -> str:
        answer = await model.request(messages, None, ModelRequestParameters())
        return "".join(part.content for part in answer.parts)

    async def chat(name: str) -> str:
        return await ask(model(name))

    async def stream(name: str) -> AsyncIterator[str]:
        asked = model(name).request_stream(messages, None, ModelRequestParameters())
        async with asked as events:
            async for event in events:
                if event.event_kind == "part_start":
                    yield event.part.content
                elif event.event_kind == "part_delta":
                    yield event.delta.content_delta

    async def fallback(first: str, second: str) -> str:
        both = (first, second)
        chain = models.get(str(both)) or models.setdefault(
            str(both), FallbackModel(*map(model, both))
        )
        return await ask(chain)

    return Entrant("pydantic-ai", chat, stream, fallback)


def _langchain(server: Loopback) -> Entrant:
    from langchain_openai import ChatOpenAI

    models: dict[str, Any] = {}

    def make(name: str) -> Any:
        return ChatOpenAI(
            model=name, base_url=server.base_url, api_key=KEY, max_retries=0, stream_usage=True
        )

    def model(name: str) -> Any:
        return models.get(name) or models.setdefault(name, make(name))

    async def chat(name: str) -> str:
        return str((await model(name).ainvoke(PROMPT)).content)

    async def stream(name: str) -> AsyncIterator[str]:
        async for chunk in model(name).astream(PROMPT):
            yield chunk.content

    async def fallback(first: str, second: str) -> str:
        chain = models.get(f"{first} {second}") or models.setdefault(
            f"{first} {second}", model(first).with_fallbacks([model(second)])
        )
        return str((await chain.ainvoke(PROMPT)).content)

    return Entrant("LangChain", chat, stream, fallback)


def _litellm(server: Loopback) -> Entrant:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    # Writing its tracebacks to the terminal would count as the cost of a fallback.
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL + 1)
    settings: dict[str, Any] = {"api_base": server.base_url, "api_key": KEY, "max_retries": 0}
    settings["messages"] = MESSAGES

    async def chat(model: str) -> str:
        answer = await litellm.acompletion(model=f"openai/{model}", **settings)
        return str(answer.choices[0].message.content)

    async def stream(model: str) -> AsyncIterator[str]:
        options = {"include_usage": True}
        chunks = await litellm.acompletion(
            model=f"openai/{model}", stream=True, stream_options=options, **settings
        )
        async for chunk in chunks:
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    async def fallback(first: str, second: str) -> str:
        answer = await litellm.acompletion(
            model=f"openai/{first}", fallbacks=[f"openai/{second}"], **settings
        )
        return str(answer.choices[0].message.content)

    return Entrant("LiteLLM", chat, stream, fallback)


_PEERS: dict[str, Callable[[Loopback], Entrant]] = {
    "any_llm": _any_llm,
    "pydantic_ai": _pydantic_ai,
    "langchain_openai": _langchain,
    "litellm": _litellm,
}


def peers(server: Loopback) -> list[Entrant]:
    """Give those that are installed here."""
    return [make(server) for package, make in _PEERS.items() if importlib.util.find_spec(package)]
