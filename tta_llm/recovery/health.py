"""How the guards are, at a glance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.observability import watched
from tta_llm.recovery._guard import Guard

__all__ = ["GuardHealth", "Health", "health"]


@dataclass(frozen=True, slots=True)
class GuardHealth:
    """How one guard was when it was asked."""

    kind: str
    """What it is, such as "circuit breaker"."""
    name: str
    """What it guards."""
    status: str
    """Its state, in a few words."""
    readings: Mapping[str, float] = field(default_factory=dict)
    """Its figures, by the names of their metrics."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the guards were when they were asked, one row for each; `print` shows a table.

    Args:
        rows: In the order in which the workflows use them.
    """

    rows: tuple[GuardHealth, ...]

    def __iter__(self) -> Iterator[GuardHealth]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        if not self.rows:
            return "no guards: nothing here breaks, limits or holds out calls"
        table = [("guard", "target", "state")]
        table += [(row.kind, row.name, row.status) for row in self.rows]
        first, second = (max(len(line[column]) for line in table) for column in (0, 1))
        return "\n".join(f"{a:<{first}}  {b:<{second}}  {c}".rstrip() for a, b, c in table)

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it: figures without a finite value are left out."""
        return {
            "guards": [
                {
                    "kind": row.kind,
                    "name": row.name,
                    "status": row.status,
                    "readings": {k: v for k, v in row.readings.items() if math.isfinite(v)},
                }
                for row in self.rows
            ]
        }


def health(*workflows: WorkflowPrimitive[Any, Any]) -> Health:
    """Ask all guards in these workflows how they are: breakers, limits, retry budgets, hold-outs.

    Args:
        workflows: Any primitives. Without one, all guards that are in use in this process.

    Returns:
        One row for each guard, also when several parts share it.

    Raises:
        TypeError: When something is not a primitive.

    Example:
        ```python
        from tta_llm.recovery import RetryPrimitive, health
        from tta_llm.testing import MockPrimitive

        workflow = RetryPrimitive(MockPrimitive(name="model")) >> str.strip
        print(health(workflow))
        # guard         target  state
        # retry budget  model   100 of 100 retries left
        assert health(workflow).as_dict()["guards"][0]["name"] == "model"
        ```
    """
    guards = _guards_in(workflows) if workflows else _guards_in_use()
    return Health(tuple(map(_row, guards)))


def _guards_in(workflows: tuple[Any, ...]) -> list[Guard]:
    """Give the guards of all parts, each once; parts are often shared."""
    found: dict[int, Guard] = {}
    seen: set[int] = set()
    waiting = list(reversed(workflows))
    while waiting:
        part = waiting.pop()
        if not isinstance(part, WorkflowPrimitive):
            raise TypeError(f"health asks workflows, and a {type(part).__name__} is none")
        if id(part) in seen:
            continue
        seen.add(id(part))
        found.update({id(guard): guard for guard in getattr(part, "guards", ())})
        waiting += [child for _, child in reversed(part.children())]
    return list(found.values())


def _guards_in_use() -> list[Guard]:
    guards = [each for each in watched() if isinstance(each, Guard) and each.is_named]
    return sorted(guards, key=lambda guard: (guard.name, guard.kind))


def _row(guard: Guard) -> GuardHealth:
    try:
        return GuardHealth(guard.kind, guard.name, guard.status(), dict(guard.readings()))
    except Exception as error:  # one that fails must not hide the others
        told = f"can't be read: {type(error).__name__}"
        return GuardHealth(guard.kind, guard.name, told)
