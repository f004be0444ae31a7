"""Let a model answer from the chunks that were found, and check what it cites."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._checks import at_least, one_of
from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import InvalidResponseError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Finish,
    StreamEvent,
    StreamRestart,
    TextDelta,
    ToolCallDelta,
    events_of,
)
from tta_llm.providers import Embedder
from tta_llm.rag.answers.answer import Answer, not_found
from tta_llm.rag.answers.answer_events import AnswerEvent, AnswerRestart, answer_events
from tta_llm.rag.answers.checking import Checker, Means
from tta_llm.rag.answers.leaks import Leaks
from tta_llm.rag.answers.prompt_sources import ReadPassage, read_sources
from tta_llm.rag.answers.prompting import Prompt, budget_of, write_prompt
from tta_llm.rag.answers.writing import AnswerWriter, Ending, Unsupported
from tta_llm.rag.chat_step import ChatStep
from tta_llm.rag.search.search import SearchResult

__all__ = ["GenerateAnswer"]


class GenerateAnswer(WorkflowPrimitive[SearchResult, Answer]):
    """Asks a model with numbered sources, and checks each sentence against what it cites.

    A citation holds when the source has the sentence's numbers with their units, its names and
    quotes, says no opposite, and has half of its other content. `Answer.citations` tell the
    sentence of the source that says it, `Answer.unsupported` the sentences that no source says.

    The sources are data. They stand between marks that they can't contain, without the letters that
    people don't see; the model is offered no tools, and what it asks to call is not called. An
    answer that repeats the instructions is withheld. Where a source gives orders to the model,
    sentences without a citation that holds are left out.

    A stream gives each sentence when it has been checked, then its citations, and at last the
    whole `Answer`; an `AnswerRestart` takes back what came before it.

    Args:
        model: A chat model, or any step from a request to a response.
        max_context_tokens: The most tokens of a request and its answer; the model's window when
            missing, or 4,096 where that is unknown. Sources that don't fit are left out, and the
            answer's notes say so.
        max_tokens: The longest answer; left to the model when missing.
        unsupported: What becomes of a citation that does not hold: `mark` writes "[1?]", `remove`
            takes it out, `keep` leaves it. The answer's notes tell of it in each case.
        min_relevance: When no hit's `dense` and `coverage` average to this, the model is not asked:
            the documents don't have it.
        read: Gives the longer passage of a chunk that has a parent, to be read in its place, such
            as `index.passage`.
        embedder: Lets sentences in other words than the source's hold.
        judge: A model that is asked of each citation that holds as far as can be told without.
        instructions: More rules for the model, such as the tone.
        name: What spans, metrics and drawings call it.

    Raises:
        ContextLengthError: From `execute`, when the question does not fit.

    Example:
        ```python
        from tta_llm.rag import GenerateAnswer
        from tta_llm.testing import FakeChatModel

        generate_response = GenerateAnswer(FakeChatModel("Nine hours [1]."))
        assert generate_response.name == "generate_response"
        ```
    """

    def __init__(
        self,
        model: ChatStep,
        *,
        max_context_tokens: int | None = None,
        max_tokens: int | None = None,
        unsupported: Unsupported = "mark",
        min_relevance: float = 0.0,
        read: ReadPassage | None = None,
        embedder: Embedder | None = None,
        judge: ChatStep | None = None,
        instructions: str = "",
        name: str = "generate_response",
    ) -> None:
        super().__init__(name=name)
        for value, what in ((max_context_tokens, "max_context_tokens"), (max_tokens, "max_tokens")):
            if value is not None:
                at_least(1, value, what)
        self._model, self._max_tokens = model, max_tokens
        self._max_context_tokens, self._min_relevance = max_context_tokens, min_relevance
        self._unsupported: Unsupported = one_of(get_args(Unsupported), unsupported, "unsupported")
        self._read, self._means = read, Means(embedder, judge)
        self._instructions = instructions

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The model, and what checks its answer."""
        checks = (self._means.embedder, self._means.judge)
        return [("asks", self._model), *(("checks", each) for each in checks if each is not None)]

    async def execute(self, input_data: SearchResult, context: WorkflowContext) -> Answer:
        """Ask the model; without any source it is not asked."""
        prompt = await self._prompt(input_data)
        if not prompt.sources:
            return not_found(input_data.query.text, None, *prompt.notes)
        response = await self._model.execute(prompt.request, context)
        reading = _Reading(self._writer(input_data, prompt, context))
        for event in events_of(response):
            await reading.take(event)
        return reading.answer()

    async def stream(
        self, input_data: SearchResult, context: WorkflowContext
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Yield the answer's sentences and citations as they come, and at last the whole."""
        prompt = await self._prompt(input_data)
        if not prompt.sources:
            for event in answer_events(not_found(input_data.query.text, None, *prompt.notes)):
                yield event
            return
        reading = _Reading(self._writer(input_data, prompt, context))
        async with aclosing(self._model.stream(prompt.request, context)) as pieces:
            async for piece in pieces:
                # A step without a stream of its own yields its response.
                whole = isinstance(piece, ChatResponse)
                for told in events_of(piece) if whole else (piece,):
                    for shown in await reading.take(told):
                        yield shown
        reading.answer()

    async def _prompt(self, result: SearchResult) -> Prompt:
        relevance = max(((hit.dense + hit.coverage) / 2 for hit in result.hits), default=0.0)
        # A cosine may be below 0; without a minimum the model is asked all the same.
        if self._min_relevance > max(relevance, 0):
            return Prompt(
                ChatRequest(result.query.text),
                (),
                ("What was found has too little to do with the question.",),
            )
        query = result.query.query
        sources = await read_sources(result, self._read)
        budget = budget_of(self._model, self._max_context_tokens, self._max_tokens)
        write = partial(write_prompt, instructions=self._instructions, max_tokens=self._max_tokens)
        prompt: Prompt = await finish_in_thread(write, query, sources, budget)
        return prompt

    def _writer(
        self, result: SearchResult, prompt: Prompt, context: WorkflowContext
    ) -> Callable[[], AnswerWriter]:
        question = result.query.text
        allowed = (question, *(source.text for source in prompt.sources))

        def begin() -> AnswerWriter:
            leaks = Leaks([prompt.rules], allowed)
            checker = Checker(question, prompt.sources, self._means, context)
            return AnswerWriter(checker, leaks, self._unsupported, prompt.notes)

        return begin


class _Reading:
    """Hands the events of a model to a writer, and begins anew when the model does."""

    def __init__(self, begin: Callable[[], AnswerWriter]) -> None:
        self._begin, self._writer = begin, begin()
        self._tools: list[str] = []
        self._answer: Answer | None = None

    async def take(self, event: StreamEvent) -> Sequence[AnswerEvent]:
        match event:
            case TextDelta():
                return await self._writer.feed(event.text)
            case ToolCallDelta(name=str(name)):
                self._tools.append(name)
            case StreamRestart():
                shown, self._writer, self._tools = self._writer.text, self._begin(), []
                return [AnswerRestart(event.reason, event.choice)] if shown else []
            case Finish():
                return await self._finish(event)
        return ()

    async def _finish(self, event: Finish) -> Sequence[AnswerEvent]:
        model = f"{event.provider}:{event.model}"
        ending = Ending(event.finish_reason, model, tuple(dict.fromkeys(self._tools)))
        events, answer = await self._writer.finish(ending)
        self._answer = replace(answer, failed_attempts=event.failed_attempts)
        return [*events, self._answer]

    def answer(self) -> Answer:
        if self._answer is None:
            raise InvalidResponseError("the model's stream ended without its finish event")
        return self._answer
