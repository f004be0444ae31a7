"""The same input to several steps at the same time: `|`."""

from __future__ import annotations

import functools
import types
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast, overload

from tta_llm.core import _builders, _joins, _tasks
from tta_llm.core._checks import at_least, listed, one_of
from tta_llm.core._paths import add_place
from tta_llm.core._supervision import observed, run_observed
from tta_llm.core._typing import (
    A,
    AsyncContextFunction,
    AsyncFunction,
    B,
    Bs,
    C,
    ContextFunction,
    In,
    Out,
)
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import as_step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import CompositionError
from tta_llm.observability import Timed, configured, names
from tta_llm.observability.telemetry import telemetry

__all__ = ["ParallelPrimitive"]


class ParallelPrimitive(WorkflowPrimitive[In, Out]):
    """Branches that take the same input at the same time; `a | b | c` makes it.

    The results are a tuple in the order written, or, for a mapping of named branches, a dictionary.
    When a branch fails the others are cancelled and awaited, and its error is raised with the
    branch's name on it.

    `group | c` adds a branch to the group; to keep the group as one branch put it on the right, in
    brackets.

    Args:
        branches: Primitives or functions, at least one; or a mapping of names to them.
        max_concurrency: At most this many branches at the same time; all of them when missing.
        on_error: `"collect"` lets the others finish and gives the error in the place of a result.
        name: What spans and errors call it.

    Raises:
        CompositionError: When there is no branch, one is not a step, or two can't take the same
            input.

    Example:
        ```python
        from tta_llm import ParallelPrimitive

        count = ParallelPrimitive({"characters": len, "words": lambda text: len(text.split())})
        assert count.run("to be or not") == {"characters": 12, "words": 4}
        ```
    """

    @overload
    def __init__(
        self: ParallelPrimitive[A, tuple[B, ...]],
        branches: Sequence[WorkflowPrimitive[A, B]],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[A, dict[str, B]],
        branches: Mapping[str, WorkflowPrimitive[A, B]],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[A, tuple[B | Exception, ...]],
        branches: Sequence[WorkflowPrimitive[A, B]],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["collect"],
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[A, dict[str, B | Exception]],
        branches: Mapping[str, WorkflowPrimitive[A, B]],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["collect"],
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ParallelPrimitive[Any, Any],
        branches: Sequence[Any] | Mapping[str, Any],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "collect"] = "raise",
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        branches: Sequence[Any] | Mapping[str, Any],
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "collect"] = "raise",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._keyed = isinstance(branches, Mapping)
        parts = branches.values() if isinstance(branches, Mapping) else listed(branches, "branches")
        self.branches: tuple[WorkflowPrimitive[Any, Any], ...] = tuple(map(as_step, parts))
        if not self.branches:
            raise CompositionError("a fan-out needs at least one branch, and there is none")
        keys = (
            branches
            if isinstance(branches, Mapping)
            else unique_names(part.name for part in self.branches)
        )
        self._labels = tuple(keys)
        _joins.refuse_different_inputs(zip(self._labels, self.branches, strict=True))
        self.max_concurrency: int | None = (
            None if max_concurrency is None else at_least(1, max_concurrency, "max_concurrency")
        )
        self.on_error: Literal["raise", "collect"] = one_of(
            ("raise", "collect"), on_error, "on_error"
        )

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the branches at the same time."""
        if configured() and observed(context):
            with Timed(telemetry().parallel_total):
                return cast("Out", await self._run_branches(_run_measured, input_data, context))
        return cast("Out", await self._run_branches(_run_branch, input_data, context))

    async def _run_branches(self, run: _RunBranch, input_data: In, context: WorkflowContext) -> Any:
        branches = zip(self._labels, self.branches, strict=True)
        results = await _tasks.run_together(
            [functools.partial(run, *branch, input_data, context) for branch in branches],
            limit=self.max_concurrency,
            collect=self.on_error == "collect",
        )
        return dict(zip(self._labels, results, strict=True)) if self._keyed else tuple(results)

    @overload  # type: ignore[override]
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: WorkflowPrimitive[A, C]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: AsyncFunction[A, C]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: AsyncContextFunction[A, C]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: Callable[[A], C]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(
        self: ParallelPrimitive[A, tuple[*Bs]], other: ContextFunction[A, C]
    ) -> ParallelPrimitive[A, tuple[*Bs, C]]: ...
    @overload
    def __or__(
        self: WorkflowPrimitive[A, B], other: WorkflowPrimitive[A, C]
    ) -> ParallelPrimitive[A, tuple[B, C]]: ...
    def __or__(self, other: Any) -> ParallelPrimitive[Any, Any]:
        """Add a branch to the group; a group of named branches becomes the first of two."""
        if self._keyed:
            return ParallelPrimitive([self, other])
        return ParallelPrimitive(
            [*self.branches, other],
            max_concurrency=self.max_concurrency,
            on_error=self.on_error,
            name=self._name,
        )

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The branches, under their names."""
        return list(zip(self._labels, self.branches, strict=True))

    @property
    def input_type(self) -> Any:
        """What the first branch takes whose annotations tell."""
        return next((t for part in self.branches if (t := part.input_type) is not Any), Any)

    @property
    def output_type(self) -> Any:
        """A tuple of what the branches give, or a dictionary."""
        gives = tuple(part.output_type for part in self.branches)
        return dict if self._keyed else types.GenericAlias(tuple, gives)


_RunBranch: TypeAlias = Callable[
    [str, WorkflowPrimitive[Any, Any], Any, WorkflowContext], Awaitable[Any]
]


async def _run_branch(
    label: str, branch: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
) -> Any:
    try:
        return await branch._run(input_data, context)
    except BaseException as error:
        add_place(error, f"branch {label!r}")
        raise


async def _run_measured(
    label: str, branch: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
) -> Any:
    current = telemetry()
    try:
        with Timed(current.parallel_branch, current.about(names.BRANCH, label)):
            return await run_observed(branch, input_data, context)
    except BaseException as error:
        add_place(error, f"branch {label!r}")
        raise


def unique_names(labels: Iterable[str]) -> list[str]:
    """Number what is called the same, so that errors and metrics tell the branches apart."""
    unique = list(labels)
    seen: dict[str, int] = {}
    for index, label in enumerate(unique):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] > 1:
            unique[index] = f"{label}#{seen[label]}"
    return unique


_builders.fan_out = ParallelPrimitive
