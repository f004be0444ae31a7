"""A cache never changes a result: any steps of any workflow may be cached, and nobody can tell.

Left out is what time decides, for a cache saves time: there are no time limits; all failures are of
one kind, so that it is no matter which of two comes first; and what counts its calls stands in no
fan-out, where the first failure decides how many there are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.building import build
from tests.properties.descriptions import (
    Break,
    Cached,
    Chain,
    Choice,
    Each,
    Fall,
    Fan,
    Flaky,
    Limit,
    Node,
    Retry,
    Route,
    Work,
)
from tests.properties.drawing import workflows
from tests.properties.performing import perform
from tta_llm.testing import VirtualClock

# A second for five cases, whichever profile says how many.
pytestmark = pytest.mark.timeout(60 + settings().max_examples / 5)


def timeless(node: Node, *, in_fan: bool = False) -> Node:
    """Take out of a workflow what time decides."""
    match node:
        case Limit(inside=inside):
            return timeless(inside, in_fan=in_fan)
        case Flaky(id=id) if in_fan:
            return Work(id, "async", node.seconds)
        case Break() | Flaky():
            return replace(node, error="ConnectionError")
        case Route(default=None):
            node = replace(node, misses=False)
        case Fall(choices=choices):  # what all its choices failed with would be of another kind
            node = Fall((*choices, Work(0, "sync", 0.0)))
    in_fan = in_fan or isinstance(node, (Fan, Each))
    return with_children(node, [timeless(each, in_fan=in_fan) for each in children(node)])


@st.composite
def with_caches(draw: st.DrawFn, node: Node) -> Node:
    """Put caches around some steps of a workflow."""
    inside = [draw(with_caches(each)) for each in children(node)]
    node = with_children(node, inside)
    return Cached(0, node, draw(st.sampled_from([3.3, 1e6]))) if draw(st.booleans()) else node


def children(node: Node) -> list[Node]:
    match node:
        case Chain(steps=inside) | Fan(branches=inside) | Fall(choices=inside):
            return list(inside)
        case Route(routes=inside):
            return list(inside)
        case Choice(then=then, other=other):
            return [then] if other is None else [then, other]
        case Each(inside=one) | Retry(inside=one) | Cached(inside=one):
            return [one]
    return []


def with_children(node: Node, inside: list[Node]) -> Node:
    match node:
        case Chain():
            return replace(node, steps=tuple(inside))
        case Fan():
            return replace(node, branches=tuple(inside))
        case Fall():
            return replace(node, choices=tuple(inside))
        case Route():
            return replace(node, routes=tuple(inside))
        case Choice():
            return replace(node, then=inside[0], other=inside[1] if inside[1:] else None)
        case Each() | Retry() | Cached():
            return replace(node, inside=inside[0])
    return node


def described(result: Any) -> Any:
    """Give a result in a form that `==` can judge."""
    if isinstance(result, Exception):
        return type(result)
    if isinstance(result, dict):
        return {key: described(each) for key, each in result.items()}
    if isinstance(result, (list, tuple)):
        return type(result), [described(each) for each in result]
    return result


@given(
    st.data(),
    workflows().map(timeless),
    st.lists(st.booleans(), min_size=2, max_size=3),
)
def test_cached_anywhere_it_comes_to_the_same(
    data: st.DataObject, node: Node, streams: list[bool]
) -> None:
    cached, clock = build(data.draw(with_caches(node))), VirtualClock()
    for stream in streams:
        _, expected = perform(build(node), VirtualClock(), stream=stream)
        _, actual = perform(cached, clock, stream=stream)
        assert described(actual) == described(expected)
