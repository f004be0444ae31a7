"""A workflow's parts as data: what pictures are drawn from, and what a run's first span carries."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

__all__ = ["Outline"]

T = TypeVar("T")

# Mermaid refuses more than 500 edges and 50,000 characters.
_MOST_PARTS = 250
_MOST_BYTES = 16_000
_MOST_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Outline:
    """A part of a workflow, and the parts inside it.

    ```python
    from tta_llm.observability.outline import Outline

    step = Outline("FunctionStep", "upper", label="1")
    whole = Outline("SequentialPrimitive", "shout", "sequence", children=(step,))
    assert Outline.from_json(whole.to_json()) == whole
    ```

    Args:
        kind: The class of the primitive.
        shape: How its parts hang together: `sequence`, `choice` or `group`; `more` stands for
            parts that are left out.
        label: Its part in its parent, such as "else 1" or the name of a route.
    """

    kind: str
    name: str
    shape: str = "group"
    label: str = ""
    children: tuple[Outline, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[tuple[int, Outline]]) -> Outline:
        """Make one of its parts, given as `walk` gives them: at most 250, and "… and more"."""
        kept = [(depth, _tidy(part)) for depth, part in _bounded(rows)]
        return _folded(kept, lambda _, part, inner: replace(part, children=tuple(inner)))

    def walk(self) -> Iterator[tuple[int, Outline]]:
        """Give it and all inside it, each with how deep it lies, from the first to the last."""
        waiting = [(0, self)]
        while waiting:
            depth, part = waiting.pop()
            yield depth, part
            waiting += [(depth + 1, child) for child in reversed(part.children)]

    def fold(self, make: Callable[[int, Outline, list[T]], T]) -> T:
        """Make something of each part and of what was made of its children.

        Args:
            make: `f(number, part, made)`; the number is the part's place in `walk`.
        """
        return _folded(list(self.walk()), make)

    def to_json(self) -> str:
        """Write it down in at most 16,000 bytes."""
        rows: list[str] = []
        room = _MOST_BYTES - 100
        for depth, part in self.walk():
            row = _row(depth, part)
            room -= len(row.encode()) + 1
            if room < 0:
                rows.append(_row(depth, _MORE))
                break
            rows.append(row)
        return f"[{','.join(rows)}]"

    @classmethod
    def from_json(cls, text: str) -> Outline:
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        try:
            rows = [_part(*row) for row in json.loads(text)]
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"this is no outline of a workflow: {text[:80]!r}") from error
        depths = [depth for depth, _ in rows]
        if depths[:1] != [0] or any(
            not 1 <= after <= before + 1 for before, after in itertools.pairwise(depths)
        ):
            raise ValueError(f"the depths of an outline don't fit together: {text[:80]!r}")
        return cls.of(rows)


_MORE = Outline("", "… and more", "more")


def _bounded(rows: Iterable[tuple[int, Outline]]) -> Iterator[tuple[int, Outline]]:
    for number, (depth, part) in enumerate(rows):
        if number == _MOST_PARTS:
            yield depth, _MORE
            return
        yield depth, part


def _tidy(part: Outline) -> Outline:
    return replace(part, kind=tidy(part.kind), name=tidy(part.name), label=tidy(part.label))


def tidy(name: str) -> str:
    """Give a name as outlines have it: not longer than a line, and such that it can be sent."""
    if len(name) > _MOST_CHARACTERS:
        name = name[: _MOST_CHARACTERS - 1] + "…"
    return name.encode("utf-8", "replace").decode()


def _folded(rows: list[tuple[int, Outline]], make: Callable[[int, Outline, list[T]], T]) -> T:
    """Work from the last part to the first, so that those inside come before what holds them."""
    made: dict[int, list[T]] = {}
    for number in reversed(range(len(rows))):
        depth, part = rows[number]
        inner = made.pop(depth + 1, [])
        made.setdefault(depth, []).append(make(number, part, inner[::-1]))
    return made[0][0]


def _row(depth: int, part: Outline) -> str:
    row = [depth, part.kind, part.name, part.shape, part.label]
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _part(depth: Any, *words: Any) -> tuple[int, Outline]:
    if type(depth) is not int or len(words) != 4 or not all(isinstance(w, str) for w in words):
        raise TypeError(f"{depth!r} and {words!r} are no part of an outline")
    return depth, Outline(*words)
