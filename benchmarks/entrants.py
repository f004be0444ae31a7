"""Who asks the loopback server in `providers.py`: the raw SDKs, ours, and peers where installed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

from benchmarks.loopback import Loopback
from tta_llm import WorkflowContext
from tta_llm.messages import TextDelta
from tta_llm.providers import AnthropicChatModel, ChatModel, OpenAIChatModel
from tta_llm.recovery import FallbackPrimitive

PROMPT = "Say some words."
MESSAGES: list[Any] = [{"role": "user", "content": PROMPT}]
KEY = "none-needed"


class Entrant(NamedTuple):
    """Each call gives the text of the answer; what an entrant can't do is None."""

    name: str
    chat: Callable[[str], Awaitable[str]]
    stream: Callable[[str], AsyncIterator[str]]
    fallback: Callable[[str, str], Awaitable[str]] | None = None


def raw_openai(server: Loopback) -> Entrant:
    """OpenAI's SDK, as its documentation uses it."""
    import openai

    client = openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0)

    async def chat(model: str) -> str:
        answer = await client.chat.completions.create(model=model, messages=MESSAGES)
        return answer.choices[0].message.content or ""

    async def stream(model: str) -> AsyncIterator[str]:
        chunks = await client.chat.completions.create(
            model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in chunks:
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    async def fallback(first: str, second: str) -> str:
        try:
            return await chat(first)
        except openai.RateLimitError:
            return await chat(second)

    return Entrant("raw OpenAI SDK", chat, stream, fallback)


def raw_anthropic(server: Loopback) -> Entrant:
    """Anthropic's SDK, as its documentation uses it."""
    import anthropic

    client = anthropic.AsyncAnthropic(base_url=server.root, api_key=KEY, max_retries=0)

    async def chat(model: str) -> str:
        answer = await client.messages.create(model=model, messages=MESSAGES, max_tokens=1_000)
        return "".join(block.text for block in answer.content if block.type == "text")

    async def stream(model: str) -> AsyncIterator[str]:
        events = await client.messages.create(
            model=model, messages=MESSAGES, max_tokens=1_000, stream=True
        )
        async for event in events:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text

    async def fallback(first: str, second: str) -> str:
        try:
            return await chat(first)
        except anthropic.RateLimitError:
            return await chat(second)

    return Entrant("raw Anthropic SDK", chat, stream, fallback)


def ours(name: str, make: Callable[[str], ChatModel]) -> Entrant:
    """Our models, with a context for each call as an application has."""
    models: dict[str, ChatModel] = {}
    chains: dict[tuple[str, str], Any] = {}

    def model(wanted: str) -> ChatModel:
        return models.get(wanted) or models.setdefault(wanted, make(wanted))

    async def chat(wanted: str) -> str:
        return (await model(wanted).execute(PROMPT, WorkflowContext())).text

    async def stream(wanted: str) -> AsyncIterator[str]:
        async with aclosing(model(wanted).stream(PROMPT, WorkflowContext())) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    yield event.text

    async def fallback(first: str, second: str) -> str:
        chain = chains.get((first, second))
        if chain is None:
            chain = chains[first, second] = FallbackPrimitive(model(first), [model(second)])
        return str((await chain.execute(PROMPT, WorkflowContext())).text)

    return Entrant(name, chat, stream, fallback)


def ours_openai(server: Loopback) -> Entrant:
    """Our model of OpenAI."""
    return ours(
        "OpenAIChatModel",
        lambda model: OpenAIChatModel(model, base_url=server.base_url, api_key=KEY),
    )


def ours_anthropic(server: Loopback) -> Entrant:
    """Our model of Anthropic."""
    return ours(
        "AnthropicChatModel",
        lambda model: AnthropicChatModel(
            model, base_url=server.root, api_key=KEY, max_tokens=1_000
        ),
    )
