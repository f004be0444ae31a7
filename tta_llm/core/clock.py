"""The one source of time: real by default, virtual in tests (`tta_llm.testing.VirtualClock`)."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock", "TimeoutScope"]


class Clock(Protocol):
    """What a context asks about time. All figures are seconds."""

    def now(self) -> float:
        """Seconds on a clock that never goes backwards; its zero means nothing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait, giving way to other tasks."""
        ...

    def timeout_at(self, when: float) -> AbstractAsyncContextManager[TimeoutScope]:
        """Cancel the block, and raise TimeoutError, once `now()` reaches `when`."""
        ...


class TimeoutScope(Protocol):
    """A block with a time limit; `asyncio.timeout` gives one, too."""

    def expired(self) -> bool:
        """Tell whether the time came while the block ran."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    if TYPE_CHECKING:

        @staticmethod
        def now() -> float:
            """Give `time.monotonic()`."""
            ...
    else:
        now = staticmethod(time.monotonic)  # with no call of ours around it

    async def sleep(self, seconds: float) -> None:
        """Wait with `asyncio.sleep`."""
        await asyncio.sleep(seconds)

    def timeout_at(self, when: float) -> AbstractAsyncContextManager[TimeoutScope]:
        """Do what `asyncio.timeout` does."""
        # The loop's own clock may have another zero.
        return _Timeout(when - self.now())


class _Timeout:
    """`asyncio.timeout` without `reschedule` and `when`, which takes 1.6 µs less of 4."""

    __slots__ = ("_cancelling", "_delay", "_expired", "_task", "_timer")

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._expired = False

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a time limit needs a task to cancel: use it inside one")
        self._task, self._cancelling = task, task.cancelling()
        if self._delay > 0:
            self._timer: asyncio.Handle = loop.call_later(self._delay, self._expire)
        else:
            self._timer = loop.call_soon(self._expire)
        return self

    def expired(self) -> bool:
        return self._expired

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if not self._expired:
            return
        # More requests to cancel than there were at first: somebody outside made one as well.
        is_ours_alone = self._task.uncancel() <= self._cancelling
        if is_ours_alone and kind is asyncio.CancelledError:
            raise TimeoutError from error


SYSTEM_CLOCK = SystemClock()
