"""The suite for stores catches those that break their promises."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tta_llm.performance import CacheStore, MemoryStore
from tta_llm.testing import CacheStoreContract


class LosesEmptyValues(MemoryStore):
    async def get(self, key: str) -> bytes | None:
        return await super().get(key) or None


class ReadsText(MemoryStore):
    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        await super().set(key, value.decode("latin-1").encode(), ttl_seconds)


class KeepsTheFirst(MemoryStore):
    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        if await self.get(key) is None:
            await super().set(key, value, ttl_seconds)


class NeverForgets(MemoryStore):
    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        await super().set(key, value, 3600)


class DeletesNothing(MemoryStore):
    async def delete(self, key: str) -> None:
        pass


class DeletesTooMuch(MemoryStore):
    async def delete(self, key: str) -> None:
        await super().clear(key)


class ClearsByPattern(MemoryStore):
    async def clear(self, prefix: str) -> None:
        await super().clear(prefix.split("*", maxsplit=1)[0])


class LendsToEverybody(MemoryStore):
    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        await super().acquire(key, owner, ttl_seconds)
        return True


class LendsOnce(MemoryStore):
    calls = 0

    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        self.calls += 1
        return await super().acquire(key, f"{owner} {self.calls}", ttl_seconds)


class TakesBackFromOthers(MemoryStore):
    async def release(self, key: str, owner: str) -> None:
        for each in ("me", "you"):
            await super().release(key, each)


class LendsForEver(MemoryStore):
    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        return await super().acquire(key, owner, 3600)


class LendsNoLonger(MemoryStore):
    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        lease = self._leases.get(key)
        if lease is not None and lease.owner == owner and lease.expires > self._now():
            return True
        return await super().acquire(key, owner, ttl_seconds)


class LeasesAreValues(MemoryStore):
    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        took_it = await super().acquire(key, owner, ttl_seconds)
        if took_it:
            await self.set(key, owner.encode(), ttl_seconds)
        return took_it


class ClearsLeases(MemoryStore):
    async def clear(self, prefix: str) -> None:
        await super().clear(prefix)
        self._leases.clear()


class MixesCallersUp(MemoryStore):
    key = ""

    async def get(self, key: str) -> bytes | None:
        self.key = key
        await asyncio.sleep(0)
        return await super().get(self.key)


class BindsToALoop(MemoryStore):
    loop: asyncio.AbstractEventLoop | None = None

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("bound to a different event loop")
        await super().set(key, value, ttl_seconds)


class SwallowsCancellation(MemoryStore):
    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return
        await super().set(key, value, ttl_seconds)


class TornByCancellation(MemoryStore):
    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        await self.delete(key)
        await asyncio.sleep(0)
        await super().set(key, value, ttl_seconds)


class LeaksATask(MemoryStore):
    async def get(self, key: str) -> bytes | None:
        self.task = asyncio.create_task(asyncio.sleep(3600))
        return await super().get(key)


class LeaksAThread(MemoryStore):
    stop = threading.Event()

    async def get(self, key: str) -> bytes | None:
        threading.Thread(target=self.stop.wait, args=(60,), daemon=True).start()
        return await super().get(key)


class ClosesForGood(MemoryStore):
    closed = False

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        if self.closed:
            raise RuntimeError("closed for good")
        await super().set(key, value, ttl_seconds)

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Promises(CacheStoreContract):
    made: Callable[[], CacheStore]

    __test__ = False

    def store(self) -> CacheStore:
        return self.made()


ALL = [promise for promise in dir(CacheStoreContract) if promise.startswith("test_")]

BROKEN: list[tuple[type[MemoryStore], str, str]] = [
    (LosesEmptyValues, "it_gives_what_was_stored", "'values:empty'.*gave None, not b''"),
    (ReadsText, "it_gives_what_was_stored", "'values:every byte'.*not 256 other bytes"),
    (KeepsTheFirst, "the_last_value_counts", "gave None, not b'second'"),
    (NeverForgets, "a_value_past_its_time_is_gone", "gave b'1', not None"),
    (DeletesNothing, "a_deleted_value_is_gone", "gave b'1', not None"),
    (DeletesTooMuch, "a_deleted_value_is_gone", "gave None, not b'1'"),
    (ClearsByPattern, "clear_forgets_what_begins_so", "gave None, not b'1'"),
    (LendsToEverybody, "one_owner_has_the_lease", "10 of 10 owners took one lease"),
    (LendsOnce, "one_owner_has_the_lease", "was refused the lease on 'a'"),
    (TakesBackFromOthers, "a_lease_is_given_back_by_its_owner_alone", "'you' took the lease"),
    (LendsForEver, "a_lease_passes_on_after_its_time", "'you' was refused the lease on 'a'"),
    (LendsNoLonger, "a_lease_passes_on_after_its_time", "'you' took the lease on 'b'"),
    (LeasesAreValues, "a_lease_is_no_value", "gave b'me', not None"),
    (ClearsLeases, "a_lease_is_no_value", "'you' took the lease on 'a'"),
    (MixesCallersUp, "many_callers_get_each_their_own", "get.'key 0'. gave b'99', not b'0'"),
    (BindsToALoop, "it_serves_several_event_loops", "different event loop"),
    (SwallowsCancellation, "it_can_be_cancelled_at_every_await_point", "swallowed"),
    (TornByCancellation, "it_can_be_cancelled_at_every_await_point", "there was None"),
    (LeaksATask, "it_leaves_nothing_running", "used, it left tasks running"),
    (LeaksAThread, "it_leaves_nothing_running", "threads were left running"),
    (ClosesForGood, "a_closed_store_can_be_used_again", "closed for good"),
]


@pytest.mark.parametrize("promise", ALL)
def test_the_base_of_the_broken_ones_keeps_each_promise(promise: str) -> None:
    getattr(Promises(MemoryStore), promise)()


@pytest.mark.parametrize(
    ("store", "promise", "told"), BROKEN, ids=[store.__name__ for store, _, _ in BROKEN]
)
def test_a_broken_promise_is_told(store: type[MemoryStore], promise: str, told: str) -> None:
    LeaksAThread.stop.clear()
    with pytest.raises(Exception, match=told):
        getattr(Promises(store), f"test_{promise}")()
    LeaksAThread.stop.set()


def test_every_promise_has_one_that_breaks_it() -> None:
    assert {f"test_{promise}" for _, promise, _ in BROKEN} == set(ALL)


def test_an_author_must_say_what_to_test() -> None:
    with pytest.raises(TypeError, match="store"):
        CacheStoreContract()  # type: ignore[abstract]
