"""How the places that an answer rests on are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tta_llm.rag.answers.answer import Citation
from tta_llm.rag.documents import describe_location

__all__ = ["citation_fields", "citation_line", "citation_lines"]

PathShown = Callable[[str], str]
"""Makes of a document's path one that can be opened from where the command was typed."""


def citation_lines(citations: Iterable[Citation], shown: PathShown) -> list[str]:
    """Say each place once: several sentences may rest on one."""
    return list(dict.fromkeys(citation_line(each, shown) for each in citations))


def citation_line(citation: Citation, shown: PathShown) -> str:
    """Say in a line where it is, and what is wrong with it."""
    place = (citation.line_start, citation.line_end, citation.page)
    location = describe_location(shown(citation.path), *place)
    under = " > ".join(citation.headings) or citation.title
    doubt = f": {citation.problem}" if citation.problem else ""
    return f"[{citation.number}{'?' if doubt else ''}] {location}  ({under}){doubt}"


def citation_fields(citation: Citation, shown: PathShown) -> Mapping[str, Any]:
    """Give it for JSON."""
    return {
        "number": citation.number,
        "path": shown(citation.path),
        "line_start": citation.line_start,
        "line_end": citation.line_end,
        "page": citation.page,
        "title": citation.title,
        "headings": list(citation.headings),
        "quote": citation.quote,
        "claim": citation.claim,
        "problem": citation.problem,
    }
