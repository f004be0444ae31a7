"""Steps that choose which step to run: by a condition, or by a route's name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar, cast, overload

from tta_llm.core import _joins
from tta_llm.core._functions import runner
from tta_llm.core._paths import add_place
from tta_llm.core._typing import A, AwaitedStep, B, In, Out, Pieces, PlainStep, Shape, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import as_step, checked_function
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import CompositionError, UnknownRouteError
from tta_llm.observability import tell_choice

__all__ = ["ConditionalPrimitive", "RouterPrimitive"]


class _Choice(WorkflowPrimitive[In, Out]):
    """Runs, or streams, the one child that `_choose` picks."""

    shape: ClassVar[Shape] = "choice"

    @abstractmethod
    async def _choose(
        self, input_data: Any, context: WorkflowContext
    ) -> tuple[str, WorkflowPrimitive[Any, Any]]:
        """Pick a child; the text tells where, for an error's path."""

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the choice."""
        place, chosen = await self._choose(input_data, context)
        try:
            return cast("Out", await self._run_chosen(chosen, input_data, context))
        except BaseException as error:
            add_place(error, place)
            raise

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the choice."""
        place, chosen = await self._choose(input_data, context)
        try:
            async with aclosing(self._stream_chosen(chosen, input_data, context)) as pieces:
                async for piece in pieces:
                    yield piece
        except Exception as error:
            add_place(error, place)
            raise

    def _run_chosen(
        self, chosen: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
    ) -> Awaitable[Any]:
        return chosen.execute(input_data, context)

    def _stream_chosen(
        self, chosen: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
    ) -> Pieces:
        return chosen.stream(input_data, context)

    @property
    def input_type(self) -> Any:
        """What the children take, when they agree."""
        return _common([child.input_type for _, child in self.children()])

    @property
    def output_type(self) -> Any:
        """What the children give, when they agree."""
        return _common([child.output_type for _, child in self.children()])


def _common(types: list[Any]) -> Any:
    return types[0] if all(each == types[0] for each in types) else _joins.UNKNOWN


class ConditionalPrimitive(_Choice[In, Out]):
    """Runs one step when a condition holds, and another when it doesn't.

    Args:
        condition: `f(data)` or `f(data, context)`, sync or async; anything true counts.
        then_primitive: Runs when it holds.
        else_primitive: Runs when it doesn't; when missing, the input passes through unchanged.
        name: What spans and errors call it.

    Example:
        ```python
        from tta_llm import ConditionalPrimitive

        shorten = ConditionalPrimitive(
            condition=lambda text, context: len(text) > 10,
            then_primitive=lambda text: text[:9] + "…",
            else_primitive=lambda text: text,
        )
        assert shorten.run("a long sentence") == "a long se…"
        ```
    """

    @overload
    def __init__(
        self: ConditionalPrimitive[A, A | B],
        condition: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        then_primitive: WorkflowPrimitive[A, B],
        else_primitive: None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        condition: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        then_primitive: WorkflowPrimitive[In, Out],
        else_primitive: Step[In, Out],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ConditionalPrimitive[A, A | B],
        condition: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        then_primitive: AwaitedStep[A, B],
        else_primitive: None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        condition: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        then_primitive: AwaitedStep[In, Out],
        else_primitive: Step[In, Out],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ConditionalPrimitive[A, A | B],
        condition: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        then_primitive: PlainStep[A, B],
        else_primitive: None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        condition: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        then_primitive: PlainStep[In, Out],
        else_primitive: Step[In, Out],
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        condition: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        then_primitive: Step[Any, Any],
        else_primitive: Step[Any, Any] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._holds = runner(checked_function(condition))
        self.then_primitive: WorkflowPrimitive[Any, Any] = as_step(then_primitive)
        self.else_primitive: WorkflowPrimitive[Any, Any] = as_step(
            _unchanged if else_primitive is None else else_primitive
        )

    async def _choose(
        self, input_data: Any, context: WorkflowContext
    ) -> tuple[str, WorkflowPrimitive[Any, Any]]:
        if await self._holds(input_data, context):
            return f"then {self.then_primitive.name!r}", self.then_primitive
        return f"else {self.else_primitive.name!r}", self.else_primitive

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The two choices."""
        return [("then", self.then_primitive), ("else", self.else_primitive)]


def _unchanged(data: Any) -> Any:
    return data


class RouterPrimitive(_Choice[In, Out]):
    """Runs the step whose name a function gives.

    Args:
        routes: The steps by name, at least one.
        router_fn: `f(data)` or `f(data, context)`, sync or async; gives a name.
        default: The route to take when `router_fn` gives a name that isn't there.
        name: What spans and errors call it.

    Raises:
        CompositionError: When there is no route, or `default` is not one of them.

    Example:
        ```python
        from tta_llm.core import RouterPrimitive

        tiers = RouterPrimitive(
            routes={"fast": lambda prompt: "a quick answer", "quality": lambda prompt: "a proof"},
            router_fn=lambda prompt, context: "quality" if "prove" in prompt else "fast",
        )
        assert tiers.run("prove it") == "a proof"
        ```
    """

    @overload
    def __init__(
        self,
        routes: Mapping[str, WorkflowPrimitive[In, Out]],
        router_fn: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        default: str | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        routes: Mapping[str, AwaitedStep[In, Out]],
        router_fn: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        default: str | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        routes: Mapping[str, PlainStep[In, Out]],
        router_fn: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        default: str | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        routes: Mapping[str, Step[In, Out]],
        router_fn: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        default: str | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        routes: Mapping[str, Step[In, Out]],
        router_fn: Callable[[Any, WorkflowContext], Any] | Callable[[Any], Any],
        default: str | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if not routes:
            raise CompositionError("a router needs at least one route, and there is none")
        self.routes: dict[str, WorkflowPrimitive[Any, Any]] = {
            route: as_step(primitive) for route, primitive in routes.items()
        }
        self._pick = runner(checked_function(router_fn))
        if default is not None and default not in self.routes:
            there = ", ".join(map(repr, self.routes))
            raise CompositionError(
                f"the default {default!r} is not a route; the routes are {there}"
            )
        self.default = default

    async def _choose(
        self, input_data: Any, context: WorkflowContext
    ) -> tuple[str, WorkflowPrimitive[Any, Any]]:
        route = await self._pick(input_data, context)
        if not (isinstance(route, str) and route in self.routes):
            if self.default is None:
                raise UnknownRouteError(route, self.routes)
            route = self.default
        tell_choice(self.name, route)
        return f"route {route!r}", self.routes[route]

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The routes, under their names."""
        return list(self.routes.items())
