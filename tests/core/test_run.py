"""`run`: for code without an event loop, and for notebooks that have one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from tta_llm import WorkflowContext, step
from tta_llm.testing import MockPrimitive

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_it_gives_what_execute_gives() -> None:
    assert (step(str.upper) >> list).run("ab") == ["A", "B"]


def test_it_makes_a_context_when_none_is_given() -> None:
    mock = MockPrimitive(return_value=1)
    mock.run("x")
    assert isinstance(mock.calls[0].context, WorkflowContext)


def test_it_uses_the_context_that_it_is_given() -> None:
    context = WorkflowContext()
    step(lambda data, ctx: ctx.data.update(seen=data)).run("x", context)
    assert context.data == {"seen": "x"}


def test_it_refuses_what_is_no_context() -> None:
    with pytest.raises(TypeError, match="WorkflowContext"):
        step(str.upper).run("x", {"user": 1})  # type: ignore[arg-type]


def test_errors_come_through_with_their_path() -> None:
    with pytest.raises(LookupError) as told:
        (step(str.strip) >> MockPrimitive(raises=LookupError("x"), name="look")).run("x")
    assert told.value.__notes__ == ["in step 2 of 2 'look'"]


async def test_it_works_where_an_event_loop_runs() -> None:
    assert (step(str.upper) | len).run("ab") == ("AB", 2)


async def test_in_a_running_loop_errors_come_through_too() -> None:
    with pytest.raises(LookupError, match="gone"):
        MockPrimitive(raises=LookupError("gone")).run("x")


async def test_in_a_running_loop_it_sees_the_context_variables_of_its_caller() -> None:
    variable.set("from the notebook")
    assert step(lambda data: variable.get()).run("x") == "from the notebook"


async def test_in_a_running_loop_it_leaves_no_thread_and_no_task() -> None:
    before = threading.active_count()
    step(str.upper).run("x")
    assert threading.active_count() == before
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_in_a_running_loop_an_exit_comes_through() -> None:
    def leave(data: Any) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        step(leave).run("x")


def test_an_interrupt_comes_through_and_the_step_is_stopped() -> None:
    stopped: list[str] = []

    @step
    async def waits(data: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(data)

    def interrupt(data: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        (waits | interrupt).run("x")
    assert stopped == ["x"]


def test_the_same_workflow_runs_in_several_threads() -> None:
    workflow = step(str.upper) >> (len | step(str.lower))
    results: dict[int, Any] = {}

    def work(number: int) -> None:
        results[number] = workflow.run("x" * number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: (n, "x" * n) for n in range(8)}
