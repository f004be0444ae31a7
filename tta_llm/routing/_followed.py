"""A router that follows how its routes do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from tta_llm.core import RouterPrimitive, WorkflowContext, WorkflowPrimitive
from tta_llm.core._typing import In, Out, Pieces
from tta_llm.recovery import Guard
from tta_llm.recovery._targets import guard_of
from tta_llm.routing._load import Load

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

    async def _run_chosen(
        self, chosen: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
    ) -> Any:
        with self._load_of[id(chosen)].call(context.clock):
            return await chosen.execute(input_data, context)

    async def _stream_chosen(
        self, chosen: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
    ) -> Pieces:
        with self._load_of[id(chosen)].call(context.clock) as call:
            async with aclosing(chosen.stream(input_data, context)) as pieces:
                async for piece in pieces:
                    call.follow(piece)
                    yield piece
