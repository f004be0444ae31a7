"""Descriptions of workflows, drawn at random."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.properties.descriptions import (
    ERRORS,
    Balanced,
    Break,
    Cached,
    Chain,
    Choice,
    Climb,
    Each,
    Fall,
    Fan,
    Flaky,
    Limit,
    Node,
    Retry,
    Route,
    Split,
    Work,
)

_PRIMES = [n for n in range(2, 1500) if all(n % d for d in range(2, math.isqrt(n) + 1))]


@dataclass(frozen=True)
class Place:
    """Where a node is to be drawn, which says what may stand there."""

    depth: int
    in_fan: bool = False
    """Nothing here may fail in no time: which of two such comes first is left to chance."""
    in_each: bool = False
    """Nothing here may make equal items of different ones: they would share their counts."""
    is_tried_again: bool = False
    """Nothing here may fail in mid-stream: a stream isn't begun anew after its first piece."""
    is_cached: bool = False
    """No provider's wait: executed, a cache hides the deadline that it would be held against."""


@st.composite
def workflows(draw: st.DrawFn, depth: int = 4, flaky: bool = True) -> Node:
    """Describe a workflow, nested at most so deep; `flaky=False` leaves out steps that count."""
    return _Drawing(draw, flaky).node(Place(depth))


def _can_fail(node: object) -> bool:
    if isinstance(node, tuple):
        return any(map(_can_fail, node))
    if isinstance(node, (Break, Flaky, Limit)) or getattr(node, "misses", False):
        return True
    return _can_fail(tuple(vars(node).values())) if hasattr(node, "__dict__") else False


class _Drawing:
    def __init__(self, draw: st.DrawFn, flaky: bool) -> None:
        self._draw, self._flaky = draw, flaky
        self._numbers = itertools.count(1)

    def node(self, place: Place) -> Node:
        if place.depth <= 0:
            return self._leaf(place)
        kinds = [self._leaf, self._chain, self._chain, self._fan, self._each, self._choice]
        kinds += [self._route, self._retry, self._limit, self._fall, self._cached]
        kinds += [self._climb, self._balanced]
        node: Node = self._one_of(kinds)(place)
        return node

    def _one_of(self, choices: list[Any]) -> Any:
        return self._draw(st.sampled_from(choices))

    def _fraction(self, number: int) -> float:
        return math.sqrt(_PRIMES[number % len(_PRIMES)]) * 1e-3

    def _seconds(self, number: int) -> float:
        return int(self._one_of([0, 1, 2, 10])) + self._fraction(number)

    def _nodes(self, place: Place, least: int, most: int) -> tuple[Node, ...]:
        inside = replace(place, depth=place.depth - 1)
        return tuple(self.node(inside) for _ in range(self._draw(st.integers(least, most))))

    def _leaf(self, place: Place) -> Node:
        number = next(self._numbers)
        kind = self._one_of(["work"] * 7 + ["break", "flaky" if self._flaky else "work"])
        if kind == "work":
            style = self._one_of(["sync", "async", "async", "class", "generator", "per_piece"])
            idle = style in ("sync", "per_piece") or self._one_of([True, False])
            return Work(number, style, 0.0 if idle else self._seconds(number))
        error = self._one_of(
            [each for each in ERRORS if not (place.is_cached and each == "RateLimitError")]
        )
        if kind == "flaky":
            return Flaky(number, error, self._one_of([1, 2]), self._seconds(number))
        styles = ["async"] if place.is_tried_again else ["async", "generator", "per_piece"]
        at_once = not place.in_fan and self._one_of([True, False])
        return Break(number, self._one_of(styles), error, 0.0 if at_once else self._seconds(number))

    def _chain(self, place: Place) -> Node:
        name = self._one_of([None, None, None, f"chain{next(self._numbers)}"])
        return Chain(self._nodes(place, 1, 4), name)

    def _fan(self, place: Place) -> Node:
        branches = self._nodes(replace(place, in_fan=True), 1, 4)
        collect = not place.in_each and self._one_of([False, False, True])
        return Fan(branches, self._one_of([False, True]), self._one_of([None, 1, 2]), collect)

    def _each(self, place: Place) -> Node:
        splitter = Split(next(self._numbers), self._draw(st.integers(int(place.in_each), 4)))
        (inside,) = self._nodes(replace(place, in_fan=True, in_each=True), 1, 1)
        if _can_fail(inside):  # not all items at the same moment
            number = next(self._numbers)
            inside = Chain((Work(number, "staggered", self._fraction(number)), inside))
        collect = not place.in_each and self._one_of([False, True])
        return Chain((splitter, Each(inside, self._one_of([1, 2, 16]), collect)))

    def _choice(self, place: Place) -> Node:
        then, *other = self._nodes(place, 1, 2)
        return Choice(next(self._numbers), then, other[0] if other else None)

    def _route(self, place: Place) -> Node:
        routes = self._nodes(place, 1, 3)
        default = self._one_of([None, len(routes) - 1])
        number = next(self._numbers)
        seconds = self._fraction(number) if place.in_fan else 0.0
        return Route(number, routes, self._one_of([False, False, True]), default, seconds)

    def _retry(self, place: Place) -> Node:
        (inside,) = self._nodes(replace(place, is_tried_again=True), 1, 1)
        return Retry(inside, self._one_of([0, 1, 2]))

    def _limit(self, place: Place) -> Node:
        number = next(self._numbers)
        (inside,) = self._nodes(place, 1, 1)
        return Limit(inside, self._one_of([0.5, 1.5, 5, 100]) + self._fraction(number))

    def _fall(self, place: Place) -> Node:
        choices = self._nodes(replace(place, is_tried_again=True), 1, 3)
        number = next(self._numbers)
        down = Break(number, "async", "ConnectionError", self._seconds(number))
        return Fall((down, *choices) if self._one_of([True, False]) else (*choices, down))

    def _climb(self, place: Place) -> Node:
        return Climb(next(self._numbers), self._nodes(place, 2, 3))

    def _balanced(self, place: Place) -> Node:
        return Balanced(*self._nodes(place, 1, 1))

    def _cached(self, place: Place) -> Node:
        (inside,) = self._nodes(replace(place, is_cached=True), 1, 1)
        return Cached(next(self._numbers), inside, self._one_of([3.3, 1e6]))
