"""What is known of how a target does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tta_llm.errors import InvalidRequestError, OverloadedError, RateLimitError
from tta_llm.messages import TextDelta, Usage, UsageEvent
from tta_llm.routing._load import Load
from tta_llm.testing import VirtualClock


class Target:
    """Calls on one clock, which end as they are told to."""

    def __init__(self) -> None:
        self.clock, self.load = VirtualClock(), Load(name="model")

    async def call(self, seconds: float, error: BaseException | None = None, *pieces: Any) -> None:
        try:
            with self.load.call(self.clock) as call:
                for piece in pieces:
                    await self.clock.advance(1)
                    call.follow(piece)
                await self.clock.advance(seconds)
                if error is not None:
                    raise error
        except BaseException as raised:
            assert raised is error  # noqa: PT017  # it may be a cancellation

    def latency(self) -> float | None:
        return self.load.latency(self.clock)

    def strain(self) -> float:
        return self.load.strain(self.clock)


@pytest.fixture
def target() -> Target:
    return Target()


async def test_calls_under_way_are_counted(target: Target) -> None:
    with target.load.call(target.clock):
        with target.load.call(target.clock):
            assert (target.load.under_way, target.strain()) == (2, 3)
        assert target.load.under_way == 1
    assert (target.load.under_way, target.strain()) == (0, 1)


async def test_the_first_call_tells_how_long_calls_take_and_each_later_one_moves_it(
    target: Target,
) -> None:
    assert target.latency() is None
    await target.call(4)
    assert target.latency() == 4
    await target.call(12)
    assert target.latency() == 5  # an eighth of the way


async def test_a_stream_takes_as_long_as_its_first_piece(target: Target) -> None:
    await target.call(30, None, UsageEvent(Usage(1)), TextDelta("a"), TextDelta("b"))
    assert target.latency() == 2


async def test_what_was_seen_a_minute_ago_is_forgotten(target: Target) -> None:
    await target.call(4, OverloadedError("busy"))
    await target.call(4)
    await target.call(0, OverloadedError("busy"))
    assert (target.latency(), target.strain()) == (4, 2)
    await target.clock.advance(60)
    assert (target.latency(), target.strain()) == (None, 1)
    await target.call(0, OverloadedError("busy"))
    assert target.strain() == 2, "failures are counted from the first again"


async def test_each_failure_in_a_row_doubles_what_it_bears(target: Target) -> None:
    for doubled in (2, 4, 8):
        await target.call(0, OverloadedError("busy"))
        assert target.strain() == doubled
    for _ in range(20):
        await target.call(0, ConnectionError("reset"))
    assert target.strain() == 1024
    await target.call(1)
    assert target.strain() == 1


@pytest.mark.parametrize(
    "error", [InvalidRequestError("bad"), RateLimitError("slow down"), TypeError("a bug")]
)
async def test_what_is_not_the_targets_fault_tells_nothing(target: Target, error: Any) -> None:
    await target.call(5, error)
    assert (target.load.under_way, target.strain(), target.latency()) == (0, 1, None)


STOPS: list[Callable[[], BaseException]] = [asyncio.CancelledError, GeneratorExit]


@pytest.mark.parametrize("stop", STOPS)
async def test_one_that_was_stopped_took_at_least_so_long(
    target: Target, stop: Callable[[], BaseException]
) -> None:
    await target.call(9, stop())
    assert target.latency() is None, "it may be fast or slow"
    await target.call(4)
    await target.call(1, stop())
    assert target.latency() == 4
    await target.call(12, stop())
    assert target.latency() == 5
    assert (target.load.under_way, target.strain()) == (0, 1)


@pytest.mark.parametrize("stop", STOPS)
async def test_a_stream_that_was_closed_after_its_first_piece_had_answered(
    target: Target, stop: Callable[[], BaseException]
) -> None:
    await target.call(50, stop(), TextDelta("a"))
    assert target.latency() == 1


async def test_it_can_be_read(target: Target) -> None:
    assert target.load.readings() == {"load_under_way": 0}
    assert target.load.status() == "0 calls under way"
    await target.call(4)
    assert target.load.readings() == {"load_under_way": 0, "load_latency_seconds": 4}
    assert target.load.status() == "0 calls under way, 4 s each of late"
