"""One client for each event loop, closed with it."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tta_llm.core.per_loop import ClientPerLoop


class Client:
    """Counts what is open."""

    open = 0

    def __init__(self) -> None:
        Client.open += 1

    async def close(self) -> None:
        await asyncio.sleep(0)
        Client.open -= 1


@pytest.fixture
def clients() -> ClientPerLoop[Client]:
    Client.open = 0
    return ClientPerLoop(Client, Client.close)


def test_each_loop_has_its_client_and_closes_it(clients: ClientPerLoop[Client]) -> None:
    async def twice() -> Client:
        first, second = await asyncio.gather(clients.get(), clients.get())
        assert first is second
        assert Client.open == 1
        return first

    assert asyncio.run(twice()) is not asyncio.run(twice())
    assert Client.open == 0


async def test_a_client_closed_by_hand_is_made_anew(clients: ClientPerLoop[Client]) -> None:
    first = await clients.get()
    await clients.aclose()
    await clients.aclose()
    assert Client.open == 0
    assert await clients.get() is not first
    await clients.aclose()


async def test_a_client_that_nobody_holds_is_closed() -> None:
    Client.open = 0
    clients: ClientPerLoop[Client] = ClientPerLoop(Client, Client.close)
    await clients.get()
    del clients
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert Client.open == 0
