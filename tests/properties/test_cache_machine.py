"""Whatever is asked of a cache in whatever order, a plain dictionary in a test agrees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.properties.cache_model import COST, Call, Flight, Key, Model, Way, piece_of, result_of
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import InvalidRequestError, ServerError
from tta_llm.messages import Usage
from tta_llm.performance import CachePrimitive
from tta_llm.performance._keying import PIECES, RESULT
from tta_llm.testing import VirtualClock

pytestmark = pytest.mark.timeout(7200)  # seconds, for the deep run; it takes some in CI

ERRORS = {"outage": ServerError, "refused": InvalidRequestError, "bug": ValueError}
WAYS: list[Way] = ["executed", "streamed"]
INPUTS = st.sampled_from([0, 0, 0, 1, 2])
TENANTS = st.sampled_from(["a", "a", "b", None])
UNWANTED = "unwanted"


class Puppet(WorkflowPrimitive[tuple[Way, int], Any]):
    """Each computation gives what is asked of it, when that is pulled."""

    def __init__(self) -> None:
        super().__init__(name="puppet")
        self.strings: list[asyncio.Queue[Any]] = []
        self.unwanted: set[int] = set()

    def begin(self, context: WorkflowContext) -> int:
        number = len(self.strings)
        self.strings.append(asyncio.Queue())
        context.data["made"] = [number]
        context.usage.add(Usage(), provider="p", model="m", cost_usd=COST)
        return number

    async def execute(self, input_data: int, context: WorkflowContext) -> Any:  # type: ignore[override]
        number = self.begin(context)
        pulled = await self.strings[number].get()
        if isinstance(pulled, Exception):
            raise pulled
        return result_of(number, ("executed", input_data, context.data.get("tenant")))

    async def stream(  # type: ignore[override]
        self, input_data: int, context: WorkflowContext
    ) -> AsyncGenerator[Any, None]:
        number, is_over, place = self.begin(context), False, 0
        while not is_over:
            pulled = await self.strings[number].get()
            if isinstance(pulled, Exception):
                raise pulled
            is_over = pulled != "piece"
            yield piece_of(number, place)
            place += 1

    def is_wanted(self, result: Any) -> bool:
        first = result[0]
        return (first[0] if isinstance(first, list) else first) not in self.unwanted


class CacheMachine(RuleBasedStateMachine):
    @initialize(
        ttl=st.sampled_from([1.0, 2.0, 5.0]),
        stale=st.sampled_from([0.0, 1.0, 3.0]),
        if_error=st.sampled_from([0.0, 2.0, 6.0]),
        error_ttl=st.sampled_from([0.0, 1.0, 4.0]),
        max_entries=st.sampled_from([1, 2, 3, 100]),
        max_bytes=st.sampled_from([None, 1500, 4000, 9000]),
    )
    def build(self, **options: Any) -> None:
        self.loop, self.clock = asyncio.new_event_loop(), VirtualClock()
        self.model, self.puppet = Model(**options), Puppet()
        self.cached = CachePrimitive(
            self.puppet,
            ttl_seconds=options["ttl"],
            vary=("tenant",),
            store_if=self.puppet.is_wanted,
            max_entries=options["max_entries"],
            max_bytes=options["max_bytes"],
            stale_while_revalidate_seconds=options["stale"] or None,
            stale_if_error_seconds=options["if_error"] or None,
            error_ttl_seconds=options["error_ttl"] or None,
        )
        self.calls: list[tuple[Call, asyncio.Task[Any], WorkflowContext]] = []

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for _, task, _ in self.calls:
            task.cancel()
        self.settle()
        self.loop.run_until_complete(self.cached.aclose())
        assert not asyncio.all_tasks(self.loop)
        assert not self.cached._sharing._flights and not self.cached._sharing._refreshes
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def settle(self) -> None:
        async def rounds() -> None:
            for _ in range(12):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rounds())

    # -------------------------------------------------------------------------------------- rules

    @rule(
        way=st.sampled_from(WAYS),
        data=INPUTS,
        tenant=TENANTS,
        count=st.sampled_from([1, 1, 1, 2, 4]),
        stops_early=st.sampled_from([False, False, True]),
    )
    def arrive(
        self, way: Way, data: int, tenant: str | None, count: int, *, stops_early: bool
    ) -> None:
        if len(self.calls) > 12:
            return
        for _ in range(count):
            call = Call((way, data, tenant), stops_early=stops_early and way == "streamed")
            context = self.context_of(call.key)
            self.calls.append((call, self.loop.create_task(self.work(call, context)), context))
        self.settle()
        for call, _, _ in self.calls[-count:]:
            self.model.arrives(call)

    def context_of(self, key: Key) -> WorkflowContext:
        tenant = key[2]
        data = {} if tenant is None else {"tenant": tenant}
        return WorkflowContext(clock=self.clock, data=data)

    async def work(self, call: Call, context: WorkflowContext) -> Any:
        way, data, _ = call.key
        if way == "executed":
            return await self.cached.execute(data, context)  # type: ignore[arg-type]
        got = []
        async with aclosing(self.cached.stream(data, context)) as pieces:  # type: ignore[arg-type]
            async for piece in pieces:
                got.append(piece)
                if call.stops_early:
                    break
        return got

    @precondition(lambda self: self.model.flights)
    @rule(data=st.data(), how=st.sampled_from(["success"] * 4 + [UNWANTED, *ERRORS]))
    def end(self, data: st.DataObject, how: str) -> None:
        flight = self.any_flight(data)
        if how in ERRORS:
            self.model.fails(flight, how)
            self.pull(flight, ERRORS[how](how))
            return
        if how == UNWANTED:
            self.puppet.unwanted.add(flight.number)
        self.model.succeeds(flight, wanted=how != UNWANTED)
        self.pull(flight, "end")

    @precondition(lambda self: any(each.key[0] == "streamed" for each in self.model.flights))
    @rule(data=st.data())
    def give_a_piece(self, data: st.DataObject) -> None:
        flight = self.any_flight(data, "streamed")
        self.model.gives_a_piece(flight)
        self.pull(flight, "piece")

    @rule(way=st.sampled_from(WAYS), data=INPUTS, tenant=TENANTS)
    def ask_and_answer(self, way: Way, data: int, tenant: str | None) -> None:
        self.arrive(way, data, tenant, 1, stops_early=False)
        for flight in [each for each in self.model.flights if each.key == (way, data, tenant)]:
            self.model.succeeds(flight, wanted=True)
            self.pull(flight, "end")

    def any_flight(self, data: st.DataObject, way: Way | None = None) -> Flight:
        fitting = [each for each in self.model.flights if way in (None, each.key[0])]
        return data.draw(st.sampled_from(fitting))

    def pull(self, flight: Flight, what: Any) -> None:
        self.puppet.strings[flight.number].put_nowait(what)
        self.settle()

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call, task = data.draw(st.sampled_from(self.waiting()))
        task.cancel()
        self.model.leaves(call)
        self.settle()
        assert task.cancelled()
        self.calls = [each for each in self.calls if each[0] is not call]

    def waiting(self) -> list[tuple[Call, asyncio.Task[Any]]]:
        return [(call, task) for call, task, _ in self.calls if call.outcome is None]

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.model.pass_time(seconds)
        self.loop.run_until_complete(self.clock.advance(seconds))

    @rule(data=INPUTS, tenant=TENANTS)
    def invalidate(self, data: int, tenant: str | None) -> None:
        keys: set[Key] = {(way, data, tenant) for way in WAYS}
        self.model.forget(keys)
        context = self.context_of(("executed", data, tenant))
        self.loop.run_until_complete(self.cached.invalidate(data, context))  # type: ignore[arg-type]

    @rule()
    def clear(self) -> None:
        self.model.forget(None)
        self.loop.run_until_complete(self.cached.clear())

    # ------------------------------------------------------------------------------- what holds

    @invariant()
    def each_call_came_to_what_the_model_says(self) -> None:
        for call, task, context in list(self.calls):
            assert task.done() == (call.outcome is not None)
            if task.done():
                self.calls.remove((call, task, context))
                self.compare(call, task, context)

    def compare(self, call: Call, task: asyncio.Task[Any], context: WorkflowContext) -> None:
        if isinstance(call.outcome, str):
            error = task.exception()
            assert type(error) is ERRORS[call.outcome]
            assert str(error) == call.outcome
            return
        result = task.result()
        assert result == (call.outcome[:1] if call.stops_early else call.outcome)
        if call.number is not None:
            assert context.data["made"] == [call.number]
        # What its caller does with it is nobody else's business.
        for altered in (*[each for each in result if isinstance(each, list)], result):
            altered[:] = ["altered"]
        context.data["made"] = [*context.data.get("made", []), "altered"]

    @invariant()
    def the_statistics_are_the_models(self) -> None:
        told, model = self.cached.statistics, self.model
        for name in (
            *("hits", "stale", "coalesced", "misses", "evicted", "not_stored"),
            *("personal", "refreshed", "refresh_failed", "store_failed"),
        ):
            assert getattr(told, name) == model.counts[name], name
        assert (told.entries, told.bytes) == (len(model.held), model.bytes)
        assert (told.seconds_saved, told.dollars_saved) == (model.seconds, model.dollars)
        assert len(self.puppet.strings) == model.begun

    @invariant()
    def the_same_is_held_in_the_same_order(self) -> None:
        keys = [
            (PIECES if way == "streamed" else RESULT)
            + self.cached._keying.of(data, self.context_of((way, data, tenant)))[0]
            for way, data, tenant in self.model.held
        ]
        assert keys == list(self.cached._table._entries)


TestTheCache = CacheMachine.TestCase
