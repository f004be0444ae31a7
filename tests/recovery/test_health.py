"""How the guards are, at a glance."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from tta_llm import ParallelPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.core import WrapperPrimitive
from tta_llm.recovery import (
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    Guard,
    GuardHealth,
    Health,
    RateLimitPrimitive,
    RetryBudget,
    RetryPrimitive,
    TimeoutPrimitive,
    health,
)
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock


class Gate(Guard):
    """A guard of an outside author."""

    kind: ClassVar[str] = "gate"

    def __init__(self, name: str | None = None, *, figure: float = 1.0, says: str = "open") -> None:
        super().__init__(name=name)
        self.figures, self.says = {"concurrency_in_use": figure}, says

    def readings(self) -> Mapping[str, float]:
        return self.figures

    def status(self) -> str:
        return self.says


class Gated(WrapperPrimitive[Any, Any]):
    """A primitive of an outside author."""

    def __init__(self, primitive: Any, *gates: Gate) -> None:
        super().__init__(primitive)
        self.guards: tuple[Guard, ...] = gates


class Broken(Gate):
    def status(self) -> str:
        raise LookupError("sk-canary")


def names(found: Health) -> list[str]:
    return [row.name for row in found]


def test_it_shows_all_guards_of_a_workflow_in_the_order_of_their_use() -> None:
    first, second = MockPrimitive(name="first"), MockPrimitive(name="second")
    workflow = str.strip >> FallbackPrimitive(
        Gated(first, Gate("a")),
        [TimeoutPrimitive(Gated(second, Gate("b"), Gate("c")), timeout_seconds=5)],
    )
    workflow = workflow >> ParallelPrimitive({"left": Gated(first, Gate("d")), "right": str.lower})
    gates = [row.name for row in health(workflow) if row.kind == "gate"]
    assert gates == ["a", "b", "c", "d"]


def test_a_guard_that_several_parts_share_appears_once() -> None:
    gate, model = Gate("shared"), MockPrimitive(name="model")
    workflow = Gated(model, gate) >> Gated(model, gate, gate)
    assert names(health(workflow, workflow, workflow >> str.strip)) == ["shared"]
    retries = RetryPrimitive(model) | RetryPrimitive(model)
    assert names(health(retries)) == ["model"]


def test_a_part_that_is_used_in_many_places_is_asked_once() -> None:
    asked: list[int] = []

    class Counted(WrapperPrimitive[Any, Any]):
        def children(self) -> Any:
            asked.append(1)
            return super().children()

    part: WorkflowPrimitive[Any, Any] = Counted(str.strip)
    for _ in range(12):
        part = part | part  # 4096 ways lead to it
    asked.clear()
    health(part)
    assert asked == [1]


def test_the_table_is_aligned_and_readable() -> None:
    rows = (
        GuardHealth("circuit breaker", "openai:gpt-4.1", "open for 12 s more"),
        GuardHealth("gate", "b", "closed"),
    )
    assert str(Health(rows)) == (
        "guard            target          state\n"
        "circuit breaker  openai:gpt-4.1  open for 12 s more\n"
        "gate             b               closed"
    )


def test_a_workflow_without_guards_says_so() -> None:
    found = health(MockPrimitive() >> str.strip)
    assert len(found) == 0
    assert str(found) == "no guards: nothing here breaks, limits or holds out calls"
    assert found.as_dict() == {"guards": []}


def test_it_can_be_written_as_json() -> None:
    workflow = Gated(MockPrimitive(), Gate("a", figure=0.5))
    workflow = Gated(Gated(workflow, Gate("b", figure=math.inf)), Gate("c", figure=math.nan))
    told = json.loads(json.dumps(health(workflow).as_dict(), allow_nan=False))
    readings = {row["name"]: row["readings"] for row in told["guards"]}
    assert readings == {"a": {"concurrency_in_use": 0.5}, "b": {}, "c": {}}
    unlimited = RetryPrimitive(MockPrimitive(), retry_budget=RetryBudget.unlimited())
    assert json.dumps(health(unlimited).as_dict(), allow_nan=False)


def test_it_is_what_was_and_does_not_change() -> None:
    gate = Gate("a")
    before = health(Gated(str.strip, gate))
    gate.says, gate.figures["concurrency_in_use"] = "shut", 7.0
    (row,) = before
    assert (row.status, row.readings) == ("open", {"concurrency_in_use": 1.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.rows = ()  # type: ignore[misc]


def test_without_workflows_it_asks_all_that_have_a_name() -> None:
    kept = Gated(MockPrimitive(), Gate("zeta"), Gate("alpha"), Gate())
    dropped = Gate("dropped")
    assert "dropped" in names(health())
    del dropped
    gc.collect()
    found = names(health())
    assert [name for name in found if name in ("alpha", "zeta", "dropped")] == ["alpha", "zeta"]
    assert "Gate" not in found
    assert "Gate" in names(health(kept))


def test_a_guard_that_can_not_be_read_does_not_hide_the_others() -> None:
    found = health(Gated(str.strip, Broken("bad"), Gate("good")))
    assert [row.status for row in found] == ["can't be read: LookupError", "open"]
    assert "canary" not in str(found)


def test_what_is_no_primitive_is_refused() -> None:
    with pytest.raises(TypeError, match="health asks workflows, and a str is none"):
        health("workflow")  # type: ignore[arg-type]


def test_a_retry_budget_shows_what_is_left() -> None:
    clock = VirtualClock()
    model = MockPrimitive(raises=ConnectionError, name="model")
    budget = RetryBudget(ratio=0, per_second=0, burst=3)
    workflow = RetryPrimitive(model, max_retries=2, retry_budget=budget)
    with pytest.raises(ConnectionError):
        clock.run(workflow.execute("x", WorkflowContext(clock=clock)))
    assert str(health(workflow)).endswith("retry budget  model   1 of 3 retries left")


def test_it_can_be_asked_while_others_make_and_use_guards() -> None:
    done = threading.Event()
    failed: list[BaseException] = []

    def make() -> None:
        try:
            while not done.is_set():
                workflow = RetryPrimitive(MockPrimitive(name="made"))
                workflow.run("x")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            assert str(health())
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failed


def test_functions_have_no_guards() -> None:
    assert not health(step(str.strip))


@pytest.mark.parametrize(
    "make",
    [
        CircuitBreakerPrimitive,
        RateLimitPrimitive,
        lambda model, figure: RetryPrimitive(model, retry_budget=figure),
    ],
    ids=["breaker", "limiter", "retry budget"],
)
def test_a_figure_in_place_of_a_guard_is_refused(make: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match=r"give a guard, such as .*, not 60"):
        make(FakeChatModel(), 60)
