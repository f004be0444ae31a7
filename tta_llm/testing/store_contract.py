"""What a cache's store promises, as a suite of tests that anyone can run on one of their own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from tta_llm.performance import CacheStore
from tta_llm.testing._probes import refuse_tasks_left, require
from tta_llm.testing._store_probes import (
    LATER,
    SOON,
    closing,
    fill,
    require_keys,
    require_refused,
    require_taken,
    require_value,
)
from tta_llm.testing.cancellation import cancel_at_every_await

__all__ = ["CacheStoreContract"]


class CacheStoreContract(ABC):
    """What holds for every store of a cache: subclass it in a test module, and pytest runs it.

    Say how to make a store. If its clock can be moved, say how, and nothing waits. The tests are
    plain functions that run event loops of their own; no plugin is needed. Bounds of size are a
    store's own affair: each test keeps a few small values, and one of a megabyte.

    Example:
        ```python
        from tta_llm.performance import MemoryStore
        from tta_llm.testing import CacheStoreContract

        class TestMemoryStore(CacheStoreContract):
            def store(self):
                return MemoryStore()
        ```
    """

    # ------------------------------------------------------------------------- what an author says

    @abstractmethod
    def store(self) -> CacheStore:
        """Make an empty store; each test asks for a new one, outside of any event loop."""

    async def pass_time(self, store: CacheStore, seconds: float) -> None:
        """Let so many seconds pass for the store; they really do, unless it is overridden."""
        await asyncio.sleep(seconds)

    # ---------------------------------------------------------------------------------- the values

    def test_it_gives_what_was_stored(self) -> None:
        """Each byte and length comes back as it was; what was never stored is None."""
        values = {
            "empty": b"",
            "every byte": bytes(range(256)),
            "a megabyte": bytes(range(256)) * 4096,
        }

        async def check(store: CacheStore) -> None:
            for name, value in values.items():
                await store.set(f"values:{name}", value, LATER)
            for name, value in values.items():
                await require_value(store, f"values:{name}", value)
            await require_value(store, "values:unknown", None)

        self._run(check)

    def test_the_last_value_counts(self) -> None:
        """A value takes the place of the one before it, and so does its time."""

        async def check(store: CacheStore) -> None:
            await store.set("a", b"first", SOON)
            await store.set("a", b"second", LATER)
            await self.pass_time(store, 2 * SOON)
            await require_value(store, "a", b"second")
            await store.set("a", b"third", SOON)
            await self.pass_time(store, 2 * SOON)
            await require_value(store, "a", None)

        self._run(check)

    def test_a_value_past_its_time_is_gone(self) -> None:
        """It is never given again, and a new one may take its place."""

        async def check(store: CacheStore) -> None:
            await store.set("short", b"1", SOON)
            await store.set("long", b"2", LATER)
            await self.pass_time(store, 2 * SOON)
            await require_value(store, "short", None)
            await require_value(store, "long", b"2")
            await store.set("short", b"3", LATER)
            await require_value(store, "short", b"3")

        self._run(check)

    def test_a_deleted_value_is_gone(self) -> None:
        """No other goes with it, and deleting what isn't there is no error."""

        async def check(store: CacheStore) -> None:
            await fill(store, ["a", "ab"])
            await store.delete("a")
            await store.delete("a")
            await require_keys(store, {"a": False, "ab": True})

        self._run(check)

    def test_clear_forgets_what_begins_so(self) -> None:
        """Each character of the prefix stands for itself."""
        prefix = r"a*[b]?_%\:"
        others = ["", "a", "A*[b]?_%\\:", "ax[b]?_%\\:", "a*b?_%\\:1", r"a*[b]?_%:", "b" + prefix]

        async def check(store: CacheStore) -> None:
            await store.clear(prefix)
            mine = [prefix, *(f"{prefix}{number}" for number in range(20))]
            await fill(store, [*mine, *others])
            await store.clear(prefix)
            await require_keys(store, dict.fromkeys(mine, False) | dict.fromkeys(others, True))
            await store.clear("")
            await require_keys(store, dict.fromkeys(others, False))

        self._run(check)

    # ---------------------------------------------------------------------------------- the leases

    def test_one_owner_has_the_lease(self) -> None:
        """Of many who ask at once one gets it; who has it may ask again; each key has its own."""

        async def check(store: CacheStore) -> None:
            owners = [f"owner {number}" for number in range(10)]
            took = await asyncio.gather(*(store.acquire("a", owner, LATER) for owner in owners))
            require(took.count(True) == 1, f"{took.count(True)} of 10 owners took one lease")
            for owner, has_it in zip(owners, took, strict=True):
                await (require_taken if has_it else require_refused)(store, "a", owner)
            await require_taken(store, "b", "owner 0")

        self._run(check)

    def test_a_lease_is_given_back_by_its_owner_alone(self) -> None:
        """What others give back is no error, and changes nothing."""

        async def check(store: CacheStore) -> None:
            await store.release("a", "me")
            await require_taken(store, "a", "me")
            await store.release("a", "you")
            await require_refused(store, "a", "you")
            await store.release("a", "me")
            await require_taken(store, "a", "you")

        self._run(check)

    def test_a_lease_passes_on_after_its_time(self) -> None:
        """An owner who is gone holds nobody up; one who asks again in time keeps it."""

        async def check(store: CacheStore) -> None:
            for key in ("a", "b"):
                await require_taken(store, key, "me", SOON)
            await require_taken(store, "b", "me")
            await self.pass_time(store, 2 * SOON)
            await require_taken(store, "a", "you")
            await store.release("a", "me")
            await require_refused(store, "a", "me")
            await require_refused(store, "b", "you")

        self._run(check)

    def test_a_lease_is_no_value(self) -> None:
        """Neither knows of the other, though they have the same key."""

        async def check(store: CacheStore) -> None:
            await require_taken(store, "a", "me")
            await require_value(store, "a", None)
            await store.set("a", b"1", LATER)
            await store.delete("a")
            await store.clear("")
            await require_refused(store, "a", "you")
            await store.set("a", b"2", LATER)
            await store.release("a", "me")
            await require_value(store, "a", b"2")

        self._run(check)

    # ----------------------------------------------------------------------- how it behaves in use

    def test_many_callers_get_each_their_own(self) -> None:
        """Nobody gets what is stored by another key."""

        async def check(store: CacheStore) -> None:
            async def call(number: int) -> None:
                key, value = f"key {number}", b"%d" % number
                await store.set(key, value, LATER)
                await require_value(store, key, value)

            await asyncio.gather(*map(call, range(100)))

        self._run(check)

    def test_it_serves_several_event_loops(self) -> None:
        """At the same time, in threads, and one after the other."""
        store = self.store()

        async def call(number: int) -> None:
            for turn in range(10):
                await store.set(f"key {number}", b"%d" % turn, LATER)
                await require_value(store, f"key {number}", b"%d" % turn)

        with ThreadPoolExecutor(4) as threads:
            for _ in threads.map(lambda number: asyncio.run(call(number)), range(8)):
                pass
        asyncio.run(closing(store, lambda _: require_value(store, "key 0", b"9")))

    def test_it_can_be_cancelled_at_every_await_point(self) -> None:
        """What was cancelled has happened or not; nothing is left behind, and all goes on."""

        async def check(store: CacheStore) -> None:
            await fill(store, ["a"])

            async def work() -> None:
                await store.set("a", b"2", LATER)
                await store.get("a")
                await store.acquire("a", "me", LATER)
                await store.release("a", "me")

            async def look() -> None:
                value = await store.get("a")
                require(value in {b"1", b"2"}, f"after a cancelled set there was {value!r}")
                await store.set("a", b"1", LATER)
                await require_taken(store, "a", "me")

            await cancel_at_every_await(work, look)

        self._run(check)

    def test_it_leaves_nothing_running(self) -> None:
        """No task after a call, and no thread after the event loop."""
        threads = set(threading.enumerate())

        async def check(store: CacheStore) -> None:
            before = asyncio.all_tasks()
            await fill(store, ["a"])
            await require_value(store, "a", b"1")
            refuse_tasks_left(before, "used")
            await store.aclose()
            refuse_tasks_left(before, "closed")

        self._run(check)
        left = set(threading.enumerate()) - threads
        require(not left, f"threads were left running: {left}")

    def test_a_closed_store_can_be_used_again(self) -> None:
        """Closing twice is no error either."""

        async def check(store: CacheStore) -> None:
            await store.aclose()
            await fill(store, ["a"])
            await store.aclose()
            await store.aclose()
            await store.set("b", b"2", LATER)
            await require_value(store, "b", b"2")

        self._run(check)

    def _run(self, check: Callable[[CacheStore], Awaitable[None]]) -> None:
        asyncio.run(closing(self.store(), check))
