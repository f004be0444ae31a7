"""The primitive: what every step is, and the operators that make workflows of steps."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, overload

from tta_llm.core import _builders, _drawing, _joins, _tasks
from tta_llm.core._checks import at_least, checked_name
from tta_llm.core._supervision import mark_public, run_observed, supervise
from tta_llm.core._tasks import BatchItem
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
    Pieces,
    Run,
    Shape,
)
from tta_llm.core.context import WorkflowContext, require_context
from tta_llm.observability import SpanDetails, configured

if TYPE_CHECKING:
    from tta_llm.core.mapping import MapPrimitive
    from tta_llm.core.parallel import ParallelPrimitive
    from tta_llm.core.sequence import SequentialPrimitive
    from tta_llm.observability.runs import Run as Recorded

__all__ = ["WorkflowPrimitive"]


class WorkflowPrimitive(ABC, Generic[In, Out]):
    """One step of a workflow, or a whole one: an input and a context in, an output out.

    Override `execute`; the rest follows. Whoever calls it gets, without the author doing anything,
    a check of the context, a span, the deadline's clock, and errors that tell where they arose.

    Args:
        name: What spans, metrics, errors and drawings call it; the class's name when missing.

    Example:
        ```python
        from tta_llm import WorkflowContext, WorkflowPrimitive

        class Shout(WorkflowPrimitive[str, str]):
            async def execute(self, input_data: str, context: WorkflowContext) -> str:
                return input_data.upper()

        workflow = Shout() >> (lambda text: text + "!")
        assert workflow.run("hello") == "HELLO!"
        ```
    """

    _name: str | None = None
    _streams = False
    _transforms = False
    _run: Run
    _pieces: Callable[..., Pieces]

    shape: ClassVar[Shape] = "group"
    """How its children hang together, for whoever draws it."""

    def __init__(self, *, name: str | None = None) -> None:
        self._name = None if name is None else checked_name(name)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        supervise(cls)
        cls._streams = cls.stream is not WorkflowPrimitive.stream
        cls._transforms = cls.transform is not WorkflowPrimitive.transform

    # ------------------------------------------------------------------ what an author writes

    @abstractmethod
    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Do the work of this step.

        Raises:
            TypeError: When `context` is not a WorkflowContext.
            DeadlineExceededError: When the context's deadline passes.
        """

    @mark_public
    def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Yield what `execute` would return, in pieces; without pieces, yield the result.

        Override it as `async def stream(…): … yield piece`. Close it (`contextlib.aclosing`) to
        stop early: that stops the step.

        Raises:
            TypeError: When `context` is not a WorkflowContext.
            DeadlineExceededError: When the context's deadline passes.
        """
        require_context(context)
        return _one_piece(self, input_data, context)

    def transform(self, pieces: AsyncIterator[Any], context: WorkflowContext) -> Pieces:
        """Work on the pieces that the step before yields, as they come.

        Override it as `async def transform(…): async for piece in pieces: … yield …`, beside
        `execute`, in a step that need not wait for the whole: a sequence then streams through it.
        """
        raise NotImplementedError(
            f"{self.name} needs its whole input; it does not work piece by piece"
        )

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The primitives inside this one, each with a label that tells its part."""
        return ()

    @property
    def idempotent(self) -> bool:
        """Whether running it twice changes no more than running it once.

        A workflow is when all its parts are; of a step of its own kind nobody knows unless it says
        so, by a class attribute or a property.
        """
        parts = self.children()
        return bool(parts) and all(part.idempotent for _, part in parts)

    def _span_details(self) -> SpanDetails | None:
        """Say how its span is named and what it tells, where a convention asks; None for as usual.

        What depends on the input is set on the current span by `execute`.
        """
        return None

    # ------------------------------------------------------------------------- what it is used by

    @property
    def name(self) -> str:
        """What spans, metrics, errors and drawings call it."""
        return self._name or type(self).__name__

    @property
    def input_type(self) -> Any:
        """What it takes, by its annotations; `Any` when they don't tell."""
        return _joins.primitive_types(type(self), WorkflowPrimitive)[0]

    @property
    def output_type(self) -> Any:
        """What it gives, by its annotations; `Any` when they don't tell."""
        return _joins.primitive_types(type(self), WorkflowPrimitive)[1]

    def run(self, input_data: In, context: WorkflowContext | None = None) -> Out:
        """Execute from code without an event loop, or in a notebook, whose loop waits meanwhile."""

        async def work() -> Out:
            return await self.execute(input_data, WorkflowContext() if context is None else context)

        return _tasks.run_to_end(work())

    @overload
    def map(
        self: WorkflowPrimitive[A, B],
        *,
        max_concurrency: int = 16,
        on_error: Literal["raise"] = "raise",
    ) -> MapPrimitive[A, B]: ...
    @overload
    def map(
        self: WorkflowPrimitive[A, B],
        *,
        max_concurrency: int = 16,
        on_error: Literal["collect"],
    ) -> MapPrimitive[A, B | Exception]: ...
    def map(
        self, *, max_concurrency: int = 16, on_error: Literal["raise", "collect"] = "raise"
    ) -> Any:
        """Give the step that does this to each item of an iterable; see `MapPrimitive`."""
        return _builders.for_each(self, max_concurrency=max_concurrency, on_error=on_error)

    def batch(
        self: WorkflowPrimitive[A, B],
        inputs: Iterable[A] | AsyncIterable[A],
        context: WorkflowContext | None = None,
        *,
        max_concurrency: int = 16,
        ordered: bool = False,
    ) -> AsyncGenerator[BatchItem[B], None]:
        """Execute for each input and yield a `BatchItem` for each, as they finish.

        An input that fails yields an item with its error; the others go on. The inputs are drawn
        as they are needed and at most `max(64, 2 * max_concurrency)` of them are in memory.

        Args:
            inputs: Any number of inputs; an asynchronous iterable is fine.
            context: Shared by all of them; each gets one of its own when missing.
            max_concurrency: At most this many at the same time.
            ordered: Yield in the order of the inputs instead.
        """
        at_least(1, max_concurrency, "max_concurrency")
        _tasks.require_many(inputs, "batch")
        call = _batch_call(self, context)
        return _tasks.Pool(call, inputs, max_concurrency, ordered=ordered).outcomes()

    def to_mermaid(self, run: Recorded | None = None) -> str:
        """Draw the workflow as a Mermaid flowchart; of a run, in colours and with its figures."""
        return _drawing.mermaid(self, run)

    def to_svg(self, run: Recorded | None = None) -> str:
        """Draw the workflow as an SVG, which needs no service; see `to_mermaid` for a run."""
        return _drawing.svg(self, run)

    def __repr__(self) -> str:
        return _drawing.text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {
            "text/plain": repr(self),
            "text/vnd.mermaid": self.to_mermaid(),
            "image/svg+xml": self.to_svg(),
        }

    # ------------------------------------------------------------------------------- operators

    @overload
    def __rshift__(self, other: WorkflowPrimitive[Out, C]) -> SequentialPrimitive[In, C]: ...
    @overload
    def __rshift__(self, other: AsyncFunction[Out, C]) -> SequentialPrimitive[In, C]: ...
    @overload
    def __rshift__(self, other: AsyncContextFunction[Out, C]) -> SequentialPrimitive[In, C]: ...
    @overload
    def __rshift__(self, other: Callable[[Out], C]) -> SequentialPrimitive[In, C]: ...
    @overload
    def __rshift__(self, other: ContextFunction[Out, C]) -> SequentialPrimitive[In, C]: ...
    def __rshift__(self, other: Any) -> SequentialPrimitive[In, Any]:
        """`a >> b`: what a gives, b takes."""
        return _builders.sequence([self, other])

    @overload
    def __rrshift__(self, other: AsyncFunction[A, In]) -> SequentialPrimitive[A, Out]: ...
    @overload
    def __rrshift__(self, other: AsyncContextFunction[A, In]) -> SequentialPrimitive[A, Out]: ...
    @overload
    def __rrshift__(self, other: Callable[[A], In]) -> SequentialPrimitive[A, Out]: ...
    @overload
    def __rrshift__(self, other: ContextFunction[A, In]) -> SequentialPrimitive[A, Out]: ...
    def __rrshift__(self, other: Any) -> SequentialPrimitive[Any, Out]:
        """`function >> a`."""
        return _builders.sequence([other, self])

    @overload
    def __or__(
        self: WorkflowPrimitive[A, B], other: WorkflowPrimitive[A, C]
    ) -> ParallelPrimitive[A, tuple[B, C]]: ...
    @overload
    def __or__(self, other: AsyncFunction[In, C]) -> ParallelPrimitive[In, tuple[Out, C]]: ...
    @overload
    def __or__(
        self, other: AsyncContextFunction[In, C]
    ) -> ParallelPrimitive[In, tuple[Out, C]]: ...
    @overload
    def __or__(self, other: Callable[[In], C]) -> ParallelPrimitive[In, tuple[Out, C]]: ...
    @overload
    def __or__(self, other: ContextFunction[In, C]) -> ParallelPrimitive[In, tuple[Out, C]]: ...
    def __or__(self, other: Any) -> ParallelPrimitive[Any, Any]:
        """`a | b`: both take the same, and give a tuple."""
        return _builders.fan_out([self, other])

    @overload
    def __ror__(
        self, other: ParallelPrimitive[In, tuple[*Bs]]
    ) -> ParallelPrimitive[In, tuple[*Bs, Out]]: ...
    @overload
    def __ror__(self, other: WorkflowPrimitive[In, C]) -> ParallelPrimitive[In, tuple[C, Out]]: ...
    @overload
    def __ror__(self, other: AsyncFunction[In, C]) -> ParallelPrimitive[In, tuple[C, Out]]: ...
    @overload
    def __ror__(
        self, other: AsyncContextFunction[In, C]
    ) -> ParallelPrimitive[In, tuple[C, Out]]: ...
    @overload
    def __ror__(self, other: Callable[[In], C]) -> ParallelPrimitive[In, tuple[C, Out]]: ...
    @overload
    def __ror__(self, other: ContextFunction[In, C]) -> ParallelPrimitive[In, tuple[C, Out]]: ...
    def __ror__(self, other: Any) -> ParallelPrimitive[Any, Any]:
        """`function | a`."""
        return _builders.fan_out([other, self])


async def _one_piece(
    primitive: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
) -> Pieces:
    yield await primitive.execute(input_data, context)


WorkflowPrimitive._pieces = WorkflowPrimitive.stream


def _batch_call(
    primitive: WorkflowPrimitive[Any, Any], context: WorkflowContext | None
) -> Callable[[Any], Awaitable[Any]]:
    if context is not None:
        require_context(context)
        return lambda item: primitive.execute(item, context)
    # A context made here needs no check, and has no deadline.
    run = functools.partial(run_observed, primitive) if configured() else primitive._run
    return lambda item: run(item, WorkflowContext())
