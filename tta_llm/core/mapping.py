"""The same step for each item of an iterable."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Literal, overload

from tta_llm.core import _builders, _tasks
from tta_llm.core._checks import at_least, one_of
from tta_llm.core._paths import add_place, carry_left
from tta_llm.core._supervision import observed, run_observed
from tta_llm.core._typing import A, B, C
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import as_step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.observability import configured

__all__ = ["MapPrimitive"]


class MapPrimitive(WorkflowPrimitive[Iterable[A] | AsyncIterable[A], list[B]]):
    """The same step for each item of an iterable, with the results in order; `step.map()` makes it.

    Args:
        primitive: What is done to each item.
        max_concurrency: At most this many items at the same time.
        on_error: `"raise"` cancels the others when an item fails and raises its error, with the
            item's number on it; `"collect"` lets them finish and gives the error in the place of a
            result.
        name: What spans and errors call it.

    Example:
        ```python
        from tta_llm import step

        assert step(len).map().run(["a", "bc"]) == [1, 2]
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[A, B],
        *,
        max_concurrency: int = 16,
        on_error: Literal["raise"] = "raise",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: MapPrimitive[A, C | Exception],
        primitive: WorkflowPrimitive[A, C],
        *,
        max_concurrency: int = 16,
        on_error: Literal["collect"],
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: WorkflowPrimitive[A, Any],
        *,
        max_concurrency: int = 16,
        on_error: Literal["raise", "collect"] = "raise",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.primitive: WorkflowPrimitive[Any, Any] = as_step(primitive)
        self.max_concurrency: int = at_least(1, max_concurrency, "max_concurrency")
        self.on_error: Literal["raise", "collect"] = one_of(
            ("raise", "collect"), on_error, "on_error"
        )

    async def execute(
        self, input_data: Iterable[A] | AsyncIterable[A], context: WorkflowContext
    ) -> list[B]:
        """Run the step for each item.

        Raises:
            TypeError: When the input is a single text, or not iterable at all.
        """
        _tasks.require_many(input_data, "map")
        fail_fast = self.on_error == "raise"
        pool = _tasks.Pool(
            self._call(context), input_data, self.max_concurrency, stop_at_error=fail_fast
        )
        results: dict[int, Any] = {}
        try:
            async with aclosing(pool.outcomes()) as outcomes:
                async for outcome in outcomes:
                    error = outcome.error
                    if error is not None:
                        add_place(error, f"item {outcome.index}")
                        if fail_fast:
                            raise error
                    results[outcome.index] = outcome.value if error is None else error
        except Exception as failure:
            carry_left(pool.interrupted, failure)
            raise
        return [results[index] for index in range(len(results))]

    def _call(self, context: WorkflowContext) -> Callable[[Any], Awaitable[Any]]:
        run = self.primitive._run
        if configured() and observed(context):
            run = functools.partial(run_observed, self.primitive)
        return lambda item: run(item, context)

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """What is done to each item."""
        return [("each", self.primitive)]

    @property
    def input_type(self) -> Any:
        """Unknown: any kind of iterable will do."""
        return Any

    @property
    def output_type(self) -> Any:
        """A list of what the step gives."""
        return list[self.primitive.output_type] if self.on_error == "raise" else list  # type: ignore[name-defined]


_builders.for_each = MapPrimitive
