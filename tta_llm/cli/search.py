"""`tta search`: the chunks that bear on a question, and why each was found."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tta_llm.cli.documents import Documents, read_filter
from tta_llm.cli.exits import Exit, UsageError
from tta_llm.cli.output import print_json, print_text
from tta_llm.core import WorkflowContext
from tta_llm.rag.documents import Chunk, describe_location
from tta_llm.rag.ingest.report import IngestReport
from tta_llm.rag.search.explain import Explanation, explain
from tta_llm.rag.search.query import Query

__all__ = ["SearchOptions", "run_search"]

_SHOWN = 300


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What the command line said."""

    question: str
    documents: Documents
    top_k: int
    where: str | None
    explain: bool
    as_json: bool


def run_search(options: SearchOptions) -> int:
    """Do it, print it, and give the exit code.

    Raises:
        UsageError: The options can't be carried out.
        TTAError: The documents or the index failed.
    """
    if not options.question.strip():
        raise UsageError('the question is empty; as in: tta search "..." --docs PATH')
    options.documents.check()
    found, report = asyncio.run(_search(options))
    code = Exit.ANSWERED if found else Exit.NOT_FOUND
    if found and report.skipped:
        code = Exit.SKIPPED
    if options.as_json:
        print_json(
            {
                "question": options.question,
                "hits": [_as_json(options, each) for each in found],
                "skipped": options.documents.skipped(report),
                "exit_code": int(code),
            }
        )
        return code
    for rank, each in enumerate(found, 1):
        _print(options, rank, each)
    if not found:
        print_text("Nothing in the documents shares a word or a meaning with this.")
    options.documents.print_skipped(report)
    return code


async def _search(options: SearchOptions) -> tuple[list[Explanation], IngestReport]:
    query = Query(options.question, where=read_filter(options.where))
    async with options.documents.opened(quiet=options.as_json) as (index, report):
        return await explain(index, query, WorkflowContext(), top_k=options.top_k), report


def _location(options: SearchOptions, chunk: Chunk) -> str:
    place = (chunk.line_start, chunk.line_end, chunk.page)
    return describe_location(options.documents.path(chunk.path), *place)


def _print(options: SearchOptions, rank: int, found: Explanation) -> None:
    chunk = found.hit.chunk
    under = " > ".join(chunk.headings) or chunk.title
    print_text(f"{rank}. {_location(options, chunk)}  ({under})  {found.hit.score:.3f}")
    if options.explain:
        for line in _reasons(found):
            print_text(f"   {line}")
    text = " ".join(chunk.text.split())
    print_text(f"   {text if len(text) <= _SHOWN else text[:_SHOWN].rstrip() + ' ...'}\n")


def _reasons(found: Explanation) -> list[str]:
    hit = found.hit
    terms = ", ".join(f"{term} {weight:.1f}" for term, weight in found.terms.items())
    return [
        f"meaning  cosine {hit.dense:.3f}, {_rank(found.dense_rank)}",
        f"words    BM25 {hit.lexical:.2f}, {_rank(found.lexical_rank)}: {terms or 'none shared'}",
        f"joined   {found.fused_score:.3f}, rank {found.fused_rank}",
        f"reranked {hit.score:.3f}; {hit.coverage:.0%} of the question's content is in it",
    ]


def _rank(rank: int | None) -> str:
    return "not found" if rank is None else f"rank {rank}"


def _as_json(options: SearchOptions, found: Explanation) -> dict[str, Any]:
    hit, chunk = found.hit, found.hit.chunk
    fields: dict[str, Any] = {
        "path": options.documents.path(chunk.path),
        "line_start": chunk.line_start,
        "line_end": chunk.line_end,
        "page": chunk.page,
        "title": chunk.title,
        "headings": list(chunk.headings),
        "score": hit.score,
        "text": chunk.text,
    }
    if options.explain:
        fields["why"] = {
            "dense": {"cosine": hit.dense, "rank": found.dense_rank},
            "lexical": {
                "bm25": hit.lexical,
                "rank": found.lexical_rank,
                "terms": dict(found.terms),
            },
            "fused": {"score": found.fused_score, "rank": found.fused_rank},
            "coverage": hit.coverage,
        }
    return fields
