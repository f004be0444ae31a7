"""The laws of a primitive as a suite of tests that anyone can run on a primitive of their own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tta_llm.core import ParallelPrimitive, WorkflowContext, step
from tta_llm.errors import DeadlineExceededError
from tta_llm.testing._probes import (
    COMPOSITIONS,
    AnyPrimitive,
    collect,
    differences,
    raising,
    refuse_tasks_left,
    require,
    state,
    take,
    unchanged,
)
from tta_llm.testing.cancellation import cancel_at_every_await
from tta_llm.testing.clock import VirtualClock

__all__ = ["PrimitiveContract"]

T = TypeVar("T")

# How many pieces of a stream are taken, at most, before it is closed early.
_MOST_PIECES = 8


class PrimitiveContract(ABC):
    """What holds for every primitive: subclass it in a test module, and pytest runs the laws.

    Say how to make the primitive and what to feed it. If its stream comes in pieces that aren't
    text, say how they join; if its results can't be compared with `==`, or are never twice the
    same, override `same`. The tests are plain functions that run event loops of their own; no
    plugin is needed.

    Example:
        ```python
        from tta_llm import WorkflowPrimitive
        from tta_llm.testing import PrimitiveContract

        class Shout(WorkflowPrimitive[str, str]):
            async def execute(self, input_data, context):
                return input_data.upper()

        class TestShout(PrimitiveContract):
            def primitive(self):
                return Shout()

            def input_data(self):
                return "hello"
        ```
    """

    # ------------------------------------------------------------------------- what an author says

    @abstractmethod
    def primitive(self) -> AnyPrimitive:
        """Make the primitive; each test asks for new ones."""

    @abstractmethod
    def input_data(self) -> Any:
        """Make an input that the primitive succeeds with."""

    def join(self, pieces: list[Any]) -> Any:
        """Make of a stream's pieces what `execute` gives; texts are joined, one piece is it."""
        if len(pieces) == 1:
            return pieces[0]
        if all(isinstance(piece, str) for piece in pieces):
            return "".join(pieces)
        raise NotImplementedError(
            f"{type(self).__name__} must override join(pieces): the stream gave "
            f"{len(pieces)} pieces, the first is a {type(pieces[0]).__name__}"
        )

    def same(self, first: Any, second: Any) -> bool:
        """Tell whether two results are equal."""
        return bool(first == second)

    def context(self) -> WorkflowContext:
        """Make a context; with `VirtualClock(auto_advance=True)` long waits pass at once."""
        return WorkflowContext()

    # ---------------------------------------------------------------------------------- the laws

    def test_a_missing_context_is_refused(self) -> None:
        """Law 1: the mistake is told at once, with its remedy."""

        async def executed() -> None:
            await self.primitive().execute(self.input_data(), None)  # type: ignore[arg-type]

        async def streamed() -> None:
            stream = self.primitive().stream(self.input_data(), None)  # type: ignore[arg-type]
            await collect(stream)

        for attempt in (executed, streamed):
            with raising(TypeError, f"{attempt.__name__} with None for its context, it") as caught:
                _run(attempt())
            told = str(caught[0])
            require("WorkflowContext" in told, f"the error doesn't name WorkflowContext: {told}")

    def test_composing_changes_no_operand(self) -> None:
        """Law 2: an operand may be shared between workflows."""
        primitive, other = self.primitive(), step(unchanged)
        before = state(primitive), state(other)
        for composition, compose in COMPOSITIONS.items():
            compose(primitive, other)
            changed = differences(before[0], state(primitive)) + differences(
                before[1], state(other)
            )
            require(not changed, f"{composition} changed {', '.join(changed)} of an operand")

    def test_it_gives_the_same_within_a_chain_or_a_fan_out(self) -> None:
        """Law 2: in a chain it gives what it gives alone, however the chain is bracketed."""
        expected = self._result(self.primitive())
        for chain in (
            step(unchanged) >> self.primitive(),
            self.primitive() >> step(unchanged),
            (step(unchanged) >> self.primitive()) >> step(unchanged),
            step(unchanged) >> (self.primitive() >> step(unchanged)),
        ):
            self._require_same(self._result(chain), expected, f"in the chain\n{chain!r}\n")
        both = self._result(ParallelPrimitive([self.primitive(), unchanged]))
        self._require_same(both[0], expected, "as a branch")

    def test_it_executes_again_and_again(self) -> None:
        """Law 2: one object, any number of runs, one after the other."""
        primitive = self.primitive()

        async def three_times() -> list[Any]:
            return [await self._execute(primitive) for _ in range(3)]

        first, *later = _run(three_times())
        for result in later:
            self._require_same(result, first, "executed again")

    def test_it_executes_many_times_at_once(self) -> None:
        """Law 2: runs at the same time don't disturb each other."""
        expected = self._result(self.primitive())
        primitive = self.primitive()

        async def together() -> list[Any]:
            return list(await asyncio.gather(*(self._execute(primitive) for _ in range(10))))

        for result in _run(together()):
            self._require_same(result, expected, "executed ten times at once")

    def test_it_executes_in_one_event_loop_after_the_other(self) -> None:
        """Law 2: nothing binds it to the first loop it ran in."""
        primitive = self.primitive()

        async def twice_at_once() -> list[Any]:
            return list(await asyncio.gather(*(self._execute(primitive) for _ in range(2))))

        first, second = _run(twice_at_once()), _run(twice_at_once())
        self._require_same(second[0], first[0], "executed in a second event loop")

    def test_it_runs_without_an_event_loop_and_inside_one(self) -> None:
        """Law 1: `run` is the same in a script and in a notebook."""
        expected = self._result(self.primitive())

        async def inside() -> Any:
            return self.primitive().run(self.input_data(), self.context())

        outside = self.primitive().run(self.input_data(), self.context())
        self._require_same(outside, expected, "run without an event loop")
        self._require_same(_run(inside()), expected, "run inside an event loop")

    def test_it_leaves_nothing_running(self) -> None:
        """Law 5: what it started has ended when it returns."""
        primitive = self.primitive()
        threads = set(threading.enumerate())

        async def execute_and_look() -> None:
            before = asyncio.all_tasks()
            await self._execute(primitive)
            refuse_tasks_left(before, "executed")
            await collect(primitive.stream(self.input_data(), self.context()))
            refuse_tasks_left(before, "streamed")

        _run(execute_and_look())
        left = set(threading.enumerate()) - threads
        require(not left, f"threads were left running: {left}")

    def test_it_can_be_cancelled_at_every_await_point(self) -> None:
        """Law 5: cancellation passes through at once, and leaves nothing behind."""
        _run(cancel_at_every_await(lambda: self._execute(self.primitive())))

    def test_its_stream_can_be_cancelled_at_every_await_point(self) -> None:
        """Law 5, for who consumes the stream."""

        def consume() -> Coroutine[Any, Any, list[Any]]:
            return collect(self.primitive().stream(self.input_data(), self.context()))

        _run(cancel_at_every_await(consume))

    def test_streamed_equals_executed(self) -> None:
        """Law 10: the pieces make the result."""
        pieces = _run(collect(self.primitive().stream(self.input_data(), self.context())))
        self._require_same(
            self.join(pieces), self._result(self.primitive()), f"joined from {len(pieces)} pieces"
        )

    def test_a_stream_closed_early_stops(self) -> None:
        """Law 10: after `aclose` it yields no more and nothing is left of it."""

        async def close_after(count: int) -> bool:
            before = asyncio.all_tasks()
            stream = self.primitive().stream(self.input_data(), self.context())
            taken = await take(stream, count)
            refuse_tasks_left(before, f"closed after {count} pieces")
            more = await collect(stream)
            require(not more, f"closed after {count} pieces, the stream went on with {more!r}")
            return taken == count

        count = 0
        while _run(close_after(count)) and count < _MOST_PIECES:
            count += 1

    def test_it_can_be_drawn(self) -> None:
        """It shows in a terminal, in a notebook and as a diagram."""
        primitive = self.primitive()
        require(primitive.name in repr(primitive), f"no name in its repr: {primitive!r}")
        diagram = (primitive >> step(unchanged)).to_mermaid()
        require(diagram.startswith("flowchart "), f"not a flowchart: {diagram}")

    def test_a_deadline_that_has_passed_is_respected(self) -> None:
        """Law 7: nothing is begun for which there is no time."""

        async def late(
            use: Callable[[AnyPrimitive, WorkflowContext], Coroutine[Any, Any, Any]],
        ) -> None:
            clock = VirtualClock()
            context = WorkflowContext(clock=clock, timeout_seconds=1)
            await clock.advance(2)
            await use(self.primitive(), context)

        for use in (self._execute, self._stream):
            with raising(DeadlineExceededError, "a deadline that had passed"):
                _run(late(use))

    # ------------------------------------------------------------------------------------ helpers

    def _execute(
        self, primitive: AnyPrimitive, context: WorkflowContext | None = None
    ) -> Coroutine[Any, Any, Any]:
        return primitive.execute(self.input_data(), context or self.context())

    def _stream(
        self, primitive: AnyPrimitive, context: WorkflowContext
    ) -> Coroutine[Any, Any, list[Any]]:
        return collect(primitive.stream(self.input_data(), context))

    def _result(self, primitive: AnyPrimitive) -> Any:
        return _run(self._execute(primitive))

    def _require_same(self, result: Any, expected: Any, how: str) -> None:
        require(
            self.same(result, expected),
            f"{how} it gave {result!r}, by itself it gives {expected!r}",
        )


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)
