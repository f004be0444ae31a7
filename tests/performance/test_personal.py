"""Nobody gets what is somebody else's, however the caches are nested and whoever comes first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.performance.gate import Gate, answer, pieces_of, settle
from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import UnkeyableError
from tta_llm.performance import CachePrimitive, MemoryStore
from tta_llm.testing import VirtualClock

USERS = ["Alice", "Bob", "Carol"] * 3
WAYS = pytest.mark.parametrize("way", ["executed", "streamed"])
READS_LATE = pytest.mark.parametrize("reads_late", [False, True])


class Greeting(Gate):
    """Greets whom the request is from, and notes there that it did."""

    def __init__(self, *, reads_late: bool = False) -> None:
        super().__init__()
        self.reads_late = reads_late

    async def execute(self, input_data: str, context: WorkflowContext) -> Any:
        self.calls += 1
        user = None if self.reads_late else context.data["user"]
        await self.pass_through()
        context.data["greeted"] = user or context.data["user"]
        return [input_data, context.data["greeted"]]

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        for piece in await self.execute(input_data, context):
            yield piece


def requests() -> list[WorkflowContext]:
    return [WorkflowContext(data={"user": user}) for user in USERS]


async def all_at_once(
    cached: WorkflowPrimitive[Any, Any], gate: Gate, way: str, contexts: list[WorkflowContext]
) -> list[Any]:
    tasks = [asyncio.create_task(answer(cached, way, "hello", each)) for each in contexts]
    await settle()
    gate.open.set()
    return await asyncio.gather(*tasks)


def nested(gate: Gate, outer: tuple[str, ...], inner: tuple[str, ...]) -> CachePrimitive[Any, Any]:
    inside = CachePrimitive(gate, ttl_seconds=60, vary=inner)
    return CachePrimitive(inside, ttl_seconds=60, vary=outer)


VARIED: tuple[str, ...] = ("user",)


@WAYS
@READS_LATE
@pytest.mark.parametrize("outer", [None, (), VARIED])
@pytest.mark.parametrize("inner", [(), VARIED])
async def test_each_gets_their_own_answer(
    way: str, reads_late: bool, outer: tuple[str, ...] | None, inner: tuple[str, ...]
) -> None:
    gate = Greeting(reads_late=reads_late)
    cached = CachePrimitive(gate, ttl_seconds=60, vary=inner)
    if outer is not None:
        cached = nested(gate, outer, inner)
    for _ in range(2):
        contexts = requests()
        answers = await all_at_once(cached, gate, way, contexts)
        assert answers == [["hello", user] for user in USERS]
        assert [each.data["greeted"] for each in contexts] == USERS
    if inner == VARIED and outer != ():
        assert gate.calls == 3


@WAYS
async def test_one_after_the_other_gets_their_own_answer(way: str) -> None:
    gate = Greeting()
    gate.open.set()
    for cached in (CachePrimitive(gate, ttl_seconds=60), nested(gate, (), ())):
        answers = [await answer(cached, way, "hello", each) for each in requests()]
        assert answers == [["hello", user] for user in USERS]


@WAYS
async def test_in_a_store_neither(way: str) -> None:
    gate, store = Greeting(), MemoryStore()
    gate.open.set()
    for _ in range(2):
        cached = CachePrimitive(gate, ttl_seconds=60, store=store, version=1)
        answers = [await answer(cached, way, "hello", each) for each in requests()]
        assert answers == [["hello", user] for user in USERS]


async def test_the_one_who_began_it_keeps_it_when_the_others_are_told_it_is_personal() -> None:
    gate = Greeting()
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = [asyncio.create_task(cached.execute("hello", each)) for each in requests()]
    await settle()
    assert gate.calls == len(USERS), "some still wait for what is none of theirs"
    tasks[0].cancel()
    gate.open.set()
    assert await asyncio.gather(*tasks[1:]) == [["hello", user] for user in USERS[1:]]
    assert not cached._sharing._flights


async def test_followers_of_a_stream_don_t_wait_for_its_first_piece_in_vain() -> None:
    gate = Greeting()
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = [asyncio.create_task(pieces_of(cached, "hello", each)) for each in requests()]
    await settle()
    assert gate.calls == len(USERS)
    gate.open.set()
    await asyncio.gather(*tasks)


class Farewell(Gate):
    """Says its words for all, and then whom it said them to."""

    async def execute(self, input_data: str, context: WorkflowContext) -> Any:
        raise NotImplementedError

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        yield input_data
        await self.pass_through()
        context.data["told"] = context.data["user"]


async def test_what_a_stream_read_after_its_last_piece_reaches_nobody_else() -> None:
    gate = Farewell()
    cached = CachePrimitive(gate, ttl_seconds=60)
    contexts = requests()
    tasks = [asyncio.create_task(pieces_of(cached, "bye", each)) for each in contexts]
    await settle()
    gate.open.set()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert first == ["bye"]
    assert [each.data.get("told") for each in contexts] == ["Alice"] + [None] * 8
    for error in others:
        assert isinstance(error, UnkeyableError)
        assert "midway its step read 'user'" in str(error)


async def test_an_error_that_rests_on_somebodys_data_is_theirs_alone() -> None:
    @step
    async def refuse(data: str, context: WorkflowContext) -> str:
        await asyncio.sleep(0)
        raise ConnectionError(f"{context.data['user']} is not let in")

    cached = CachePrimitive(refuse, ttl_seconds=60, error_ttl_seconds=60)
    work = (cached.execute("x", each) for each in requests())
    errors = await asyncio.gather(*work, return_exceptions=True)
    assert [str(error) for error in errors] == [f"{user} is not let in" for user in USERS]


async def test_a_stale_answer_inside_makes_what_is_around_it_nobodys_own() -> None:
    """To compute a new one, the cache inside copies the request's data: it reads none of it."""
    clock = VirtualClock()
    inside = CachePrimitive(str.upper, ttl_seconds=1, stale_while_revalidate_seconds=1000)
    around = CachePrimitive(inside, ttl_seconds=10)
    for _ in range(2):
        assert await around.execute("x", WorkflowContext(clock=clock, data={"user": "A"})) == "X"
        await clock.advance(10)
    told = around.statistics
    assert (inside.statistics.stale, told.personal, told.entries) == (1, 0, 1)
    await inside.aclose()


# -------------------------------------------------------------------------------------- on a store


async def test_callers_who_find_an_answer_in_the_store_get_copies() -> None:
    """Another process computed it while they waited for their turn."""
    gate, store = Gate(), MemoryStore()
    caches = [CachePrimitive(gate, ttl_seconds=60, store=store, version=1) for _ in range(2)]
    leader = asyncio.create_task(answer(caches[0], "executed", "x"))
    await settle()
    tasks = [asyncio.create_task(answer(caches[1], "executed", "x")) for _ in range(5)]
    await settle()
    gate.open.set()
    results = await asyncio.gather(leader, *tasks)
    assert gate.calls == 1
    assert caches[1].statistics.coalesced == 5
    for result in results:
        assert result == ["x"]
        result.append("altered")


async def test_what_a_store_can_not_hold_is_still_everybodys_own() -> None:
    class Here:
        """A class that no other process could find."""

    gate = Gate()
    cached = CachePrimitive(
        gate >> (lambda data: [*data, Here()]), ttl_seconds=60, store=MemoryStore(), version=1
    )
    tasks = [asyncio.create_task(answer(cached, "executed", "x")) for _ in range(3)]
    await settle()
    gate.open.set()
    results = await asyncio.gather(*tasks)
    assert gate.calls == 1
    for result in results:
        assert len(result) == 2
        result.clear()
