"""Spreading calls over equal choices."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from contextlib import aclosing, suppress
from typing import Any

import pytest

from tests.observability.recorder import Spans
from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.core import RouterPrimitive
from tta_llm.errors import (
    CircuitOpenError,
    CompositionError,
    OverloadedError,
    ServerError,
)
from tta_llm.messages import RateLimits, collect
from tta_llm.observability import names
from tta_llm.providers import Price
from tta_llm.recovery import (
    CircuitBreaker,
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RateLimiter,
    RateLimitPrimitive,
    RetryPrimitive,
    health,
)
from tta_llm.routing import LoadBalancer
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock

AnyPrimitive = WorkflowPrimitive[Any, Any]


def give(name: str, **more: Any) -> MockPrimitive:
    return MockPrimitive(name, name=name, **more)


def three(**more: Any) -> dict[str, MockPrimitive]:
    return {name: give(name, **more) for name in ("a", "b", "c")}


class Caller:
    """Calls workflows on one clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock(auto_advance=True)

    def context(self, **data: Any) -> WorkflowContext:
        return WorkflowContext(data=data, clock=self.clock)

    async def one(self, workflow: AnyPrimitive, asked: Any = "Hi", **data: Any) -> Any:
        with suppress(ServerError, OverloadedError):
            return await workflow.execute(asked, self.context(**data))

    async def many(self, workflow: AnyPrimitive, count: int, asked: Any = "Hi") -> list[Any]:
        """Make calls one after the other."""
        return [await self.one(workflow, asked) for _ in range(count)]

    async def at_once(self, workflow: AnyPrimitive, count: int) -> Counter[Any]:
        return Counter(await asyncio.gather(*(self.one(workflow) for _ in range(count))))


@pytest.fixture
def caller() -> Caller:
    return Caller()


# -------------------------------------------------------------------------------------- by weight


async def test_turns_are_taken_in_proportion_to_the_weights(caller: Caller) -> None:
    made = LoadBalancer(three(), by="weight", weights={"a": 5, "b": 1, "c": 1})
    assert "".join(await caller.many(made, 14)) == "aabacaa" * 2


async def test_equal_weights_take_turns(caller: Caller) -> None:
    assert "".join(await caller.many(LoadBalancer(three(), by="weight"), 6)) == "abcabc"


def test_no_turn_is_lost_between_threads() -> None:
    made = LoadBalancer(three(), by="weight", weights={"a": 2, "b": 1, "c": 1})
    counts: Counter[str] = Counter()

    def work() -> None:
        answers = [made.run("x") for _ in range(100)]
        with lock:
            counts.update(answers)

    lock = threading.Lock()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {"a": 200, "b": 100, "c": 100}


# ------------------------------------------------------------------------------------- least busy


async def test_calls_at_once_are_spread(caller: Caller) -> None:
    made = LoadBalancer(three(delay_seconds=1))
    assert await caller.at_once(made, 9) == {"a": 3, "b": 3, "c": 3}


async def test_one_that_is_slow_gets_fewer(caller: Caller) -> None:
    choices = three(delay_seconds=1) | {"c": give("c", delay_seconds=100)}
    made = LoadBalancer(choices)

    answers: Counter[Any] = Counter()

    async def worker() -> None:
        answers.update(await caller.many(made, 20))

    await asyncio.gather(worker(), worker(), worker())
    assert answers["c"] <= 20 < answers["a"]


async def test_equals_take_turns(caller: Caller) -> None:
    assert "".join(await caller.many(LoadBalancer(three()), 6)) == "abcabc"


async def test_one_that_fails_at_once_does_not_draw_all_calls(caller: Caller) -> None:
    failing = MockPrimitive(raises=ServerError("down"), name="c")
    made = LoadBalancer(three(delay_seconds=1) | {"c": failing})
    for _ in range(30):
        await caller.at_once(made, 6)
    assert failing.call_count <= 10


async def test_balancers_over_the_same_targets_see_each_others_calls(caller: Caller) -> None:
    shared = give("a", delay_seconds=10)
    one = LoadBalancer({"a": shared})
    other = LoadBalancer({"a": RetryPrimitive(shared), "b": give("b")})
    task = asyncio.ensure_future(caller.one(one))
    await asyncio.sleep(0)
    assert await caller.one(other) == "b"
    await task


# ---------------------------------------------------------------------------------------- latency


async def test_the_fastest_gets_the_calls_once_all_are_known(caller: Caller) -> None:
    seconds = {"a": 3, "b": 1, "c": 2}
    made = LoadBalancer({n: give(n, delay_seconds=s) for n, s in seconds.items()}, by="latency")
    assert "".join(await caller.many(made, 8)) == "abcbbbbb"


async def test_the_fastest_is_not_given_more_than_it_is_fast_for(caller: Caller) -> None:
    seconds = {"a": 3, "b": 1}
    made = LoadBalancer({n: give(n, delay_seconds=s) for n, s in seconds.items()}, by="latency")
    await caller.many(made, 2)
    assert await caller.at_once(made, 4) == {"b": 3, "a": 1}


async def test_one_that_was_slow_is_tried_again_after_a_while(caller: Caller) -> None:
    made = LoadBalancer({"a": give("a", delay_seconds=3), "b": give("b")}, by="latency")
    await caller.many(made, 10)
    await caller.clock.advance(61)
    assert set(await caller.many(made, 2)) == {"a", "b"}


async def test_the_unknown_gets_one_call_at_a_time(caller: Caller) -> None:
    seconds = {"a": 1, "b": 50}
    made = LoadBalancer({n: give(n, delay_seconds=s) for n, s in seconds.items()}, by="latency")
    assert await caller.one(made) == "a"
    assert await caller.at_once(made, 5) == {"a": 4, "b": 1}


async def test_streams_tell_of_their_first_piece(caller: Caller) -> None:
    slow = FakeChatModel("one two", delay=3, name="slow")
    fast = FakeChatModel("one two", delay=1, word_delay=9, name="fast")
    made = LoadBalancer([slow, fast], by="latency")
    for _ in range(4):
        await collect(made.stream("Hi", caller.context()))
    assert (slow.call_count, fast.call_count) == (1, 3)


# ------------------------------------------------------------------------------------------- cost


def priced(name: str, price: Price | None) -> FakeChatModel:
    return FakeChatModel(name, name=name, price=price)


async def test_the_cheapest_for_the_request_is_taken(caller: Caller) -> None:
    reader, writer = priced("reader", Price(1, 10)), priced("writer", Price(5, 5))
    unknown = priced("unknown", None)
    made = LoadBalancer([unknown, writer, RetryPrimitive(reader)], by="cost")
    assert (await caller.one(made)).text == "writer"
    assert (await caller.one(made, "word " * 4000)).text == "reader"


async def test_equal_prices_are_spread(caller: Caller) -> None:
    made = LoadBalancer([priced("a", None), priced("b", None)], by="cost")
    assert [each.text for each in await caller.many(made, 4)] == ["a", "b", "a", "b"]


# --------------------------------------------------------------------------------------- headroom


def limited(name: str, **rates: Any) -> RateLimitPrimitive[Any, Any]:
    return RateLimitPrimitive(give(name), RateLimiter(**rates))


async def test_calls_go_where_the_limits_have_room(caller: Caller) -> None:
    small = limited("small", requests_per_minute=60, burst_seconds=10)
    large = limited("large", requests_per_minute=180, burst_seconds=10)
    answers = Counter(await caller.many(LoadBalancer([small, large], by="headroom"), 40))
    assert (answers, caller.clock.now()) == ({"small": 10, "large": 30}, 0)


async def test_tokens_count_as_well(caller: Caller) -> None:
    few, many = (FakeChatModel("word " * 300, name=name) for name in ("few", "many"))
    made = LoadBalancer(
        [
            RateLimitPrimitive(few, RateLimiter(requests_per_minute=9000, tokens_per_minute=6000)),
            RateLimitPrimitive(many, RateLimiter(requests_per_minute=9000)),
        ],
        by="headroom",
    )
    await caller.many(made, 10)
    assert (few.call_count, many.call_count) == (1, 9)


async def test_one_that_asked_for_a_pause_comes_last(caller: Caller) -> None:
    pausing, other = limited("pausing"), limited("other", requests_per_minute=60)
    made = LoadBalancer([pausing, other], by="headroom")
    assert await caller.one(made) == "pausing", "no limit of it is known"
    pausing.limiter.learn(RateLimits(requests_remaining=0, requests_reset_seconds=5.0))
    assert set(await caller.many(made, 5)) == {"other"}


# --------------------------------------------------------------------------------------- circuits


def guarded(name: str, **more: Any) -> CircuitBreakerPrimitive[Any, Any]:
    return CircuitBreakerPrimitive(
        give(name, **more), CircuitBreaker(minimum_calls=2, open_seconds=30, probes=1)
    )


def opened(name: str, open_seconds: float = 30) -> CircuitBreakerPrimitive[Any, Any]:
    """Fails until its circuit is open."""
    breaker = CircuitBreaker(minimum_calls=2, open_seconds=open_seconds, probes=1)
    return CircuitBreakerPrimitive(MockPrimitive(raises=ServerError("x"), name=name), breaker)


BYS = ("weight", "least_busy", "latency")


@pytest.mark.parametrize("by", BYS)
async def test_one_with_an_open_circuit_is_left_out(caller: Caller, by: Any) -> None:
    made: Any = LoadBalancer({"down": RetryPrimitive(opened("down"), 0), "up": give("up")}, by=by)
    answers = await caller.many(made, 300)
    assert 1 <= answers.count(None) <= 2
    assert answers[-100:] == ["up"] * 100


async def test_when_all_are_open_the_one_that_comes_first_is_asked(caller: Caller) -> None:
    late, soon = opened("late", 60), opened("soon", 20)
    made = LoadBalancer({"late": late, "soon": soon})
    await caller.many(made, 4)
    with pytest.raises(CircuitOpenError, match="'soon' was not called"):
        await made.execute("Hi", caller.context())
    await caller.clock.advance(20)
    with pytest.raises(ServerError):
        await made.execute("Hi", caller.context())


async def test_no_more_calls_than_probes_go_to_one_half_open(caller: Caller) -> None:
    async def first_fail(asked: Any, context: WorkflowContext) -> str:
        await context.clock.sleep(5)
        if context.clock.now() < 30:
            raise ServerError("down")
        return "recovered"

    breaker = CircuitBreaker(minimum_calls=2, open_seconds=30, probes=1)
    made: Any = LoadBalancer(
        {
            "recovering": CircuitBreakerPrimitive(step(first_fail), breaker),
            "up": give("up", delay_seconds=5),
        }
    )
    await caller.at_once(made, 6)
    assert breaker.wait_seconds(caller.clock) == 30
    await caller.clock.advance(60)
    counts = await caller.at_once(made, 6)
    assert counts == {"recovered": 1, "up": 5}
    assert breaker.state == "closed"


async def test_a_fallback_is_open_when_all_its_ways_are(caller: Caller) -> None:
    partly: Any = FallbackPrimitive(opened("x"), [give("spare")])
    made: Any = LoadBalancer({"partly": partly, "up": give("up")})
    assert "spare" in await caller.many(made, 20)
    wholly: Any = (lambda asked: asked) >> opened("y")
    made = LoadBalancer({"wholly": wholly, "up": give("up")}, by="weight")
    assert (await caller.many(made, 20)).count(None) == 2


# ----------------------------------------------------------------------------------------- sticky


async def test_a_key_stays_with_its_choice(caller: Caller) -> None:
    made = LoadBalancer(three(), sticky="session")
    for key in range(30):
        assert len({await caller.one(made, session=key) for _ in range(3)}) == 1
    assert len({await caller.one(made, session=key) for key in range(30)}) == 3


async def test_a_key_goes_elsewhere_while_the_circuit_is_open_and_comes_back(
    caller: Caller,
) -> None:
    choices: dict[str, Any] = {name: guarded(name) for name in ("a", "b", "c")}
    made: Any = LoadBalancer(choices, sticky="session")
    home = await caller.one(made, session="s")
    breaker = choices[home].breaker
    for _ in range(3):
        breaker.raised(breaker.admit(caller.clock), ServerError("x"), caller.clock)
    away = await caller.one(made, session="s")
    assert away != home
    await caller.clock.advance(30)
    assert await caller.one(made, session="s") == home


async def test_a_call_without_a_key_is_balanced(caller: Caller) -> None:
    assert "".join(await caller.many(LoadBalancer(three(), sticky="session"), 6)) == "abcabc"


async def test_the_key_may_be_a_function_of_the_input(caller: Caller) -> None:
    made = LoadBalancer(three(), sticky=lambda asked: asked.partition(" ")[0])
    answers = [await caller.one(made, f"prefix {number}") for number in range(5)]
    assert len(set(answers)) == 1


async def test_sticky_keys_go_by_weight(caller: Caller) -> None:
    made = LoadBalancer(three(), sticky="session", weights={"a": 8, "b": 1, "c": 1})
    counts = Counter([await caller.one(made, session=key) for key in range(1000)])
    assert 750 < counts["a"] < 850


def test_a_key_has_the_same_choice_in_each_process() -> None:
    script = (
        "from tta_llm import WorkflowContext\n"
        "from tta_llm.routing import LoadBalancer\n"
        "made = LoadBalancer({n: (lambda _, n=n: n) for n in 'abc'}, sticky='s')\n"
        "print(*(made.run('x', WorkflowContext(data={'s': key})) for key in range(9)))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(set(runs[0].stdout.split())) > 1


# ------------------------------------------------------------------------------------ what it is


async def test_a_failed_call_is_not_sent_elsewhere(caller: Caller) -> None:
    down, up = MockPrimitive(raises=ServerError("x"), name="down"), give("up")
    made: Any = LoadBalancer([down, up])
    with pytest.raises(ServerError) as told:
        await made.execute("Hi", caller.context())
    assert (told.value.__notes__, up.call_count) == (["in route 'down'"], 0)
    retried: Any = RetryPrimitive(LoadBalancer([down, up]))
    assert await retried.execute("Hi", caller.context()) == "up"


async def test_a_broken_stream_tells_its_choice(caller: Caller) -> None:
    made = LoadBalancer([FakeChatModel("one two", break_after=1, name="m")])
    with pytest.raises(ConnectionError) as told:
        await collect(made.stream("Hi", caller.context()))
    assert told.value.__notes__ == ["in route 'm'"]


async def test_a_stream_closed_early_is_not_under_way_any_more(caller: Caller) -> None:
    made = LoadBalancer([FakeChatModel("one two three", name="m")])
    async with aclosing(made.stream("Hi", caller.context())) as events:
        await anext(events)
        assert [row.readings["load_under_way"] for row in health(made)] == [1]
    assert [row.readings["load_under_way"] for row in health(made)] == [0]


async def test_a_list_is_named_by_what_is_in_it() -> None:
    made = LoadBalancer([RetryPrimitive(give("m")), give("m"), give("n")])
    assert list(made.routes) == ["m", "m#2", "n"]
    assert isinstance(made, RouterPrimitive)


async def test_the_choice_stands_on_the_span(spans: Spans) -> None:
    await LoadBalancer({"eu": give("m")}).execute("Hi", WorkflowContext())
    assert dict(spans.one("LoadBalancer").attributes or {})[names.CHOICE] == "eu"


@pytest.mark.parametrize(
    ("choices", "options", "error", "told"),
    [
        ({}, {}, CompositionError, "at least one"),
        ([], {}, CompositionError, "at least one"),
        ("ab", {}, CompositionError, "put it in a list"),
        (three(), {"by": "luck"}, ValueError, "by is 'weight' or 'least_busy'"),
        (three(), {"by": "headroom"}, CompositionError, "'a' has no rate limit"),
        (three(), {"by": "cost"}, CompositionError, "'a' has no model whose price"),
        (three(), {"weights": dict.fromkeys("abc", 1)}, CompositionError, "and by is 'least_busy'"),
        (three(), {"by": "weight", "weights": {"a": 1}}, CompositionError, "weights are for 'a',"),
        (three(), {"sticky": 7}, CompositionError, "a int is not a step"),
    ],
)
def test_what_makes_no_balancer_is_refused(
    choices: Any, options: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        LoadBalancer(choices, **options)
