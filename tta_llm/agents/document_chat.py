"""Chatting with documents: questions answered with citations, in the form of a model's answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import InvalidRequestError, InvalidResponseError
from tta_llm.messages import (
    ChatInput,
    ChatRequest,
    ChatResponse,
    Message,
    ProgressEvent,
    ResponseBuilder,
    StreamEvent,
    StreamRestart,
    TextDelta,
    TextPart,
    Usage,
    WholeResponse,
    assistant,
    events_of,
)
from tta_llm.rag import Answer, AnswerCitation, AnswerRestart, AnswerText, Citation, Query
from tta_llm.rag.answers.answer_events import AnswerEvent, answer_events

__all__ = ["AnswerCited", "CitedResponse", "DocumentChat"]

_PROVIDER, _QUOTED = "documents", "quoted"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CitedResponse(ChatResponse):
    """An answer from documents, in the form of a model's.

    Args:
        answer: The answer with its citations and notes.
    """

    answer: Answer


@dataclass(frozen=True, slots=True)
class AnswerCited(ProgressEvent):
    """A citation whose number stands in the text that came just before."""

    citation: Citation


class DocumentChat(WorkflowPrimitive[ChatInput, CitedResponse]):
    """Lets a pipeline over documents stand where a chat model stands.

    The last message is the question, those before it are `Query.history`: a pipeline that begins
    with `RewriteQuery` understands a question that goes on with them, any other searches for the
    last question alone. How to write, such as the temperature, is the pipeline's own affair and
    not taken from the request.

    A stream folds to what `execute` returns, which comes whole in a `WholeResponse` near its end.

    Args:
        answer: From a question to an answer, such as `rag_pipeline(index, model)`.
        name: What spans, metrics and drawings call it.

    Raises:
        InvalidRequestError: When the last message is no text from the user, or the request has
            tools or asks for a format.

    Example:
        ```python
        from tta_llm import step
        from tta_llm.agents import DocumentChat
        from tta_llm.rag import Answer, Query

        @step
        def answer(query: Query) -> Answer:
            return Answer(query.text, "Nine hours.", found=True)

        response = DocumentChat(answer).run("How long does the battery last?")
        assert (response.text, response.provider) == ("Nine hours.", "documents")
        ```
    """

    def __init__(
        self, answer: WorkflowPrimitive[Query, Answer], *, name: str = "document_chat"
    ) -> None:
        super().__init__(name=name)
        self._answer = answer

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The pipeline."""
        return [("answers", self._answer)]

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> CitedResponse:
        """Ask the pipeline."""
        query, own = _query(input_data), context.metered(context.data)
        return _response(await self._answer.execute(query, own), own)

    async def stream(
        self, input_data: ChatInput, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the answer's text and citations as they come."""
        query, own = _query(input_data), context.metered(context.data)
        shown, whole = ResponseBuilder(), None
        async with aclosing(self._answer.stream(query, own)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answer):
                    whole = piece
                    continue
                event = self._told(piece)
                shown.add(event)
                yield event
        if whole is None:
            raise InvalidResponseError("the pipeline's stream ended without its answer")
        for event in self._rest(whole, shown.text):
            yield event
        response = _response(whole, own)
        yield WholeResponse(response)
        for event in events_of(response):
            if not isinstance(event, TextDelta):
                yield event

    def _told(self, piece: AnswerEvent) -> StreamEvent:
        match piece:
            case AnswerText():
                return TextDelta(piece.text)
            case AnswerCitation():
                return AnswerCited(piece.citation)
            case AnswerRestart():
                return StreamRestart(piece.choice or self.name, piece.reason)
        raise TypeError(f"{type(piece).__name__} is no piece of an answer")

    def _rest(self, answer: Answer, shown: str) -> Sequence[StreamEvent]:
        """What a pipeline that gives its answer whole has not told by then."""
        if shown == answer.text:
            return ()
        again = (StreamRestart(self.name, "the whole answer is another"),) if shown else ()
        *pieces, _ = answer_events(answer)
        return [*again, *map(self._told, pieces)]


def _query(input_data: ChatInput) -> Query:
    request = ChatRequest.of(input_data)
    if request.tools or request.response_format is not None:
        raise _refused("documents are answered from in words: leave out tools and response_format")
    *before, last = request.messages
    if last.role != "user":
        raise _refused(f"the last message is from the {last.role}: end with the user's question")
    for part in last.parts:
        if not isinstance(part, TextPart):
            raise _refused(f"a question to documents is text, without {type(part).__name__}")
    if not last.text.strip():
        raise _refused("the question is empty: ask something")
    return Query(last.text, history=tuple(filter(_is_said, before)))


def _is_said(message: Message) -> bool:
    """Whether the message belongs to what was said, and not to rules or to work with tools."""
    return message.role in ("user", "assistant") and bool(message.text.strip())


def _refused(why: str) -> InvalidRequestError:
    return InvalidRequestError(why, provider=_PROVIDER)


def _response(answer: Answer, context: WorkflowContext) -> CitedResponse:
    ledger = context.usage
    provider, _, model = (answer.model or f"{_PROVIDER}:{_QUOTED}").partition(":")
    used = (each.usage for each in ledger.by_model.values())
    return CitedResponse(
        message=assistant(answer.text),
        finish_reason="stop",
        usage=sum(used, Usage()),
        model=model,
        provider=provider,
        cost_usd=None if ledger.unpriced_calls else ledger.cost_usd,
        failed_attempts=answer.failed_attempts,
        answer=answer,
    )
