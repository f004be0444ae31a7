"""A workflow as text and as a Mermaid flowchart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tta_llm.core.primitive import WorkflowPrimitive

# A chain of five thousand steps should not fill the terminal that asked for its repr.
_MOST_LINES = 60
# Mermaid refuses more than 500 edges and 50,000 characters.
_MOST_NODES = 250


def outline(primitive: WorkflowPrimitive[Any, Any]) -> str:
    """Draw the tree of parts, one line each."""
    lines = list(itertools.islice(_lines(primitive, "", ""), _MOST_LINES + 1))
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = ["… and more"]
    return "\n".join(lines)


def _title(primitive: WorkflowPrimitive[Any, Any]) -> str:
    kind, name = type(primitive).__name__, primitive.name
    return kind if kind == name else f"{kind} {name!r}"


def _lines(primitive: WorkflowPrimitive[Any, Any], first: str, rest: str) -> Iterator[str]:
    stack = [(primitive, first, rest)]
    while stack:
        part, head, tail = stack.pop()
        yield head + _title(part)
        children = part.children()
        for number, (label, child) in reversed(list(enumerate(children, 1))):
            last = number == len(children)
            told = "" if label in (child.name, str(number)) else f"{label}: "
            stack.append(
                (child, tail + ("└─ " if last else "├─ ") + told, tail + ("   " if last else "│  "))
            )


def mermaid(primitive: WorkflowPrimitive[Any, Any]) -> str:
    """Draw a flowchart: sequences as arrows, other groups as boxes around their parts."""
    chart = _Chart()
    chart.draw(primitive)
    return "\n".join(["flowchart TD", *chart.lines]) + "\n"


class _Chart:
    """Collects lines; `draw` gives the nodes where a part begins and where it ends."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._drawn = 0

    def draw(
        self, part: WorkflowPrimitive[Any, Any] | None, indent: str = "    "
    ) -> tuple[list[str], list[str]]:
        if part is None or not part.children():
            node = self._node(f'["{_escaped(part.name) if part else "… and more"}"]', indent)
            return [node], [node]
        if part.shape == "sequence":
            return self._chain(part, indent)
        return self._group(part, indent)

    def _shown(
        self, part: WorkflowPrimitive[Any, Any]
    ) -> Iterator[tuple[str, WorkflowPrimitive[Any, Any] | None]]:
        """Give the children, and None for all that are too many to draw."""
        for label, child in part.children():
            if self._drawn >= _MOST_NODES:
                yield "…", None
                return
            yield label, child

    def _chain(self, part: WorkflowPrimitive[Any, Any], indent: str) -> tuple[list[str], list[str]]:
        starts: list[str] = []
        ends: list[str] = []
        for label, child in self._shown(part):
            begins, finishes = self.draw(child, indent)
            aside = label.startswith("undo ")  # hangs on its step, and the way goes on from that
            arrow = '-.->|"undo"|' if aside else "-->"
            self.lines += [f"{indent}{end} {arrow} {begin}" for end in ends for begin in begins]
            if not aside:
                starts, ends = starts or begins, finishes
        return starts, ends

    def _group(self, part: WorkflowPrimitive[Any, Any], indent: str) -> tuple[list[str], list[str]]:
        self._drawn += 1
        box = f"g{self._drawn}"
        children = part.children()
        title = _title(part) + (f", {children[0][0]}" if len(children) == 1 else "")
        self.lines.append(f'{indent}subgraph {box}["{_escaped(title)}"]')
        inner = indent + "    "
        fork = self._node(f'{{"{_escaped(part.name)}"}}', inner) if part.shape == "choice" else None
        starts: list[str] = []
        ends: list[str] = []
        for label, child in self._shown(part):
            begins, finishes = self.draw(child, inner)
            if fork is not None:
                self.lines += [
                    f'{inner}{fork} -->|"{_escaped(label)}"| {begin}' for begin in begins
                ]
            starts += begins
            ends += finishes
        self.lines.append(f"{indent}end")
        return [fork] if fork is not None else starts, ends

    def _node(self, shape: str, indent: str) -> str:
        self._drawn += 1
        node = f"n{self._drawn}"
        self.lines.append(f"{indent}{node}{shape}")
        return node


_ENTITIES = {
    ord(c): f"#{name};" for c, name in zip('#"&<>', ("35", "quot", "amp", "lt", "gt"), strict=True)
}


def _escaped(text: str) -> str:
    """Write what would end a label, or be taken for markup, as Mermaid's entity codes."""
    return text.translate(_ENTITIES).replace("\n", " ")
