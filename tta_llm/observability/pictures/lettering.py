"""Text in pictures: how wide it is, what of it fits, and how it is written as markup."""

from __future__ import annotations

import html
import itertools
import re
import unicodedata

__all__ = ["cut", "escaped", "text_width"]

_NARROW = frozenset("iljtfrI.,:;'|!()[]{} ·")
_BROAD = frozenset("mwMW@%—…")
# XML has no way to write these, and a single one makes the whole picture unreadable.
_UNWRITABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# They turn the order of the letters around beyond the text that they stand in.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    """Write text so that it stays text, between tags and in attributes."""
    return html.escape(_TURNING.sub("", _UNWRITABLE.sub("�", text)))


def text_width(text: str, size: float) -> float:
    """Guess how wide a text is in whatever font there is, rather too wide than too narrow."""
    return size * sum(map(_share, text))


def _share(character: str) -> float:
    """Give the width of a character as a share of the font's size."""
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.1
    if character in _NARROW:
        return 0.4
    return 0.98 if character in _BROAD else 0.75 if character.isupper() else 0.62


def cut(text: str, size: float, room: float) -> str:
    """Give as much of a text as fits, with "…" where something is missing."""
    text = " ".join(text.split())
    if text_width(text, size) <= room:
        return text
    widths = itertools.accumulate(map(_share, text))
    most = room / size - _share("…")
    kept = sum(1 for width in widths if width <= most)
    return text[:kept].rstrip() + "…"
