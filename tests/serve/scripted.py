"""A server that says what it is told to, for the page to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, Iterator
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.rag.answering import POWER, PRICES, found
from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.agents import AnswerCited, DocumentChat
from tta_llm.agents.requester import session_of
from tta_llm.messages import (
    ChatInput,
    ChatRequest,
    ChatResponse,
    Finish,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    user,
)
from tta_llm.providers import Price
from tta_llm.rag import Citation, GenerateAnswer, Query, SearchResult
from tta_llm.rag.documents import Span
from tta_llm.routing import FallbackChain
from tta_llm.serve import ServeSettings, create_app
from tta_llm.testing import FakeChatModel

SAYS = (
    "A full battery lasts **40 days** without any sun [1]. "
    "Expect a battery to hold out five to seven years [1].\n\n"
    "A station with a hub costs 189 euros [2]. Schools get a discount of 50 percent [2]."
)
EVIL = (
    "<script>window.hit = 1</script> <img src=x onerror='window.hit = 2'> [1] [1?]\n\n"
    "[a](javascript:window.hit=3) [b](JaVaScRiPt:alert(1)) [c](data:text/html,<script>1</script>) "
    '[d](java\tscript:alert(1)) [e](https://evil.example/"onmouseover=alert(1)) '
    "![f](https://evil.example/g.png) [[x](javascript:alert(1))](https://evil.example/x) "
    "[h](https://bank.example@evil.example) <https://evil.example/auto>\n\n"
    "\x1b[31mred\x1b[0m \u202egnp.exe\u202c <svg/onload=alert(1)> &lt;b&gt;\n\n"
    "| <img src=x onerror=alert(1)> | b |\n|---|---|\n"
    "| `<script>` | <iframe src=//evil.example> |\n"
    "\n```html\n<script>alert(1)</script>\n```\n"
)
TAG = "<img src=x onerror='window.hit=9'>"


def outage() -> DocumentChat:
    """Documents, answered by a model that breaks off and another that goes on."""

    @step
    def search(query: Query) -> SearchResult:
        return found(POWER, PRICES, query=query)

    breaks = FakeChatModel(SAYS, break_after=30, word_delay=0.02, name="openai:first")
    price = Price(2, 8)
    goes_on = FakeChatModel(
        SAYS, word_delay=0.02, model="second", provider="anthropic", price=price
    )
    chain = FallbackChain([breaks, goes_on], after_first_piece="restart", max_retries=0)
    return DocumentChat(search >> GenerateAnswer(chain))


def evil_citation() -> Citation:
    places = {"line_start": 1, "line_end": 2, "page": None, "chunk_id": "c", "span": Span(0, 1)}
    told: dict[str, Any] = {**places, "path": TAG, "title": TAG, "headings": (TAG,)}
    return Citation(1, TAG, **told, claim=TAG, problem=TAG)


class Scripted(WorkflowPrimitive[ChatInput, ChatResponse]):
    """Does what the question says, and remembers what was said."""

    def __init__(self) -> None:
        super().__init__(name="scripted")
        self.turns: dict[str, list[Any]] = {}
        self.closed = 0

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        raise NotImplementedError

    async def stream(
        self, input_data: ChatInput, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        question = ChatRequest.of(input_data).messages[-1].text
        text, kept = "", self.turns.setdefault(session_of(context) or "", [])
        try:
            async for event in self._events(question, context):
                text += event.text if isinstance(event, TextDelta) else ""
                yield event
        except (GeneratorExit, asyncio.CancelledError):
            self.closed += 1
            raise
        said = [user(question), SimpleNamespace(role="assistant", text=text)]
        kept.append(SimpleNamespace(number=len(kept) + 1, status="finished", messages=said))

    async def _events(self, question: str, context: WorkflowContext) -> AsyncGenerator[Any, None]:
        kind = question.partition(" ")[0]
        if kind == "sun":
            async for event in outage().stream(question, context):
                yield event
            return
        if kind == "evil":
            call = ToolCall("1", TAG, {TAG: TAG})
            yield ToolStarted(call)
            yield ToolFinished(call, ToolResult("1", "no", is_error=True), 0.5)
        for piece in self._texts(kind):
            yield TextDelta(piece)
            await asyncio.sleep(0.01 if kind != "long" else 0)
        if kind == "slow":
            await asyncio.sleep(30)
        if kind == "evil":
            yield AnswerCited(evil_citation())
        yield Finish(finish_reason="stop", model=TAG if kind == "evil" else "m", provider="p")

    def _texts(self, kind: str) -> Iterator[str]:
        if kind == "evil":
            yield from (EVIL[at : at + 7] for at in range(0, len(EVIL), 7))
        elif kind == "long":
            yield from (f"word{n} " + "\n\n" * (n % 60 == 59) for n in range(10_000))
        else:
            yield from ("Well, ", "that ", "is so.")

    async def history(self, session_id: str, *, tenant_id: str = "") -> Any:
        return self.turns.get(session_id, [])

    async def delete(self, session_id: str, *, tenant_id: str = "") -> bool:
        return self.turns.pop(session_id, None) is not None


@contextlib.contextmanager
def serving(
    workflow: Any, settings: ServeSettings, under: str = ""
) -> Iterator[tuple[str, uvicorn.Server]]:
    """A real server on loopback, in a thread; `under` a path of another application."""
    app = Starlette(routes=[Mount(under, create_app(workflow, settings))])
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}{under}/", server
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
