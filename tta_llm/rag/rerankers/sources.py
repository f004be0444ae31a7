"""Texts of documents in a prompt: numbered, cut, and between marks that none of them can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["numbered"]


def numbered(texts: Sequence[str], *, what: str = "source", longest: int | None = None) -> str:
    """Write texts as data for a model.

    Args:
        texts: What a document or another model says; it is quoted, not obeyed.
        what: What each is called.
        longest: After so many characters a text is cut.
    """
    cut = [
        text if longest is None or len(text) <= longest else f"{text[:longest]} …" for text in texts
    ]
    whole = "\0".join(cut).encode("utf-8", "surrogatepass")
    mark = hashlib.sha256(whole).hexdigest()[:12]
    return "\n\n".join(
        f"[{what} {number} {mark}]\n{text}\n[end of {what} {number} {mark}]"
        for number, text in enumerate(cut, 1)
    )
