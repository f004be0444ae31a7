"""What a store of vectors promises, as a suite of tests that anyone can run on one of their own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tta_llm.rag.stores.filters import field
from tta_llm.rag.stores.store import Vectors, VectorStore
from tta_llm.testing._probes import raising, refuse_tasks_left, require
from tta_llm.testing._vector_probes import (
    NAMES,
    closing,
    fill,
    made_up_filters,
    made_up_metadata,
    require_found,
    require_ids,
    some_vectors,
    unit,
)
from tta_llm.testing.cancellation import cancel_at_every_await

__all__ = ["VectorStoreContract"]


class VectorStoreContract(ABC):
    """What holds for every store of vectors: subclass it in a test module, and pytest runs it.

    Say how to make a store, and for one that lasts how to open it again. The tests are plain
    functions that run event loops of their own; no plugin is needed. A store that searches
    approximately must still find all of a few hundred vectors in their order.

    Example:
        ```python
        from tta_llm.rag.stores.numpy_store import NumpyStore
        from tta_llm.testing.vector_store_contract import VectorStoreContract

        class TestNumpyStore(VectorStoreContract):
            def store(self):
                return NumpyStore()
        ```
    """

    # ------------------------------------------------------------------------- what an author says

    @abstractmethod
    def store(self) -> VectorStore:
        """Make an empty store; each test asks for a new one, outside of any event loop."""

    def reopened(self) -> VectorStore | None:
        """Open again what the last store has kept, after it was closed; None if it doesn't last."""
        return None

    # ----------------------------------------------------------------------------- what it keeps

    def test_it_gives_back_what_it_keeps(self) -> None:
        """Ids of any characters, and vectors as they were; of what isn't there, nothing."""
        vectors = some_vectors(len(NAMES))

        async def check(store: VectorStore) -> None:
            await store.upsert("space", NAMES, vectors, [{}] * len(NAMES))
            await require_ids(store, "space", NAMES)
            found = await store.vectors("space", [*NAMES, "unknown"])
            require(set(found) == set(NAMES), f"vectors() gave those of {sorted(found)}")
            for name, vector in zip(NAMES, vectors, strict=True):
                off = float(np.abs(found[name] - vector).max())
                require(off < 1e-6, f"the vector of {name!r} came back {off} away")

        self._run(check)

    def test_the_last_vector_and_metadata_of_an_id_count(self) -> None:
        """In one call as in two."""

        async def check(store: VectorStore) -> None:
            await fill(store, "space", ["a", "b"], n=1)
            twice = np.stack([unit(5), unit(6)])
            await store.upsert("space", ["a", "a"], twice, [{"n": 2}, {"n": 3}])
            await require_ids(store, "space", ["a", "b"])
            await require_found(store, "space", unit(6), ["a"], top_k=1)
            await require_found(store, "space", unit(6), ["a"], where=field("n") == 3)
            await require_found(store, "space", unit(6), ["b"], where=field("n") == 1)

        self._run(check)

    def test_what_is_deleted_is_gone(self) -> None:
        """No other goes with it, and deleting what isn't there is no error."""

        async def check(store: VectorStore) -> None:
            await store.delete("unknown", ["a"])
            await fill(store, "space", ["a", "b", "c"])
            await store.delete("space", {"a", "unknown"})
            await store.delete("space", [])
            await require_ids(store, "space", ["b", "c"])
            await require_found(store, "space", unit(1), ["b", "c"])
            await fill(store, "space", ["a"])
            await require_ids(store, "space", ["a", "b", "c"])

        self._run(check)

    def test_what_does_not_go_together_is_refused(self) -> None:
        """Ids without vectors, vectors of another length; and nothing of them is kept."""

        async def check(store: VectorStore) -> None:
            await fill(store, "space", ["a"])
            with raising(ValueError, "a call with one id and two vectors"):
                await store.upsert("space", ["b"], some_vectors(2), [{}])
            with raising(ValueError, "a vector of another length"):
                await store.upsert("space", ["b"], np.eye(1, 3, dtype=np.float32), [{}])
            with raising(ValueError, "a search by a vector of another length"):
                await store.search("space", np.eye(1, 3, dtype=np.float32)[0], 1)
            await require_ids(store, "space", ["a"])

        self._run(check)

    def test_nothing_to_keep_is_no_error(self) -> None:
        """No rows make no namespace."""

        async def check(store: VectorStore) -> None:
            await store.upsert("space", [], some_vectors(1)[:0], [])
            require(await store.namespaces() == set(), "no rows made a namespace")

        self._run(check)

    # ---------------------------------------------------------------------------------- the search

    def test_the_nearest_come_first(self) -> None:
        """With their cosines, and as many as were asked for, or as there are."""
        vectors = some_vectors(300)

        async def check(store: VectorStore) -> None:
            ids = [f"id {number}" for number in range(300)]
            await store.upsert("space", ids, vectors, [{}] * 300)
            for query in some_vectors(5, seed=1):
                cosines = vectors @ query
                best = np.argsort(-cosines)
                for top_k in (1, 10, 100):
                    found = await store.search("space", query, top_k)
                    wanted = [ids[place] for place in best[:top_k]]
                    require([each.id for each in found] == wanted, f"the {top_k} nearest are wrong")
                    off = np.abs([each.score for each in found] - cosines[best[:top_k]]).max()
                    require(off < 1e-5, f"a score is {off} away from the cosine")

        self._run(check)

    def test_a_search_for_many_or_none_gives_what_there_is(self) -> None:
        """More than there are, none, less than none; and in a namespace that isn't there."""

        async def check(store: VectorStore) -> None:
            require(await store.search("space", unit(0), 3) == [], "found something in nothing")
            await fill(store, "space", ["a", "b"])
            await require_found(store, "space", unit(0), ["a", "b"], top_k=1_000)
            for top_k in (0, -1):
                found = await store.search("space", unit(0), top_k)
                require(found == [], f"a search for {top_k} found {found}")
            require(await store.vectors("space", []) == {}, "vectors() of no ids gave some")

        self._run(check)

    def test_a_filter_means_what_it_says(self) -> None:
        """On made-up metadata, each finds what `Filter.matches` does, and all of it."""
        metadata = made_up_metadata(200)
        vectors = some_vectors(200)

        async def check(store: VectorStore) -> None:
            ids = [f"id {number}" for number in range(200)]
            await store.upsert("space", ids, vectors, metadata)
            query = some_vectors(1, seed=1)[0]
            order = [ids[place] for place in np.argsort(-(vectors @ query))]
            known = dict(zip(ids, metadata, strict=True))
            for where in made_up_filters(60):
                wanted = [each for each in order if where.matches(known[each])]
                for top_k in (1, 5, 200):
                    found = [each.id for each in await store.search("space", query, top_k, where)]
                    require(
                        found == wanted[:top_k],
                        f"of {len(wanted)} rows that meet {where}, the {top_k} nearest are wrong",
                    )

        self._run(check)

    def test_a_filter_follows_changes(self) -> None:
        """New rows, changed ones and deleted ones, each time the same filter."""

        async def check(store: VectorStore) -> None:
            new = field("year") > 2020
            await fill(store, "space", ["a", "b"], year=2020)
            await require_found(store, "space", unit(0), [], where=new)
            await fill(store, "space", ["b", "c"], year=2021)
            await require_found(store, "space", unit(0), ["b", "c"], where=new)
            await fill(store, "space", ["b"])
            await store.delete("space", ["c"])
            await require_found(store, "space", unit(0), [], where=new)

        self._run(check)

    # ------------------------------------------------------------------------------ the namespaces

    def test_no_call_reaches_another_namespace(self) -> None:
        """Not with the same ids, not by a name that is almost the same, whatever is called."""

        async def check(store: VectorStore) -> None:
            for number, name in enumerate(NAMES):
                await fill(store, name, ["same", f"only {number}"], n=number)
            for number, name in enumerate(NAMES):
                both = ["same", f"only {number}"]
                await require_ids(store, name, both)
                await require_found(store, name, unit(0), both, where=field("n") == number)
                await require_found(store, name, unit(0), [], where=field("n") != number)
            await store.drop(NAMES[0])
            await store.delete(NAMES[1], ["same", "only 2"])
            await require_ids(store, NAMES[0], [])
            await require_ids(store, NAMES[1], ["only 1"])
            for number, name in list(enumerate(NAMES))[2:]:
                await require_ids(store, name, ["same", f"only {number}"])

        self._run(check)

    def test_namespaces_are_those_that_hold_anything(self) -> None:
        """One that was dropped may be used again, for vectors of another length."""

        async def check(store: VectorStore) -> None:
            require(await store.namespaces() == set(), "a new store has namespaces")
            await store.drop("unknown")
            for name in NAMES:
                await fill(store, name, ["a"])
            require(await store.namespaces() == set(NAMES), "namespaces() gave others")
            await store.delete(NAMES[0], ["a"])
            await store.drop(NAMES[1])
            require(await store.namespaces() == set(NAMES[2:]), "an empty namespace was given")
            await store.upsert(NAMES[1], ["a"], np.eye(1, 3, dtype=np.float32), [{}])
            await require_ids(store, NAMES[1], ["a"])

        self._run(check)

    # ------------------------------------------------------------------------ how it behaves in use

    def test_it_keeps_all_when_it_is_opened_again(self) -> None:
        """Every namespace, with vectors and metadata; for a store that lasts."""

        async def fill_both(store: VectorStore) -> None:
            await fill(store, "one", ["a", "b"], n=1)
            await fill(store, "two", ["c"], n=2)
            await store.delete("one", ["b"])

        async def look(store: VectorStore) -> None:
            require(await store.namespaces() == {"one", "two"}, "not all namespaces were kept")
            await require_found(store, "one", unit(0), ["a"], where=field("n") == 1)
            await require_found(store, "two", unit(0), ["c"], where=field("n") == 2)

        self._run(fill_both)
        again = self.reopened()
        if again is not None:
            asyncio.run(closing(again, look))

    def test_it_is_changed_and_searched_at_the_same_time(self) -> None:
        """A search finds what is kept all the while; in the end all is there."""

        async def check(store: VectorStore) -> None:
            await fill(store, "space", ["stays"])

            async def change(number: int) -> None:
                ids = [f"{number}.{each}" for each in range(10)]
                await store.upsert("space", ids, _away(some_vectors(10)), [{"n": number}] * 10)
                await store.delete("space", ids[5:])

            async def look() -> None:
                await require_found(store, "space", unit(0), ["stays"], top_k=1)

            await asyncio.gather(*map(change, range(10)), *(look() for _ in range(20)))
            wanted = [f"{number}.{each}" for number in range(10) for each in range(5)]
            await require_ids(store, "space", ["stays", *wanted])

        self._run(check)

    def test_it_serves_several_event_loops(self) -> None:
        """At the same time, in threads, and one after the other."""
        store = self.store()

        async def call(number: int) -> None:
            name = f"space {number}"
            await fill(store, name, ["a", "b"])
            await require_found(store, name, unit(0), ["a", "b"])

        with ThreadPoolExecutor(4) as threads:
            for _ in threads.map(lambda number: asyncio.run(call(number)), range(8)):
                pass
        asyncio.run(closing(store, lambda _: require_ids(store, "space 7", ["a", "b"])))

    def test_it_can_be_cancelled_at_every_await_point(self) -> None:
        """What was cancelled has happened or not; nothing is left behind, and all goes on."""

        async def check(store: VectorStore) -> None:
            await fill(store, "space", ["a"])

            async def work() -> None:
                await fill(store, "space", ["a", "b"], n=1)
                await store.search("space", unit(0), 1, field("n") == 1)
                await store.delete("space", ["b"])

            async def look() -> None:
                left = await store.ids("space")
                require(left in ({"a"}, {"a", "b"}), f"after a cancelled call there was {left}")
                await fill(store, "space", ["a"])
                await require_found(store, "space", unit(0), ["a"], top_k=1)

            await cancel_at_every_await(work, look)

        self._run(check)

    def test_it_leaves_nothing_running(self) -> None:
        """No task after a call, and no thread of Python's after the event loop."""
        threads = set(threading.enumerate())

        async def check(store: VectorStore) -> None:
            before = asyncio.all_tasks()
            await fill(store, "space", ["a"])
            await require_found(store, "space", unit(0), ["a"])
            refuse_tasks_left(before, "used")
            await store.close()
            await store.close()
            refuse_tasks_left(before, "closed")

        self._run(check)
        left = set(threading.enumerate()) - threads
        require(not left, f"threads were left running: {left}")

    def _run(self, check: Callable[[VectorStore], Awaitable[None]]) -> None:
        asyncio.run(closing(self.store(), check))


def _away(vectors: Vectors) -> Vectors:
    """Turn vectors away from the first axis."""
    turned: Vectors = vectors.copy()
    turned[:, 0] = 0
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    return turned
