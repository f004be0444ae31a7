"""The workflow that a description describes, made with the package."""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

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
    chance,
    flat,
    split,
    spread,
    turned,
    worked,
)
from tta_llm import (
    ConditionalPrimitive,
    ParallelPrimitive,
    SequentialPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    step,
)
from tta_llm.core import MapPrimitive, RouterPrimitive, as_step
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import FallbackPrimitive, RetryBudget, RetryPrimitive, TimeoutPrimitive
from tta_llm.routing import Cascade, LoadBalancer

AnyPrimitive: TypeAlias = WorkflowPrimitive[Any, Any]

# The shortest wait that is above zero: the random part of it doesn't move the clock.
_NO_TIME = 5e-324


def build(node: Node) -> AnyPrimitive:
    """Make the workflow, each time a new one."""
    return as_step(_made(node))


def _made(node: Node) -> Any:
    """Make a primitive, or a plain function where the operators take one."""
    return _BUILDERS[type(node)](node)


def _work(node: Work) -> Any:
    async def work(data: Any, context: WorkflowContext) -> str:
        if node.seconds:
            late = spread(data) if node.style == "staggered" else 0.0
            await context.clock.sleep(node.seconds + late)
        return worked(node.id, data)

    async def pieces(data: Any, context: WorkflowContext) -> AsyncIterator[str]:
        result = await work(data, context)
        for begin in range(0, len(result), 40):
            yield result[begin : begin + 40]

    class User(WorkflowPrimitive[Any, Any]):
        async def execute(self, input_data: Any, context: WorkflowContext) -> str:
            return await work(input_data, context)

    name = f"w{node.id}"
    makers: dict[str, Callable[[], Any]] = {
        "sync": lambda: _named(lambda data: worked(node.id, data), name),
        "async": lambda: _named(work, name),
        "staggered": lambda: _named(work, name),
        "class": lambda: User(name=name),
        "generator": lambda: step(join="".join, name=name)(pieces),
        "per_piece": lambda: step(per_piece=True, name=name)(lambda data: turned(node.id, data)),
    }
    return makers[node.style]()


def _break(node: Break) -> Any:
    async def fail(data: Any, context: WorkflowContext) -> str:
        if node.seconds:
            await context.clock.sleep(node.seconds)
        raise ERRORS[node.error](f"b{node.id}")

    async def pieces(data: Any, context: WorkflowContext) -> AsyncIterator[str]:
        yield await fail(data, context)

    name = f"b{node.id}"
    makers: dict[str, Callable[[], Any]] = {
        "async": lambda: _named(fail, name),
        "generator": lambda: step(join="".join, name=name)(pieces),
        "per_piece": lambda: step(per_piece=True, name=name)(fail),
    }
    return makers[node.style]()


def _flaky(node: Flaky) -> Any:
    async def sometimes(data: Any, context: WorkflowContext) -> str:
        key = f"{node.id}:{flat(data)}"
        context.data[key] = context.data.get(key, 0) + 1
        fails = context.data[key] <= node.failures
        await context.clock.sleep(node.seconds)
        if fails:
            raise ERRORS[node.error](f"f{node.id}")
        return worked(node.id, data)

    return _named(sometimes, f"f{node.id}")


def _route(node: Route) -> Any:
    async def pick(data: Any, context: WorkflowContext) -> str:
        if node.misses:
            if node.seconds:
                await context.clock.sleep(node.seconds)
            return "nowhere"
        return f"r{chance(node.id, data, len(node.routes))}"

    return RouterPrimitive(
        {f"r{number}": build(route) for number, route in enumerate(node.routes)},
        pick,
        default=None if node.default is None else f"r{node.default}",
    )


def _fan(node: Fan) -> Any:
    branches = [_made(branch) for branch in node.branches]
    plain = not (node.keyed or node.limit or node.collect)
    # A fan-out on the left of `|` would take the others in; the list keeps it a branch.
    if plain and len(branches) > 1 and not isinstance(branches[0], ParallelPrimitive):
        return functools.reduce(operator.or_, branches[1:], as_step(branches[0]))
    return ParallelPrimitive(
        {f"k{number}": each for number, each in enumerate(branches)} if node.keyed else branches,
        max_concurrency=node.limit,
        on_error="collect" if node.collect else "raise",
    )


def _chain(node: Chain) -> Any:
    first, *rest = map(_made, node.steps)
    if node.name is None and rest:
        return functools.reduce(operator.rshift, rest, as_step(first))
    return SequentialPrimitive([first, *rest], name=node.name)


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    function.__name__ = name
    return function


_BUILDERS: dict[type, Callable[[Any], Any]] = {
    Work: _work,
    Break: _break,
    Flaky: _flaky,
    Split: lambda node: _named(lambda data: split(node.count, data), f"s{node.id}"),
    Chain: _chain,
    Fan: _fan,
    Each: lambda node: MapPrimitive(
        build(node.inside),
        max_concurrency=node.limit,
        on_error="collect" if node.collect else "raise",
    ),
    Choice: lambda node: ConditionalPrimitive(
        lambda data: chance(node.id, data, 2),
        build(node.then),
        None if node.other is None else build(node.other),
    ),
    Route: _route,
    Retry: lambda node: RetryPrimitive(
        build(node.inside),
        node.retries,
        wait_seconds=_NO_TIME,
        max_wait_seconds=_NO_TIME,
        retry_budget=RetryBudget.unlimited(),  # of one object it would last for some runs only
    ),
    Limit: lambda node: TimeoutPrimitive(build(node.inside), node.seconds),
    Fall: lambda node: FallbackPrimitive(
        build(node.choices[0]),
        [build(each) for each in node.choices[1:]],
        hold_out_seconds=None,
    ),
    Climb: lambda node: Cascade(
        [build(tier) for tier in node.tiers], lambda result: chance(node.id, result, 2)
    ),
    Balanced: lambda node: LoadBalancer({"only": build(node.inside)}),
    Cached: lambda node: CachePrimitive(build(node.inside), node.seconds, key=flat),
}
