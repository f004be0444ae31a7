"""Answering again what was answered before."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, cast, overload

from tta_llm.core._checks import at_least, positive
from tta_llm.core._functions import takes_context
from tta_llm.core._tasks import end_tasks
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.performance.keys import cache_key

__all__ = ["CachePrimitive"]


class CachePrimitive(WrapperPrimitive[In, Out]):
    """Remembers what a step gave for an input, for a while.

    Callers that miss the same input at the same time wait for one computation. It goes on until the
    last of them has gone, whoever started it; when it fails they all get the error, and nothing is
    stored. The stored object itself is handed out: don't change what you get.

    Results and streams are remembered apart. A stream is stored when it has ended by itself, and
    replayed in the same pieces.

    Args:
        primitive: The step.
        ttl_seconds: How long a result is good for, above 0.
        max_entries: When there are more, the one that was not used for longest goes.
        key: Makes plain data of the input to key by, for inputs of other types or with parts that
            don't matter. It gets the input, and, if it likes, the context: name the tenant in the
            key when answers differ.
        name: What spans and errors call it.

    Example:
        ```python
        from tta_llm.performance import CachePrimitive
        from tta_llm.testing import MockPrimitive

        model = MockPrimitive(return_value="an answer")
        cached = CachePrimitive(model, ttl_seconds=3600)
        assert cached.run({"q": 1}) == cached.run({"q": 1}) == "an answer"
        assert model.call_count == 1
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        ttl_seconds: float,
        *,
        max_entries: int = 1024,
        key: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        ttl_seconds: float,
        *,
        max_entries: int = 1024,
        key: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        ttl_seconds: float,
        *,
        max_entries: int = 1024,
        key: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        ttl_seconds: float,
        *,
        max_entries: int = 1024,
        key: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None:
        positive(ttl_seconds, "ttl_seconds")
        super().__init__(primitive, label=f"remembered for {ttl_seconds:g} s", name=name)
        self._entries = _Entries(ttl_seconds, at_least(1, max_entries, "max_entries"))
        self._key = as_key(key)
        self._flights: dict[tuple[asyncio.AbstractEventLoop, bytes], _Flight] = {}

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Give the remembered result, or run the step."""
        key = b"result:" + self._key(input_data, context)
        entry = self._entries.get(key, context.clock.now())
        if entry is not None:
            return cast("Out", entry[0])
        return cast("Out", await self._share(key, input_data, context))

    async def _share(self, key: bytes, input_data: In, context: WorkflowContext) -> Any:
        """Wait for the computation under way for this key, or for a new one."""
        place = (asyncio.get_running_loop(), key)
        flight = self._flights.get(place)
        if flight is None or not flight.is_open:
            work = self._compute(key, input_data, context.without_deadline())
            flight = self._flights[place] = _Flight(place[0].create_task(work))
        try:
            return await flight.wait()
        finally:
            if not flight.is_open and self._flights.get(place) is flight:
                del self._flights[place]

    async def _compute(self, key: bytes, input_data: In, context: WorkflowContext) -> Any:
        result = await self.primitive.execute(input_data, context)
        self._entries.put(key, (result,), context.clock.now())
        return result

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Replay the remembered pieces, or stream the step."""
        key = b"pieces:" + self._key(input_data, context)
        pieces = self._entries.get(key, context.clock.now())
        if pieces is None:
            fresh: list[Any] = []
            async with aclosing(self.primitive.stream(input_data, context)) as stream:
                async for piece in stream:
                    fresh.append(piece)
                    yield piece
            self._entries.put(key, tuple(fresh), context.clock.now())
            return
        for piece in pieces:
            yield piece


def as_key(key: Callable[..., Any] | None) -> Callable[[Any, WorkflowContext], bytes]:
    """Give a function of the input and the context that makes the bytes to look up by."""
    if key is None:
        return lambda data, _context: cache_key(data)
    if not callable(key):
        raise TypeError(f"key= is a function of the input (and the context), not {key!r}")
    with_context = takes_context(key)
    return lambda data, context: cache_key(key(data, context) if with_context else key(data))


class _Entries:
    """The least-recently-used dictionary behind the cache, of tuples that go when they are old."""

    def __init__(self, ttl_seconds: float, max_entries: int) -> None:
        self.ttl_seconds, self._max_entries = ttl_seconds, max_entries
        self._lock = (
            threading.Lock()
        )  # several event loops, each in its thread, may share one workflow
        self._entries: OrderedDict[bytes, tuple[float, tuple[Any, ...]]] = OrderedDict()

    def get(self, key: bytes, now: float) -> tuple[Any, ...] | None:
        with self._lock:
            expires, entry = self._entries.get(key, (0.0, None))
            if entry is None:
                return None
            if now >= expires:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return entry

    def put(self, key: bytes, entry: tuple[Any, ...], now: float) -> None:
        with self._lock:
            self._entries[key] = (now + self.ttl_seconds, entry)
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)


class _Flight:
    """One computation that any number of callers wait for."""

    __slots__ = ("_notes", "_waiters", "is_open", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task, self._waiters = task, 0
        self._notes: list[str] | None = None
        """Those of the error, before the first caller was told."""
        self.is_open = True
        """Whether one more caller may still wait for it."""

    async def wait(self) -> Any:
        """Wait for the result; the last waiter to be cancelled ends the computation."""
        self._waiters += 1
        try:
            await asyncio.wait([self.task])
        finally:
            self._waiters -= 1
            if self.task.done() or not self._waiters:
                self.is_open = False
                await end_tasks([self.task])
        return self._outcome()

    def _outcome(self) -> Any:
        error = None if self.task.cancelled() else self.task.exception()
        if error is None:
            return self.task.result()
        # Each caller notes its own path on the error, so each gets one of its own.
        if self._notes is not None:
            raise _twin(error, self._notes)
        self._notes = list(getattr(error, "__notes__", ()))
        raise error


def _twin(error: BaseException, notes: list[str]) -> BaseException:
    """Copy an error without calling its constructor, which may take anything."""
    twin = type(error).__new__(type(error), *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__, __notes__=list(notes))
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    return twin.with_traceback(error.__traceback__)
