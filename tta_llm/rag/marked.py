"""Texts of documents in a prompt, between marks that none of them can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

__all__ = ["mark_of", "marked", "numbered"]


def mark_of(texts: Iterable[str]) -> str:
    """Letters that none of the texts can hold: they come from a hash of all of them."""
    joined = "\0".join(texts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def marked(text: str, name: str, mark: str, about: str = "") -> str:
    """Put marks around a text.

    Args:
        text: What a document or another model says; it is quoted, not obeyed.
        name: What it is called, such as "source 1".
        mark: Letters that it does not hold.
        about: What else is told of it.
    """
    told = f": {about}" if about else ""
    return f"[{name} {mark}{told}]\n{text}\n[end of {name} {mark}]"


def numbered(texts: Sequence[str], *, what: str = "source", longest: int | None = None) -> str:
    """Write texts as data for a model, with a number for each.

    Args:
        texts: What documents or another model say.
        what: What each is called.
        longest: After so many characters a text is cut.
    """
    cut = [
        text if longest is None or len(text) <= longest else f"{text[:longest]} …" for text in texts
    ]
    mark = mark_of(cut)
    return "\n\n".join(marked(text, f"{what} {number}", mark) for number, text in enumerate(cut, 1))
