"""An assistant that takes the cheapest model that will do, within a budget for each request.

`python examples/tiered_assistant.py` asks it a few things and shows route and cost. `tta serve
examples/tiered_assistant.py:workflow` puts it behind HTTP. With no key stand-ins answer; with
OPENAI_API_KEY the vendor's models do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from tta_llm import Budget, WorkflowContext
from tta_llm.agents import Conversation
from tta_llm.providers import ChatModel, Price, chat_model
from tta_llm.routing import TIER_MODELS, ComplexityRouter
from tta_llm.testing import FakeChatModel

TIERS = {"fast": 0.1, "balanced": 1.0, "quality": 4.0}  # dollars for a million tokens in
PROMPTS = [
    "Hello!",
    "What is the capital of France?",
    "Compare two ways to store sessions, and say which you would take, and why.",
    "Prove that there are infinitely many primes, and that none of them is the last.",
]


def model(tier: str) -> ChatModel:
    """Make the tier's model: the vendor's where its key is set, else a stand-in."""
    if os.environ.get("OPENAI_API_KEY"):
        return chat_model(TIER_MODELS[f"openai:{tier}"], max_tokens=500)
    price = Price(input=TIERS[tier], output=5 * TIERS[tier])
    answer = f"An answer of the {tier} model."
    return FakeChatModel(answer, model=tier, price=price, max_tokens=500)


def assistant(models: Mapping[str, ChatModel]) -> Conversation:
    """Compose it: a router by difficulty, and a conversation around it."""
    return Conversation(ComplexityRouter(models))


@asynccontextmanager
async def workflow() -> AsyncIterator[Conversation]:
    """Make the models, and close them at the end."""
    async with AsyncExitStack() as opened:
        yield assistant({tier: await opened.enter_async_context(model(tier)) for tier in TIERS})


async def ask(bot: Conversation, prompt: str, dollars: float) -> None:
    # A route that might cost more than is left is not taken, and nothing is ever overspent.
    context = WorkflowContext(data={"session_id": "demo"}, budget=Budget(dollars=dollars))
    response = await bot.execute(prompt, context)
    route = f"{response.provider}:{response.model}"
    print(f"{prompt}\n  {response.text}\n  {route}, ${context.usage.cost_usd:.6f}\n")


async def main() -> None:
    async with workflow() as bot:
        for prompt in PROMPTS:
            await ask(bot, prompt, dollars=0.05)
        print("With little money left the nearest route that can be paid is taken.\n")
        await ask(bot, PROMPTS[-1], dollars=0.005)


if __name__ == "__main__":
    asyncio.run(main())
