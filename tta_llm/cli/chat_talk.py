"""Who is talked with in a chat: the documents, the model, and the conversation around them."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from tta_llm.agents import (
    Conversation,
    DocumentChat,
    MemorySessionStore,
    SessionStore,
    SQLiteSessionStore,
    Turn,
)
from tta_llm.agents.conversation.turns import REQUEST_ID
from tta_llm.agents.requester import SESSION_ID
from tta_llm.cli.chat import ChatOptions
from tta_llm.cli.chat_reply import Reply
from tta_llm.cli.documents import read_filter
from tta_llm.cli.exits import UsageError
from tta_llm.cli.models import chosen_name, model_of
from tta_llm.core import WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import TTAError
from tta_llm.messages import ChatResponse, StreamEvent, events_of
from tta_llm.places import state_folder
from tta_llm.providers import ChatModel
from tta_llm.rag.answers.answer import Answer
from tta_llm.rag.answers.generate import GenerateAnswer
from tta_llm.rag.chat_step import ChatStep
from tta_llm.rag.index.index import Index
from tta_llm.rag.pipeline import rag_pipeline
from tta_llm.rag.search.queries import RewriteQuery
from tta_llm.rag.search.query import Query
from tta_llm.routing import FallbackChain

__all__ = ["TOLD", "Recorder", "Talk", "talking"]

Recorder = Callable[[str], AbstractContextManager[None]]
"""Records a block as a run of its own, under a name."""

TOLD = (TTAError, OSError, ImportError, ValueError)
"""What is told in a sentence; anything else is a fault of the program."""

_NOBODY = (
    "there is nobody to talk with: give --docs PATH to ask documents, which needs no key; or set "
    "OPENAI_API_KEY, give --model openai:NAME, anthropic:NAME or google:NAME with their key set, "
    "or --base-url URL for a server of your own"
)


class Talk:
    """A conversation that goes on, whoever answers in it."""

    def __init__(
        self,
        options: ChatOptions,
        models: Sequence[ChatModel],
        index: Index | None,
        store: SessionStore,
        recorder: Recorder,
    ) -> None:
        self._options, self._index, self._store = options, index, store
        self._where = read_filter(options.where)
        self._recorder = recorder
        self._session = options.session or "chat"
        self._models, self._conversation = models, self._with(models)
        self.replies: list[Reply] = []

    @property
    def answered_by(self) -> str:
        """Who answers, for people."""
        return (
            ", then ".join(each.name for each in self._models) or "no model: documents are quoted"
        )

    def path(self, below: str) -> str:
        """A document's path as it can be opened from where the command was typed."""
        documents = self._options.documents
        return below if documents is None else documents.path(below)

    async def use(self, name: str) -> None:
        """Let this model answer from here on, or these, with commas between them.

        Raises:
            UsageError: There is none of that name, or nobody at all to talk with.
            TTAError: Its server does not answer, or its key or package is missing.
        """
        models = await _models(self._options, name)
        await self.aclose()
        self._models, self._conversation = models, self._with(models)

    def begin(self, question: str) -> Reply:
        """Take a question."""
        data: dict[str, Any] = {REQUEST_ID: uuid.uuid4().hex}
        if self._options.keep:
            data[SESSION_ID] = self._session
        return self._begun(Reply(question, WorkflowContext(data=data)))

    def begin_again(self) -> Reply | None:
        """Take the last question once more; None when there is none.

        An answer that did not come to its end is given another try in its place.
        """
        if not self.replies:
            return None
        last = self.replies[-1]
        if last.builder.finish is not None:
            return self.begin(last.question)
        return self._begun(Reply(last.question, WorkflowContext(data={**last.context.data})))

    def _begun(self, reply: Reply) -> Reply:
        self.replies.append(reply)
        return reply

    async def answer(self, reply: Reply, show: Callable[[StreamEvent], None]) -> None:
        """Ask, and show each piece of the answer as it comes; an error is kept in the reply."""
        started = time.perf_counter()
        try:
            with self._recorder("tta chat"):
                stream = self._conversation.stream(reply.question, reply.context)
                async with aclosing(stream) as pieces:
                    async for piece in pieces:
                        for event in _events(piece):
                            reply.add(event)
                            show(event)
        except TOLD as error:
            reply.error = error
        finally:
            reply.seconds = time.perf_counter() - started

    async def history(self, last: int) -> Sequence[Turn]:
        """Give the latest turns."""
        return await self._conversation.history(self._session, last=last)

    async def clear(self) -> bool:
        """Forget the conversation, and tell whether there was one."""
        self.replies.clear()
        return await self._conversation.delete(self._session)

    async def aclose(self) -> None:
        """Close the connections to the models."""
        for each in self._models:
            await each.aclose()

    def _with(self, models: Sequence[ChatModel]) -> Conversation:
        model, system = _one_of(models), self._options.system
        if self._index is None:
            assert model is not None
            return Conversation(model, store=self._store, system=system)
        pipeline = self._pipeline(self._index, model, system)
        return Conversation(DocumentChat(pipeline), store=self._store)

    def _pipeline(
        self, index: Index, model: ChatStep | None, system: str
    ) -> WorkflowPrimitive[str | Query, Answer]:
        where, generate = self._where, None

        @step
        def narrow(query: str | Query) -> Query:
            return replace(Query.of(query), where=where)

        if model is not None:
            generate = GenerateAnswer(model, read=index.passage, instructions=system)
        rewrite = narrow if model is None else RewriteQuery(model) >> narrow
        return rag_pipeline(index, top_k=self._options.top_k, rewrite=rewrite, generate=generate)


@asynccontextmanager
async def talking(options: ChatOptions, recorder: Recorder) -> AsyncGenerator[Talk, None]:
    """Open what is talked with, its documents brought up to date.

    Raises:
        UsageError: There is nobody to talk with.
        TTAError: The documents, the index or the model failed.
    """
    async with AsyncExitStack() as stack:
        models = await _models(options, chosen_name(options.model, options.base_url))
        for each in models:
            stack.push_async_callback(each.aclose)
        index = None
        if options.documents is not None:
            opened = options.documents.opened(quiet=options.as_json)
            index, report = await stack.enter_async_context(opened)
            options.documents.print_skipped(report)
        store = _store(options)
        stack.push_async_callback(store.aclose)
        talk = Talk(options, models, index, store, recorder)
        stack.push_async_callback(talk.aclose)
        yield talk


async def _models(options: ChatOptions, name: str | None) -> Sequence[ChatModel]:
    names = [None] if name is None else [each.strip() for each in name.split(",")]
    models = [await model_of(each, options.base_url) for each in names]
    if options.documents is None and not any(models):
        raise UsageError(_NOBODY)
    return [each for each in models if each is not None]


def _store(options: ChatOptions) -> SessionStore:
    if options.session is None:
        return MemorySessionStore()
    try:
        (folder := state_folder()).mkdir(mode=0o700, parents=True, exist_ok=True)
    except (RuntimeError, OSError) as error:
        raise TTAError(
            f"there is no place for conversations: {error}; set XDG_STATE_HOME to a folder of yours"
        ) from error
    return SQLiteSessionStore(folder / "sessions.sqlite3")


def _one_of(models: Sequence[ChatModel]) -> ChatStep | None:
    if len(models) < 2:
        return models[0] if models else None
    return FallbackChain(models, after_first_piece="restart")


def _events(piece: StreamEvent | ChatResponse) -> Iterable[StreamEvent]:
    # A step without a stream of its own yields its response.
    return events_of(piece) if isinstance(piece, ChatResponse) else (piece,)
