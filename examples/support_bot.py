"""A support bot over the documents beside this script, on whichever provider is up.

`python examples/support_bot.py` asks it a few questions. `tta serve
examples/support_bot.py:workflow` puts it behind HTTP, with a page to chat on. With no key the
documents are quoted; with keys a model writes, and the next provider is asked when one is down.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tta_llm import WorkflowContext
from tta_llm.agents import CitedResponse, Conversation, DocumentChat
from tta_llm.providers import ChatModel, chat_model
from tta_llm.rag import Index, IngestDocuments, RewriteQuery, rag_pipeline
from tta_llm.recovery import FallbackPrimitive
from tta_llm.routing import TIER_MODELS, FallbackChain

DOCUMENTS = Path(__file__).parent / "documents"
VENDORS = {
    "OPENAI_API_KEY": "openai",
    "ANTHROPIC_API_KEY": "anthropic",
    "GOOGLE_API_KEY": "google",
}
QUESTIONS = [
    "How long does a full battery last without sun?",
    "How are the packets encrypted?",
    "Who won the 2018 world cup?",
]


def models() -> list[ChatModel]:
    """Make a model of each vendor whose key is set."""
    vendors = [vendor for key, vendor in VENDORS.items() if os.environ.get(key)]
    return [chat_model(TIER_MODELS[f"{vendor}:balanced"]) for vendor in vendors]


def support_bot(index: Index, providers: list[ChatModel]) -> Conversation:
    """Compose the bot: who writes is asked in order, and at last the documents are quoted."""
    quotes = rag_pipeline(index)
    if not providers:
        return Conversation(DocumentChat(quotes))
    alone = len(providers) == 1
    model = providers[0] if alone else FallbackChain(providers, after_first_piece="restart")
    writes = rag_pipeline(index, model, rewrite=RewriteQuery(model))
    return Conversation(DocumentChat(FallbackPrimitive(writes, [quotes])))


@asynccontextmanager
async def workflow() -> AsyncIterator[Conversation]:
    """Read the documents, and close at the end what was opened."""
    async with AsyncExitStack() as opened:
        # In memory, so that this script leaves nothing; `Index.open(folder)` keeps it.
        index = await opened.enter_async_context(Index())
        await IngestDocuments(index).execute(DOCUMENTS, WorkflowContext())
        providers = [await opened.enter_async_context(each) for each in models()]
        yield support_bot(index, providers)


async def main() -> None:
    async with workflow() as bot:
        for question in QUESTIONS:
            # Who goes on with a session is told what was said in it.
            context = WorkflowContext(data={"session_id": "demo"}, timeout_seconds=60)
            response = await bot.execute(question, context)
            print(f"{question}\n  {response.text}")
            if isinstance(response, CitedResponse):
                for citation in response.answer.citations:
                    print(f"  [{citation.number}] {citation.location}")
            for failed in response.failed_attempts:
                print(f"  {failed.choice} did not answer: {failed.reason}")
            print(f"  answered by {response.provider}:{response.model}\n")


if __name__ == "__main__":
    asyncio.run(main())
