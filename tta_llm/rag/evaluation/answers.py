"""How well a pipeline answers questions, and keeps silent where it should."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.rag.answers.answer import Answer, Citation
from tta_llm.rag.evaluation.cases import EvaluationCase, ExpectedSource
from tta_llm.rag.evaluation.report import CaseResult, EvaluationReport
from tta_llm.rag.evaluation.running import OnCase, ask_all, told
from tta_llm.rag.evaluation.support import Claim, Support, claims_of, support_by_words

__all__ = ["evaluate_answers"]

_WORD = re.compile(r"\w+")


async def evaluate_answers(
    pipeline: WorkflowPrimitive[str, Answer],
    cases: Sequence[EvaluationCase],
    *,
    support: Support = support_by_words,
    context: WorkflowContext | None = None,
    max_concurrency: int = 4,
    on_case: OnCase | None = None,
) -> EvaluationReport:
    """Measure the answers to questions.

    - `answered`: an answerable question was answered.
    - `abstained`: an unanswerable one was not.
    - `answer_match`: the answer holds the expected words; `answer_f1`: how many words they share.
    - `source_recall`: the share of the expected sources that are cited.
    - `faithfulness`: the share of the answer's sentences that anything it cites supports.
    - `citation_recall`: the share of the sentences that what they cite themselves supports.
    - `citation_precision`: the share of the citations that support their sentence.

    The last three are over the answers that were given; the names are those of ALCE (Gao et al.,
    arXiv 2305.14627). A pipeline that fails counts as 0 in the others. When the judgement of
    support fails, the case is among the failures, and these three say nothing of it.

    Args:
        pipeline: Any step from a question to an answer.
        cases: The questions.
        support: Tells what quotes support; `ModelSupport` asks a model.
        context: Shared by all questions; each gets one of its own when missing.
        max_concurrency: At most this many questions at the same time.
        on_case: Is told how far it is.

    Example:
        ```python
        import asyncio
        from tta_llm.rag import Answer, EvaluationCase, evaluate_answers
        from tta_llm.testing import MockPrimitive

        cases = [EvaluationCase("Who won the cup?", answerable=False)]
        silent = MockPrimitive(return_value=Answer("Who won the cup?", "Not there.", found=False))
        report = asyncio.run(evaluate_answers(silent, cases))
        assert report.measures[0].name == "abstained" and report.measures[0].mean == 1
        ```
    """
    judged = _Judged(pipeline, support)
    results = []
    asked = ask_all(
        judged, cases, context=context, max_concurrency=max_concurrency, on_case=on_case
    )
    async with aclosing(asked):
        async for case, outcome in asked:
            if outcome.error is not None:
                results.append(CaseResult(case.id, _scores(case, None), told(outcome.error)))
                continue
            answer, supported, error = outcome.result()
            results.append(CaseResult(case.id, _scores(case, answer) | supported, error))
    return EvaluationReport(tuple(results))


_Outcome = tuple[Answer, dict[str, float], str | None]


class _Judged(WorkflowPrimitive[str, _Outcome]):
    """Answers, and has the answer judged in the same run: both count as its time and cost."""

    def __init__(self, pipeline: WorkflowPrimitive[str, Answer], support: Support) -> None:
        super().__init__(name="evaluated")
        self._pipeline, self._support = pipeline, support

    async def execute(self, input_data: str, context: WorkflowContext) -> _Outcome:
        answer = await self._pipeline.execute(input_data, context)
        claims = claims_of(answer.text) if answer.found else []
        if not claims:
            return answer, {}, None
        quotes = [citation.quote for citation in answer.citations]
        try:
            supported = await self._support(claims, quotes, context) if quotes else None
        except Exception as error:
            return answer, {}, f"judge: {told(error)}"
        by_place = supported or [frozenset()] * len(claims)
        numbers = [citation.number for citation in answer.citations]
        # The judge counts quotes from 1; an answer may number its citations otherwise.
        by_number = [frozenset(numbers[place - 1] for place in each) for each in by_place]
        return answer, _support_scores(claims, by_number), None


def _support_scores(
    claims: Sequence[Claim], supported: Sequence[frozenset[int]]
) -> dict[str, float]:
    cited = sum(len(claim.cites) for claim in claims)
    right = [claim.cites & by for claim, by in zip(claims, supported, strict=True)]
    return {
        "faithfulness": sum(map(bool, supported)) / len(claims),
        "citation_recall": sum(map(bool, right)) / len(claims),
        "citation_precision": sum(map(len, right)) / cited if cited else 0.0,
    }


def _scores(case: EvaluationCase, answer: Answer | None) -> dict[str, float]:
    if not case.answerable:
        return {"abstained": float(answer is not None and not answer.found)}
    given = answer if answer is not None and answer.found else None
    scores = {"answered": float(given is not None)}
    if case.answer is not None:
        text = "" if given is None else " ".join(claim.text for claim in claims_of(given.text))
        scores["answer_match"] = float(_contains(text, case.answer))
        scores["answer_f1"] = _f1(_words(text), _words(case.answer))
    if case.sources:
        citations = () if given is None else given.citations
        shown = sum(any(_cites(each, source) for each in citations) for source in case.sources)
        scores["source_recall"] = shown / len(case.sources)
    return scores


def _cites(citation: Citation, source: ExpectedSource) -> bool:
    """Tell whether a citation and a source have a place in common."""
    if citation.path != source.path or (source.page is not None and source.page != citation.page):
        return False
    if source.quote is not None:
        quote, expected = _words(citation.quote), _words(source.quote)
        if not (_holds(quote, expected) or _holds(expected, quote)):
            return False
    return source.meets(citation.line_start, citation.line_end)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _contains(text: str, expected: str) -> bool:
    return _holds(_words(text), _words(expected))


def _holds(words: Sequence[str], run: Sequence[str]) -> bool:
    """Tell whether a run of words stands among others; whole words only."""
    return bool(run) and f" {' '.join(run)} " in f" {' '.join(words)} "


def _f1(given: Sequence[str], expected: Sequence[str]) -> float:
    """Compare words as SQuAD does, without its dropping of English articles."""
    common = sum((Counter(given) & Counter(expected)).values())
    return 2 * common / (len(given) + len(expected)) if common else 0.0
