"""Blocking work in threads: nothing is left of it, and nobody waits for what has not begun."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tta_llm.core.threads import finish_in_thread


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


async def rounds(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_gives_what_the_function_gives() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    variable.set("inside")
    assert await finish_in_thread(variable.get) == "inside"
    with pytest.raises(ZeroDivisionError):
        await finish_in_thread(divmod, 1, 0)


async def test_a_cancellation_waits_for_what_has_begun(gate: threading.Event) -> None:
    begun, ended = threading.Event(), list[bool]()

    def work() -> None:
        begun.set()
        gate.wait()
        ended.append(True)
        raise ValueError("which nobody hears of")

    task = asyncio.create_task(finish_in_thread(work))
    await asyncio.to_thread(begun.wait)
    for _ in range(2):
        task.cancel()
        await rounds()
        assert not task.done()
    gate.set()
    await asyncio.wait([task])
    assert task.cancelled() and ended


async def test_a_cancellation_does_not_wait_for_a_free_thread(gate: threading.Event) -> None:
    calls: list[str] = []
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    busy = asyncio.create_task(finish_in_thread(gate.wait))
    await rounds()
    task = asyncio.create_task(finish_in_thread(calls.append, "called"))
    await rounds()
    task.cancel()
    await rounds()
    assert task.cancelled()
    gate.set()
    await busy
    assert await finish_in_thread(len, calls) == 0
