"""Stream an answer to its end although the first model breaks off midway, in two ways."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Literal

from tta_llm import WorkflowContext
from tta_llm.messages import ChatRequest, Finish, StreamRestart, TextDelta
from tta_llm.providers import ModelInfo
from tta_llm.recovery import FallbackPrimitive
from tta_llm.testing import FakeChatModel

ANSWER = "Water the basil in the morning, and let the soil dry a little before the next time."


def second(request: ChatRequest) -> str:
    """Answer as a model does that goes on with the answer that the last message begins."""
    begun = request.messages[-1]
    return ANSWER.removeprefix(begun.text) if begun.role == "assistant" else ANSWER


async def show(midway: Literal["restart", "continue"]) -> None:
    breaks = FakeChatModel("Water the basil in the evening.", break_after=4, name="first")
    whole = FakeChatModel(second, info=ModelInfo(prefill=True), name="second")
    model = FallbackPrimitive(breaks, [whole], after_first_piece=midway)
    print(f"{midway}:")
    async with aclosing(model.stream("When do I water basil?", WorkflowContext())) as events:
        async for event in events:
            match event:
                case TextDelta():
                    print(event.text, end="", flush=True)
                case StreamRestart():  # a page would take back what it shows
                    print(f" …\n[{event.choice} begins anew: {event.reason}]")
                case Finish():
                    print("".join(f"\n[{each.choice} failed]" for each in event.failed_attempts))
    print()


asyncio.run(show("restart"))
asyncio.run(show("continue"))
