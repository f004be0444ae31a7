"""Turn what a model writes into an answer, each sentence checked before it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tta_llm.messages import FinishReason
from tta_llm.rag.answers.answer import Answer, Citation, not_found
from tta_llm.rag.answers.answer_events import AnswerCitation, AnswerEvent, AnswerRestart, AnswerText
from tta_llm.rag.answers.checking import Checker
from tta_llm.rag.answers.claims import facts, is_quoted
from tta_llm.rag.answers.leaks import Leaks, without_unknown_links
from tta_llm.rag.answers.marks import Mark, find_marks, without_marks
from tta_llm.rag.answers.prompting import NOT_FOUND
from tta_llm.rag.answers.units import Unit, UnitSplitter

__all__ = ["AnswerWriter", "Ending", "Unsupported"]

Unsupported: TypeAlias = Literal["mark", "remove", "keep"]
"""What becomes of a citation that does not support its sentence."""

_DONE = {
    "mark": "it is marked with a question mark",
    "remove": "it was removed",
    "keep": "it was kept",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a model's answer ended."""

    finish_reason: FinishReason
    model: str
    tools: tuple[str, ...] = ()


@dataclass(slots=True)
class AnswerWriter:
    """Takes a model's text piece by piece and gives an answer's events.

    Args:
        checker: Knows the sources.
        leaks: Knows what may not be repeated.
        unsupported: What becomes of citations that don't support their sentence.
        notes: What is to be said of the answer whatever it is.
    """

    checker: Checker
    leaks: Leaks
    unsupported: Unsupported
    notes: Sequence[str] = ()
    _units: UnitSplitter = field(default_factory=UnitSplitter)
    _texts: list[str] = field(default_factory=list)
    _blanks: str = ""
    _citations: list[Citation] = field(default_factory=list)
    _unknown: set[int] = field(default_factory=set)
    _doubtful: list[str] = field(default_factory=list)
    _left_out: int = 0
    _links: int = 0
    _abstains: bool = False
    _leaked: bool = False

    @property
    def text(self) -> str:
        """What was shown so far."""
        return "".join(self._texts)

    async def feed(self, piece: str) -> list[AnswerEvent]:
        """Take some more text, and give what can be shown by now."""
        return await self._write(self._units.feed(piece))

    async def finish(self, ending: Ending) -> tuple[list[AnswerEvent], Answer]:
        """Take the end, and give the last events and the whole answer."""
        events = await self._write(self._units.finish())
        answer = self._answer(ending)
        if answer.text != self.text:
            if self.text:
                events.append(AnswerRestart(answer.notes[-1]))
            events.append(AnswerText(answer.text))
        return events, answer

    @property
    def _strict(self) -> bool:
        """Where a source gives orders, only what is supported may pass."""
        return any(source.gives_orders for source in self.checker.sources)

    async def _write(self, units: Iterable[Unit]) -> list[AnswerEvent]:
        events: list[AnswerEvent] = []
        for unit in units:
            self._leaked = self._leaked or self.leaks.has(unit.text)
            if not self._leaked:
                write = self._code if unit.is_code else self._sentence
                events += await write(unit.text)
        return events

    async def _code(self, text: str) -> Iterable[AnswerEvent]:
        if self._strict and not self.checker.holds(text):
            self._left_out += 1
            return ()
        return self._shown(text)

    async def _sentence(self, text: str) -> Iterable[AnswerEvent]:
        text, removed = without_unknown_links(text, self.checker)
        self._links += removed
        marks = find_marks(text, lambda at: is_quoted(text, at, self.checker.holds))
        said = without_marks(text, marks)
        if not marks and not self._texts and NOT_FOUND.casefold() in said.casefold():
            self._abstains = True
            return ()
        places = {mark: await self._check(claim, mark) for claim, mark in _claims(text, marks)}
        citations = [each for found in places.values() for each in found]
        if not self._is_supported(said, places):
            if self._strict:
                self._left_out += 1
                return ()
            self._doubtful.append(said)
        self._citations += citations
        kept = [each for each in citations if self._keeps(each)]
        return [*self._shown(self._rendered(text, places)), *map(AnswerCitation, kept)]

    async def _check(self, claim: str, mark: Mark) -> list[Citation]:
        known = [each for each in mark.numbers if 1 <= each <= len(self.checker.sources)]
        self._unknown |= {each for each in mark.numbers if each not in known}
        return await self.checker.check(claim, known)

    def _is_supported(self, said: str, places: dict[Mark, list[Citation]]) -> bool:
        if any(places.values()):
            return all(any(each.problem is None for each in found) for found in places.values())
        if self._strict:
            return not said
        return not _is_claim(said) or self.checker.says(said)

    def _keeps(self, citation: Citation) -> bool:
        return citation.problem is None or self.unsupported != "remove"

    def _rendered(self, text: str, places: dict[Mark, list[Citation]]) -> str:
        for mark, found in reversed(places.items()):
            marks = "".join(map(self._written, filter(self._keeps, found)))
            blank = " " if marks and text[: mark.start].strip() else ""
            text = text[: mark.start] + blank + marks + text[mark.end :]
        return text

    def _written(self, citation: Citation) -> str:
        doubt = "?" if citation.problem and self.unsupported == "mark" else ""
        return f"[{citation.number}{doubt}]"

    def _shown(self, text: str) -> Iterator[AnswerEvent]:
        """Give text to show, the blanks at its end only when more comes."""
        kept = text.rstrip()
        if kept:
            piece = self._blanks + kept if self._texts else kept.lstrip()
            self._blanks = text[len(kept) :]
            self._texts.append(piece)
            yield AnswerText(piece)

    # ------------------------------------------------------------------------------ the whole

    def _answer(self, ending: Ending) -> Answer:
        question, notes = self.checker.question, [*self.notes, *_notes(ending)]
        if self._leaked:
            notes.append("The answer repeated its instructions and was withheld.")
            return not_found(question, ending.model, *notes)
        supported = [each for each in self._citations if each.problem is None]
        notes += self._remarks(bool(self._citations))
        declined = ending.finish_reason == "refusal" or (self._abstains and not supported)
        if declined or not self._texts:
            return not_found(question, ending.model, *notes)
        return Answer(
            question,
            self.text,
            found=True,
            citations=tuple(filter(self._keeps, self._citations)),
            model=ending.model,
            notes=tuple(notes),
            unsupported=tuple(self._doubtful),
        )

    def _remarks(self, has_citations: bool) -> Iterator[str]:  # noqa: FBT001
        if self._unknown:
            yield (
                f"The model cited sources that don't exist ({_listed(self._unknown)}; there were "
                f"{len(self.checker.sources)}); these citations were removed."
            )
        for each in self._citations:
            if each.problem is not None:
                done = _DONE[self.unsupported]
                yield f"[{each.number}] does not support “{each.claim}”: {each.problem}; {done}."
        if self._texts and not has_citations:
            yield "The model cited none of the sources: nothing shows that the documents say this."
        if self._strict:
            numbers = {each.number for each in self.checker.sources if each.gives_orders}
            yield (
                f"A source speaks to the model as if to give it orders ({_listed(numbers)}); "
                f"sentences that no citation supports were left out: {self._left_out}."
            )
        if self._links:
            yield f"Links that stand in no source were removed: {self._links}."
        yield from self.checker.notes


def _claims(text: str, marks: Sequence[Mark]) -> Iterator[tuple[str, Mark]]:
    """What each mark stands for: the words before it, or the sentence when these say too little."""
    start = 0
    for mark in marks:
        end = len(text) if mark is marks[-1] else mark.start
        own = [each for each in marks if start <= each.start < end]
        claim = _part(text, start, end, own)
        yield (claim if _weight(claim) > 1 else without_marks(text, list(marks))), mark
        start = mark.end


def _part(text: str, start: int, end: int, marks: Sequence[Mark]) -> str:
    moved = [Mark(each.start - start, each.end - start, each.numbers) for each in marks]
    return without_marks(text[start:end], moved).strip(" ,;")


def _weight(claim: str) -> int:
    said = facts(claim)
    return len(said.terms) + len(said.quantities)


def _is_claim(said: str) -> bool:
    is_heading = said.startswith("#") or said.rstrip("*_ ").endswith((":", "?"))
    return not is_heading and _weight(said) > 0 and NOT_FOUND.casefold() not in said.casefold()


def _notes(ending: Ending) -> Iterator[str]:
    if ending.finish_reason == "length":
        yield "The answer was cut off at the longest answer allowed."
    if ending.finish_reason == "content_filter":
        yield "The provider's filter ended the answer."
    if ending.finish_reason == "refusal":
        yield "The model declined to answer."
    if ending.tools:
        yield f"The model asked for tools ({', '.join(ending.tools)}); none was called."


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
