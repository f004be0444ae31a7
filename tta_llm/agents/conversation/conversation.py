"""A step that remembers what was said before."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

from opentelemetry import trace

from tta_llm.agents.conversation.history import History
from tta_llm.agents.conversation.listening import Listener, said_in
from tta_llm.agents.conversation.measure import measure_of
from tta_llm.agents.conversation.memory_store import MemorySessionStore
from tta_llm.agents.conversation.store import Session, SessionKey, SessionStore, Turn
from tta_llm.agents.conversation.summary import Summarizer
from tta_llm.agents.conversation.turns import TurnKeeper, response_of
from tta_llm.agents.conversation.window import Frame, split
from tta_llm.agents.requester import session_of, tenant_of
from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._checks import at_least, positive
from tta_llm.core._typing import Pieces
from tta_llm.messages import (
    ChatInput,
    ChatRequest,
    ChatResponse,
    Finish,
    Message,
    StreamEvent,
    events_of,
)
from tta_llm.messages import system as system_message
from tta_llm.observability import configured
from tta_llm.observability.conventions import CONVERSATION
from tta_llm.rag.chat_step import ChatStep

__all__ = ["Conversation"]


class Conversation(WorkflowPrimitive[ChatInput, ChatResponse]):
    """Answers new messages with what was said before in view, and keeps what was said.

    `context.data["session_id"]` names the conversation, `context.data["tenant_id"]` whose it is.
    The model is shown what always is (`system`, `pinned`), the summary of what left its window, the
    newest whole turns that fit, and the new messages. Without a session nothing is kept, and the
    messages that are given are the conversation.

    A turn is stored before the model is asked, and what came of it afterwards. One that failed is
    in the history and is not shown to the model; one that was stopped is, once words had come. A
    request that is sent again with the same `context.data["request_id"]` gets the answer that it
    got at first, or another try under the same number; without that id it is a new turn.

    Args:
        answer: What answers: a model, a chain of them, an agent.
        store: Where sessions lie; in memory when missing.
        system: How to behave, as a text or messages.
        pinned: Messages that every session begins with, and that never leave the window.
        max_context_tokens: The window, answer included. It is the smallest one of the models in
            `answer` when missing, and never more; models whose window is unknown have 4,096 tokens.
        max_tokens: The longest answer, for requests that don't tell.
        summarize: A cheap model that sums up the turns that leave the window. When it fails they
            leave all the same: wrap it in a retry or a FallbackChain.
        ttl_seconds: A session is forgotten so long after its last turn; never when missing.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm import WorkflowContext
        from tta_llm.agents import Conversation
        from tta_llm.testing import FakeChatModel

        model = FakeChatModel(["Hi, Ada!", "Ada."])
        chat = Conversation(model, system="Be brief.")
        context = WorkflowContext(data={"session_id": "42"})
        chat.run("I am Ada.", context)
        assert chat.run("Who am I?", context).text == "Ada."
        said = [message.text for message in model.calls[1].messages]
        assert said == ["Be brief.", "I am Ada.", "Hi, Ada!", "Who am I?"]
        ```
    """

    def __init__(
        self,
        answer: ChatStep,
        *,
        store: SessionStore | None = None,
        system: str | Sequence[Message] = "",
        pinned: Sequence[Message] = (),
        max_context_tokens: int | None = None,
        max_tokens: int | None = None,
        summarize: ChatStep | None = None,
        ttl_seconds: float | None = None,
        name: str = "conversation",
    ) -> None:
        super().__init__(name=name)
        for value, what in ((max_context_tokens, "max_context_tokens"), (max_tokens, "max_tokens")):
            if value is not None:
                at_least(1, value, what)
        self._ttl_seconds = None if ttl_seconds is None else positive(ttl_seconds, "ttl_seconds")
        self._answer, self._summarize, self._max_tokens = answer, summarize, max_tokens
        self._store: SessionStore = MemorySessionStore() if store is None else store
        rules = [system_message(system)] if isinstance(system, str) else system
        self._fixed = (*(rules if system else ()), *pinned)
        self._measure = measure_of(answer, max_context_tokens, max_tokens)
        self._summarizer = None if summarize is None else Summarizer(summarize, self._measure)

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """What answers, and what sums up."""
        answer: list[tuple[str, WorkflowPrimitive[Any, Any]]] = [("answer", self._answer)]
        return answer if self._summarize is None else [*answer, ("summarize", self._summarize)]

    @property
    def idempotent(self) -> bool:
        """No: what is said twice is two turns."""
        return False

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        """Answer, and keep the turn.

        Raises:
            ContextLengthError: The new messages don't fit beside what is always shown; nothing was
                asked or kept.
        """
        keeper, request = await self._begin(input_data, context)
        if keeper.is_answered:
            return response_of(keeper.turn)
        try:
            response = await self._answer.execute(await request(context), context)
        except BaseException as error:
            await keeper.break_off(error)
            raise
        await keeper.finish(said_in(response), response)
        return response

    async def stream(self, input_data: ChatInput, context: WorkflowContext) -> Pieces:
        """Stream the answer; it is kept by the time that its Finish event comes.

        A stream that is closed early leaves the turn unfinished, with what was said by then.
        """
        keeper, request = await self._begin(input_data, context)
        if keeper.is_answered:
            for event in events_of(response_of(keeper.turn)):
                yield event
            return
        listener = Listener()
        try:
            async with aclosing(self._events(await request(context), context)) as events:
                async for event in events:
                    listener.add(event)
                    if not isinstance(event, Finish):
                        yield event
            end, said = listener.finish, listener.said()
        except BaseException as error:
            await keeper.break_off(error, listener.said_so_far())
            raise
        await keeper.finish(said, end)
        yield end

    def answered_by(self, answer: ChatStep) -> Conversation:
        """Give the same conversation, its next turns answered by another step."""
        other = copy.copy(self)
        other._answer = answer  # noqa: SLF001  # of its own class
        return other

    async def history(
        self, session_id: str, *, tenant_id: str = "", last: int = 100
    ) -> tuple[Turn, ...]:
        """Give the latest turns in order, those that failed included."""
        return await self._store.turns(
            SessionKey(session_id, tenant_id), limit=at_least(1, last, "last")
        )

    async def pin(self, session_id: str, *messages: Message, tenant_id: str = "") -> None:
        """Add messages that are always shown in this session, before all that was said in it."""
        key = SessionKey(session_id, tenant_id)
        is_done = False
        while not is_done:
            session = await self._store.session(key) or Session()
            more = dataclasses.replace(session, pinned=(*session.pinned, *messages))
            is_done = await self._store.change(key, more, self._ttl_seconds)

    async def delete(self, session_id: str, *, tenant_id: str = "") -> bool:
        """Forget a conversation; tell whether there was one."""
        return await self._store.delete(SessionKey(session_id, tenant_id))

    async def delete_tenant(self, tenant_id: str) -> int:
        """Forget all conversations of a tenant; tell how many there were."""
        return await self._store.delete_tenant(tenant_id)

    async def aclose(self) -> None:
        """Close the store's files and connections; it can be used again afterwards."""
        await self._store.aclose()

    async def _begin(
        self, input_data: ChatInput, context: WorkflowContext
    ) -> tuple[TurnKeeper, _MakeRequest]:
        """Begin a turn; give what stores it, and what makes the request with its history."""
        request, key = ChatRequest.of(input_data), _key_of(context)
        keeper = TurnKeeper(self._store, key, self._ttl_seconds)
        if key is None:
            return keeper, self._trimmed(request)
        session = await self._store.session(key) or Session()
        frame = self._frame(request, session.pinned)
        turn = await keeper.begin(request, context)
        history = History(self._store, key, self._measure, self._summarizer, self._ttl_seconds)
        return keeper, functools.partial(history.request, frame, session, turn.number)

    def _trimmed(self, request: ChatRequest) -> _MakeRequest:
        last, units = split(request)
        frame = self._frame(last)

        async def make(_: WorkflowContext) -> ChatRequest:
            return frame.request(frame.show(units, frame.room).messages)

        return make

    def _frame(self, request: ChatRequest, pinned: Sequence[Message] = ()) -> Frame:
        return Frame(request, (*self._fixed, *pinned), self._measure, self._max_tokens)

    async def _events(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        async with aclosing(self._answer.stream(request, context)) as pieces:
            async for piece in pieces:
                # A step that does not stream gives its whole answer.
                for event in events_of(piece) if isinstance(piece, ChatResponse) else (piece,):
                    yield event


_MakeRequest: TypeAlias = Callable[[WorkflowContext], Awaitable[ChatRequest]]


def _key_of(context: WorkflowContext) -> SessionKey | None:
    """Give the session of the request, and tell it on the span; None when it has none."""
    session_id = session_of(context)
    if session_id is None:
        return None
    if configured():
        told = session_id.encode("utf-8", "replace").decode()
        trace.get_current_span().set_attribute(CONVERSATION, told)
    return SessionKey(session_id, tenant_of(context))
