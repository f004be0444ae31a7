"""What came back for a question of a chat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce

from tta_llm.agents.document_chat import AnswerCited, CitedResponse
from tta_llm.core import WorkflowContext
from tta_llm.messages import (
    ResponseBuilder,
    StreamEvent,
    StreamRestart,
    ToolFinished,
    WholeResponse,
)
from tta_llm.observability.runs.figures import NO_FIGURES, Figures
from tta_llm.rag.answers.answer import Citation

__all__ = ["Reply"]


@dataclass(slots=True)
class Reply:
    """An answer as far as it has come.

    Args:
        question: What was asked.
        context: What it is asked with; it knows what the models used.
        builder: Adds up what is streamed.
        citations: The places that it rests on.
        notes: What the reader should know of how it came about.
        tools: What was called for it.
        seconds: How long it took.
        error: Why it did not come to its end.
    """

    question: str
    context: WorkflowContext
    builder: ResponseBuilder = field(default_factory=ResponseBuilder)
    citations: list[Citation] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    tools: list[ToolFinished] = field(default_factory=list)
    seconds: float = 0.0
    error: Exception | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return self.builder.text

    @property
    def by_model(self) -> Mapping[str, Figures]:
        """What each model used for it."""
        return {
            f"{provider}:{model}": Figures(
                calls=used.calls,
                input_tokens=used.usage.input_tokens,
                output_tokens=used.usage.output_tokens,
                cost_usd=used.cost_usd if used.calls > used.unpriced_calls else None,
                unknown_costs=used.unpriced_calls,
            )
            for (provider, model), used in self.context.usage.by_model.items()
        }

    @property
    def figures(self) -> Figures:
        """What all of them used."""
        return reduce(Figures.__add__, self.by_model.values(), NO_FIGURES)

    def add(self, event: StreamEvent) -> None:
        """Take the next piece."""
        self.builder.add(event)
        match event:
            case StreamRestart():
                self.citations.clear()
            case AnswerCited():
                self.citations.append(event.citation)
            case ToolFinished():
                self.tools.append(event)
            case WholeResponse(response=CitedResponse() as response):
                self.notes = response.answer.notes
