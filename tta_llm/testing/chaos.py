"""Trouble on purpose: a step that fails, dawdles and lies as often as a test wants it to."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final, cast, overload

from tta_llm.core import WorkflowContext, WorkflowPrimitive, WrapperPrimitive
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.errors import ConnectionFailedError
from tta_llm.messages import ChatResponse, events_of
from tta_llm.testing._fates import INJECTED, PROVIDER_ERRORS, Fate, Fates, Injected

__all__ = ["ChaosPrimitive"]

# A stream that is cut has given at most so many pieces.
_MOST_BEFORE_A_CUT = 5
_NOTHING: Final[Any] = object()


class ChaosPrimitive(WrapperPrimitive[In, Out]):
    """Injects failures, latency, wrong results, cancellations and cut streams, by rate and seed.

    A call meets at most one of a failure, a wrong result, a cancellation and a cut, so these rates
    add up to 1 at most; latency comes on top, and before. The n-th call has the same fate whenever
    the seed is the same, whatever runs at the same time. The errors carry a note with both numbers.

    A failure is raised in place of the call. A wrong result takes the place of the right one, after
    the call was made. A cancellation cancels the task that the call runs in, in its place, as if it
    came from outside: a branch of a fan-out has a task of its own. A cut breaks the connection of a
    stream after at most 5 pieces, and always before its last; a call that isn't streamed goes
    through.

    Args:
        primitive: The step.
        failure_rate: The share of calls, from 0 to 1, that fail.
        errors: What they fail with, each as often as the others: exception types, exceptions (each
            failure gets a copy), or functions that make one. By default what providers raise in
            bad weather: rate limit, overload, server error, lost connection, time-out.
        latency_rate: The share of calls that are late.
        latency_seconds: By how much, on the context's clock; or the bounds between which it is
            drawn.
        wrong_result_rate: The share of calls that give a wrong result.
        wrong_result: The wrong result, or a function that makes it from the right one.
        cancel_rate: The share of calls that are cancelled.
        cut_rate: The share of calls whose stream is cut.
        seed: Decides the fate of each call. Drawn when missing; the outline shows it, so that a
            test that failed can be run again.
        name: What spans and errors call it.

    Example:
        ```python
        from tta_llm.recovery import RetryPrimitive
        from tta_llm.testing import ChaosPrimitive, MockPrimitive

        model = ChaosPrimitive(MockPrimitive("an answer"), failure_rate=0.3, seed=7)
        patient = RetryPrimitive(model, max_retries=9, wait_seconds=1e-6, max_wait_seconds=1e-6)
        assert [patient.run("a question") for _ in range(10)] == ["an answer"] * 10
        assert model.calls == 10 + model.injected["failure"]
        assert "chaos with seed 7" in repr(model)
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        *,
        failure_rate: float = 0.0,
        errors: Sequence[Injected] = PROVIDER_ERRORS,
        latency_rate: float = 0.0,
        latency_seconds: float | tuple[float, float] = 1.0,
        wrong_result_rate: float = 0.0,
        wrong_result: Any = None,
        cancel_rate: float = 0.0,
        cut_rate: float = 0.0,
        seed: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        *,
        failure_rate: float = 0.0,
        errors: Sequence[Injected] = PROVIDER_ERRORS,
        latency_rate: float = 0.0,
        latency_seconds: float | tuple[float, float] = 1.0,
        wrong_result_rate: float = 0.0,
        wrong_result: Any = None,
        cancel_rate: float = 0.0,
        cut_rate: float = 0.0,
        seed: int | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        *,
        failure_rate: float = 0.0,
        errors: Sequence[Injected] = PROVIDER_ERRORS,
        latency_rate: float = 0.0,
        latency_seconds: float | tuple[float, float] = 1.0,
        wrong_result_rate: float = 0.0,
        wrong_result: Any = None,
        cancel_rate: float = 0.0,
        cut_rate: float = 0.0,
        seed: int | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        *,
        failure_rate: float = 0.0,
        errors: Sequence[Injected] = PROVIDER_ERRORS,
        latency_rate: float = 0.0,
        latency_seconds: float | tuple[float, float] = 1.0,
        wrong_result_rate: float = 0.0,
        wrong_result: Any = None,
        cancel_rate: float = 0.0,
        cut_rate: float = 0.0,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        self.seed: int = random.randrange(2**32) if seed is None else seed  # noqa: S311
        super().__init__(primitive, label=f"chaos with seed {self.seed}", name=name)
        self.calls: int = 0
        """How many calls there were."""
        self.injected: Counter[str] = Counter()
        """How often what happened: `latency`, `failure`, `wrong_result`, `cancel`, `cut`."""
        self._lock = threading.Lock()
        rates = {"failure": failure_rate, "wrong_result": wrong_result_rate}
        rates |= {"cancel": cancel_rate, "cut": cut_rate}
        self._fates = Fates(self.seed, rates, errors, latency_rate, latency_seconds)
        self._wrong = wrong_result if callable(wrong_result) else lambda _: wrong_result

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step, or let happen to it what is its fate."""
        fate = await self._begin(context)
        result = await super().execute(input_data, context)
        return cast("Out", self._changed(result)) if fate.kind == "wrong_result" else result

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step, or let happen to it what is its fate."""
        fate = await self._begin(context)
        if fate.kind == "wrong_result":
            result = self._changed(await self.primitive.execute(input_data, context))
            for piece in events_of(result) if isinstance(result, ChatResponse) else (result,):
                yield piece
            return
        pieces = super().stream(input_data, context)
        if fate.kind == "cut":
            pieces = self._cut(pieces, fate)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def _begin(self, context: WorkflowContext) -> Fate:
        """Let happen what happens before a call, or in its place."""
        with self._lock:
            self.calls += 1
            fate = self._fates.of(self.calls)
        if fate.latency_seconds is not None:
            self._count("latency")
            await context.clock.sleep(fate.latency_seconds)
        if fate.kind == "failure":
            self._count("failure")
            raise self._noted(self._fates.error(fate), fate)
        if fate.kind == "cancel":
            self._count("cancel")
            await _be_cancelled()
        return fate

    def _changed(self, result: Any) -> Any:
        self._count("wrong_result")
        return self._wrong(result)

    async def _cut(self, pieces: Pieces, fate: Fate) -> Pieces:
        """Yield some of the pieces, each once the next one is there, so that the last never is."""
        delivered, most = 0, 1 + int(fate.share * _MOST_BEFORE_A_CUT)
        held = _NOTHING
        async with aclosing(pieces):
            async for piece in pieces:
                if held is not _NOTHING:
                    yield held
                    delivered += 1
                if delivered == most:
                    break
                held = piece
        self._count("cut")
        raise self._noted(ConnectionFailedError(f"cut after {delivered} pieces"), fate)

    def _count(self, kind: str) -> None:
        with self._lock:
            self.injected[kind] += 1

    def _noted(self, error: Exception, fate: Fate) -> Exception:
        error.add_note(f"{INJECTED}: call {fate.number} with seed {self.seed}")
        return error


async def _be_cancelled() -> None:
    """Cancel the task that this runs in, and wait for it to be told so."""
    task = asyncio.current_task()
    if task is not None:
        task.cancel(INJECTED)
    await asyncio.sleep(0)
