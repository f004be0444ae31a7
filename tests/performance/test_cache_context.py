"""What a cached step reads of its request's data is input, and what it writes there is result."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import UnkeyableError
from tta_llm.performance import CachePrimitive
from tta_llm.testing import MockPrimitive


def asks(**data: Any) -> WorkflowContext:
    return WorkflowContext(data=data)


def greeter() -> MockPrimitive:
    return MockPrimitive(
        function=lambda data, context: f"{data}, {context.data.get('user', 'stranger')}",
        name="greeter",
    )


async def test_what_vary_names_makes_a_difference() -> None:
    greet = greeter()
    cached = CachePrimitive(greet, 60, vary=("user",))
    told = [await cached.execute("Hi", asks(user=user)) for user in ("A", "B", "A", "B")]
    assert told == ["Hi, A", "Hi, B"] * 2
    assert greet.call_count == 2


async def test_a_name_that_is_missing_is_not_none() -> None:
    look = MockPrimitive(function=lambda data, context: "user" in context.data)
    cached = CachePrimitive(look, 60, vary=["user"])
    contexts = [asks(), asks(user=None), asks(), asks(user=None)]
    assert [await cached.execute("x", each) for each in contexts] == [False, True] * 2
    assert look.call_count == 2


async def test_a_result_for_one_user_is_given_to_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    greet = greeter()
    cached = CachePrimitive(greet, 60)
    told = [await cached.execute("Hi", asks(user=user)) for user in ("A", "B", "A")]
    assert told == ["Hi, A", "Hi, B", "Hi, A"]
    assert greet.call_count == 3
    assert (cached.statistics.personal, cached.statistics.entries) == (3, 0)
    (warned,) = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert warned == (
        "results of the cache 'greeter' are not kept: the step reads 'user' of context.data, which "
        "is no part of the key. Name it in vary=, or in ignore= if the result is for all"
    )


READS: dict[str, Any] = {
    "by item": lambda data: data["user"],
    "get": lambda data: data.get("user"),
    "in": lambda data: "user" in data,
    "all": dict,
    "length": len,
    "unpacked": lambda data: {**data},
    "setdefault": lambda data: data.setdefault("user", 1),
    "pop": lambda data: data.pop("user"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_every_way_to_read_counts(read: Any) -> None:
    step_ = MockPrimitive(function=lambda data, context: str(read(context.data)))
    cached = CachePrimitive(step_, 60)
    for _ in range(2):
        await cached.execute("x", asks(user="A"))
    assert step_.call_count == 2


async def test_the_steps_inside_count_as_well() -> None:
    greet = greeter()
    cached = CachePrimitive(str.strip >> step(lambda text: text) >> greet, 60)
    assert [await cached.execute("x", asks(user=user)) for user in "AB"] == ["x, A", "x, B"]


async def test_what_it_may_ignore_is_the_same_for_all() -> None:
    noted: list[str] = []

    async def answer(data: str, context: WorkflowContext) -> str:
        noted.append(context.data["trace"])
        return data.upper()

    cached = CachePrimitive(answer, 60, ignore=["trace"])
    assert [await cached.execute("x", asks(trace=each)) for each in "12"] == ["X", "X"]
    assert noted == ["1"]


async def test_what_a_key_function_reads_is_part_of_the_key() -> None:
    greet = greeter()
    cached = CachePrimitive(greet, 60, key=lambda data, context: [data, context.data["user"]])
    assert [await cached.execute("Hi", asks(user=each)) for each in "ABA"] == [
        "Hi, A",
        "Hi, B",
        "Hi, A",
    ]
    assert greet.call_count == 2


async def test_a_cache_inside_a_cache_tells_what_it_varies_by() -> None:
    greet = greeter()
    cached = CachePrimitive(CachePrimitive(greet, 60, vary=("user",)), 60)
    assert [await cached.execute("Hi", asks(user=each)) for each in "AB"] == ["Hi, A", "Hi, B"]
    assert cached.statistics.personal == 2


async def test_what_it_writes_is_written_again_at_a_hit() -> None:
    async def search(data: str, context: WorkflowContext) -> str:
        context.data["found"] = [data]
        context.data["found"].append("more")  # its own, so no reading
        return data

    cached = CachePrimitive(search, 60)
    contexts = [asks(own=1), asks()]
    for context in contexts:
        await cached.execute("x", context)
        assert context.data["found"] == ["x", "more"]
    contexts[0].data["found"].clear()
    third = asks()
    await cached.execute("x", third)
    assert third.data == {"found": ["x", "more"]}
    assert cached.statistics.hits == 2


class Pieces(WorkflowPrimitive[str, str]):
    """Streams letters; reads and writes the request's data as told."""

    def __init__(self, read_at: int | None = None) -> None:
        super().__init__(name="pieces")
        self.read_at, self.calls = read_at, 0

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        self.calls += 1
        for index, letter in enumerate(input_data):
            user = context.data["user"] if index == self.read_at else ""
            yield letter + user
        context.data["length"] = len(input_data)


async def all_of(workflow: WorkflowPrimitive[Any, Any], context: WorkflowContext) -> list[Any]:
    async with aclosing(workflow.stream("abc", context)) as pieces:
        return [piece async for piece in pieces]


async def test_a_stream_writes_again_as_well() -> None:
    pieces = Pieces()
    cached = CachePrimitive(pieces, 60)
    contexts = [asks(), asks()]
    assert [await all_of(cached, each) for each in contexts] == [["a", "b", "c"]] * 2
    assert [each.data for each in contexts] == [{"length": 3}] * 2
    assert pieces.calls == 1


async def test_a_stream_for_one_user_is_given_to_no_other() -> None:
    cached = CachePrimitive(Pieces(read_at=0), 60)
    assert await all_of(cached, asks(user="A")) == ["aA", "b", "c"]
    assert await all_of(cached, asks(user="B")) == ["aB", "b", "c"]


async def test_who_follows_a_stream_gets_their_own_when_it_turns_out_to_be_another_s() -> None:
    cached = CachePrimitive(Pieces(read_at=0), 60)
    first = cached.stream("abc", asks(user="A"))
    assert await anext(first) == "aA"
    async with aclosing(first), aclosing(cached.stream("abc", asks(user="B"))) as second:
        assert [each async for each in second] == ["aB", "b", "c"]
        assert [each async for each in first] == ["b", "c"]


async def test_who_has_followed_it_already_is_told_and_gets_nothing_of_the_other_s() -> None:
    cached = CachePrimitive(Pieces(read_at=1), 60)
    first, second = (cached.stream("abc", asks(user=user)) for user in "AB")
    async with aclosing(first), aclosing(second):
        assert [await anext(first), await anext(second)] == ["a", "a"]
        assert await anext(first) == "bA"
        with pytest.raises(UnkeyableError, match=r"'pieces' streamed .* read 'user' .*: name it"):
            await anext(second)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"vary": "tenant"}, r"vary= is several names: write vary=\('tenant',\)"),
        ({"ignore": "tenant"}, r"ignore= is several names: write ignore=\('tenant',\)"),
        ({"vary": [1]}, r"vary= holds names in the context's data, not 1"),
    ],
)
def test_what_is_no_name_is_refused(arguments: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        CachePrimitive(str.upper, 60, **arguments)


async def test_what_vary_names_must_be_plain_data() -> None:
    cached = CachePrimitive(str.upper, 60, vary=("client",))
    with pytest.raises(UnkeyableError, match="a key of a object"):
        await cached.execute("x", asks(client=object()))
