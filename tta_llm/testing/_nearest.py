"""Which recorded request is nearest to one that isn't recorded, and where they differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, TypeAlias

__all__ = ["difference", "nearest"]

JSON: TypeAlias = dict[str, Any]

# Comparing takes the square of the length.
_COMPARED = 2000


def nearest(request: JSON, recorded: Sequence[JSON]) -> int | None:
    """Give the place of the recorded request that is most like this one."""
    if not recorded:
        return None
    text = str(request)[-_COMPARED:]
    matcher = difflib.SequenceMatcher(None, b=text, autojunk=False)

    def likeness(place: int) -> float:
        matcher.set_seq1(str(recorded[place])[-_COMPARED:])
        return matcher.quick_ratio()

    return max(range(len(recorded)), key=likeness)


def difference(recorded: JSON, asked: JSON) -> Iterator[str]:
    """Say where two requests differ, without what their messages say."""
    for name in sorted({*recorded, *asked}):
        was, now = recorded.get(name), asked.get(name)
        if was == now:
            continue
        if name == "messages":
            yield from _messages(was or [], now or [])
        elif isinstance(was or now, (dict, list)):
            yield name
        else:
            yield f"{name} ({was!r} recorded, {now!r} asked)"


def _messages(recorded: list[JSON], asked: list[JSON]) -> Iterator[str]:
    for number, (was, now) in enumerate(zip_longest(recorded, asked), 1):
        if was == now:
            continue
        place = f"message {number}"
        if was is None or now is None:
            yield f"{place} (only {'asked' if was is None else 'recorded'})"
        elif was["role"] != now["role"]:
            yield f"{place} (from {was['role']} recorded, from {now['role']} asked)"
        else:
            yield f"{place} (from {now['role']}, {_contents(was['content'], now['content'])})"


def _contents(was: Any, now: Any) -> str:
    if not (isinstance(was, str) and isinstance(now, str)):
        return "other parts"
    pairs = enumerate(zip(was, now, strict=False))
    same = next((place for place, (one, other) in pairs if one != other), min(len(was), len(now)))
    return f"{len(was)} characters recorded and {len(now)} asked, alike up to character {same}"
