"""The workflows that the tests serve from another process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tta_llm.errors import OverloadedError, RateLimitError
from tta_llm.messages import ChatRequest, Message, ToolCall, assistant
from tta_llm.routing import FallbackChain
from tta_llm.testing import FakeAnswer, FakeChatModel

PEOPLE = '{"name": "Ada", "age": 36}'


def _answer(request: ChatRequest) -> FakeAnswer:
    last = request.messages[-1]
    if request.response_format is not None:
        return PEOPLE
    if last.role == "tool":
        return f"It is {last.parts[0].content} there."  # type: ignore[union-attr]
    if request.tools:
        return _call(request)
    if "limit" in last.text:
        return RateLimitError("the key sk-canary-inner is over its limit", retry_after=7)
    return f"You said: {last.text}"


def _call(request: ChatRequest) -> Message:
    return assistant([ToolCall("call-1", request.tools[0].name, {"city": "Paris"})])


bot = FakeChatModel(_answer, model="scripted", provider="fake")
slow = FakeChatModel(" ".join(f"word{n}" for n in range(20)), word_delay=0.1, model="slow")
down = FakeChatModel(OverloadedError("no capacity"), model="down")
chain = FallbackChain([down, bot], max_retries=0)


@asynccontextmanager
async def opened() -> AsyncIterator[FakeChatModel]:
    yield bot
