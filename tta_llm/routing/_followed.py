"""A router that follows how its routes do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, cast

from tta_llm.core import RouterPrimitive, WorkflowContext
from tta_llm.core._paths import add_place
from tta_llm.core._typing import In, Out, Pieces
from tta_llm.recovery import Guard
from tta_llm.recovery._targets import guard_of
from tta_llm.routing.load import Load

__all__ = ["FollowedRouter"]


class FollowedRouter(RouterPrimitive[In, Out]):
    """Knows of each route how many of its calls are under way, and how long they take.

    Args:
        routes: As for every router.
        router_fn: As for every router.
        default: As for every router.
        name: What spans and errors call it.
    """

    def __init__(
        self,
        routes: Mapping[str, Any],
        router_fn: Callable[..., Any],
        default: str | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(routes, router_fn, default, name=name)
        self._loads: dict[str, Load] = {
            route: guard_of(Load, None, primitive) for route, primitive in self.routes.items()
        }
        self._load_of = {
            id(primitive): self._loads[route] for route, primitive in self.routes.items()
        }

    @property
    def guards(self) -> tuple[Guard, ...]:
        """What knows how the routes do."""
        return tuple(self._loads.values())

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the route."""
        place, chosen = await self._choose(input_data, context)
        try:
            with self._load_of[id(chosen)].call(context.clock):
                return cast("Out", await chosen.execute(input_data, context))
        except BaseException as error:
            add_place(error, place)
            raise

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the route."""
        place, chosen = await self._choose(input_data, context)
        try:
            with self._load_of[id(chosen)].call(context.clock) as call:
                async with aclosing(chosen.stream(input_data, context)) as pieces:
                    async for piece in pieces:
                        call.follow(piece)
                        yield piece
        except Exception as error:
            add_place(error, place)
            raise
