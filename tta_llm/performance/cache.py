"""Answering again what was answered before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, Self, TypedDict, Unpack, overload

from tta_llm.core import WorkflowContext, WorkflowPrimitive, WrapperPrimitive
from tta_llm.core._checks import at_least, positive
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.observability import configured, tell_cache
from tta_llm.performance._entry import Entry
from tta_llm.performance._identity import identity_of
from tta_llm.performance._keeper import Keeper, Lifetimes
from tta_llm.performance._keying import PIECES, RESULT, Keying
from tta_llm.performance._sharing import Call, Sharing
from tta_llm.performance._shelf import Shelf
from tta_llm.performance._table import Table
from tta_llm.performance.statistics import CacheStatistics, Counts, Event
from tta_llm.performance.store import CacheStore

__all__ = ["CacheOptions", "CachePrimitive"]


class CacheOptions(TypedDict, total=False):
    """The arguments of a CachePrimitive after the first two."""

    max_entries: int
    max_bytes: int | None
    key: Callable[..., Any] | None
    vary: Iterable[str]
    ignore: Iterable[str]
    version: str | int | None
    store: CacheStore | None
    store_timeout_seconds: float
    store_if: Callable[[Any], bool] | None
    stale_while_revalidate_seconds: float | None
    stale_if_error_seconds: float | None
    error_ttl_seconds: float | None
    name: str | None


class CachePrimitive(WrapperPrimitive[In, Out]):
    """Remembers what a step gave for an input, for a while.

    Callers that miss the same input at the same time wait for one computation. It goes on until the
    last of them has gone, whoever started it; when it fails they all get the error, once, and
    nothing is stored. Each caller gets a copy, to do with as they like; what can't be copied is
    computed for each.

    What the step reads of `context.data` is part of its input: name it in `vary`. A result that
    rests on a name which is not there is given to nobody else, and not stored; a warning says so
    once. What the step writes there is part of its result, and written again at each hit.

    A stream is stored when it has ended by itself, and replayed in the same pieces; results and
    streams are remembered apart. A model's answer that was cut short, filtered or refused is not
    stored.

    Args:
        primitive: The step.
        ttl_seconds: How long a result is good for, above 0.
        max_entries: When there are more in memory, the one that was not used for longest goes.
        max_bytes: The same when they take more memory than this, roughly; None for no limit.
        key: Makes plain data of the input to key by, for inputs of other types or with parts that
            don't matter. It gets the input, and, if it likes, the context.
        vary: The names in `context.data` that make a difference, such as `("tenant",)`.
        ignore: Names there that the step reads, a log's for instance, and that make none.
        version: Tells its results in a store from those of an earlier version of the step.
        store: Where the results lie, in place of this process's memory: `SQLiteStore` for the
            processes of a machine, `RedisStore` for many machines. They must be plain data there.
            A process computes only what no other one is computing. A store that is down, slow or
            holds garbage is a miss, never an error.
        store_timeout_seconds: No call waits longer for the store.
        store_if: Whether to store a result (of a stream, the tuple of its pieces).
        stale_while_revalidate_seconds: For so long past its time a result is given at once, while
            a task computes a new one. That task outlives the call: close the cache
            (`async with`, `aclose`) to end it.
        stale_if_error_seconds: For so long past its time a result is given when computing a new
            one fails by an outage.
        error_ttl_seconds: A provider's refusal that another try can't mend, such as a bad request,
            is given for so long.
        name: What spans and errors call it; metrics too, in place of the step's name.

    Raises:
        UnkeyableError: From the constructor, when there is a store and the step can't be told from
            others by its code and contents, and no `version` is given; else from `execute`, when
            the input is no plain data and there is no `key`.

    Example:
        ```python
        from tta_llm.performance import CachePrimitive
        from tta_llm.testing import MockPrimitive

        model = MockPrimitive(return_value="an answer")
        cached = CachePrimitive(model, ttl_seconds=3600)
        assert cached.run({"q": 1}) == cached.run({"q": 1}) == "an answer"
        assert model.call_count == 1 and cached.statistics.hits == 1
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        ttl_seconds: float,
        **options: Unpack[CacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        ttl_seconds: float,
        **options: Unpack[CacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self, primitive: PlainStep[In, Out], ttl_seconds: float, **options: Unpack[CacheOptions]
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        ttl_seconds: float,
        *,
        max_entries: int = 1024,
        max_bytes: int | None = None,
        key: Callable[..., Any] | None = None,
        vary: Iterable[str] = (),
        ignore: Iterable[str] = (),
        version: str | int | None = None,
        store: CacheStore | None = None,
        store_timeout_seconds: float = 0.5,
        store_if: Callable[[Any], bool] | None = None,
        stale_while_revalidate_seconds: float | None = None,
        stale_if_error_seconds: float | None = None,
        error_ttl_seconds: float | None = None,
        name: str | None = None,
    ) -> None:
        positive(ttl_seconds, "ttl_seconds")
        super().__init__(primitive, label=f"remembered for {ttl_seconds:g} s", name=name)
        lifetimes = Lifetimes(
            fresh=ttl_seconds,
            stale=_seconds(stale_while_revalidate_seconds, "stale_while_revalidate_seconds"),
            stale_if_error=_seconds(stale_if_error_seconds, "stale_if_error_seconds"),
            error=_seconds(error_ttl_seconds, "error_ttl_seconds"),
        )
        self._counts = Counts(name or self.primitive.name)
        shelf, identity = None, b""
        if store is not None:
            _require_store(store)
            held = [self.primitive, key]
            identity = hashlib.sha256(identity_of(held, version=version)).digest()
            limit = positive(store_timeout_seconds, "store_timeout_seconds")
            shelf = Shelf(store, f"{identity.hex()[:16]}:", limit, self._counts)
        if max_bytes is not None:
            at_least(1, max_bytes, "max_bytes")
        self._keying = Keying(key, vary, ignore, identity)
        self._table = Table(at_least(1, max_entries, "max_entries"), max_bytes, self._counts)
        self._keeper = Keeper(lifetimes, self._table, shelf, self._counts, store_if)
        self._sharing = Sharing(self.primitive, self._keeper)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Give the remembered result, or run the step."""
        key, known = self._keying.of(input_data, context)
        key = RESULT + key
        entry = self._table.hit(key, context.clock.now())
        if entry is None:
            call = Call(key, known, input_data, context)
            return await self._find_or_compute(call)  # type: ignore[no-any-return]
        # In place of `_give`, for hits are what a cache is for: each call from here costs a tenth.
        if configured():
            tell_cache("hit", self._counts.name, entry.seconds, entry.dollars)
        if entry.give_written is not None:
            entry.write(context.data)
        return entry.give()  # type: ignore[no-any-return]

    async def _find_or_compute(self, call: Call) -> Any:
        entry = await self._keeper.find(call.key, call.context.clock)
        if entry is not None and (how := self._may_serve(entry, call)):
            return self._give(how, entry, call.context)
        try:
            return await self._sharing.result(call)
        except Exception as error:
            if entry is None or not self._keeper.stands_in(entry, error, call.context.clock):
                raise
            return self._give("stale", entry, call.context)

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Replay the remembered pieces, or stream the step."""
        key, known = self._keying.of(input_data, context)
        call = Call(PIECES + key, known, input_data, context, streams=True)
        entry = await self._keeper.find(call.key, context.clock)
        if entry is not None and (how := self._may_serve(entry, call)):
            for piece in self._give(how, entry, context):
                yield piece
            return
        is_begun = False
        try:
            async with aclosing(self._sharing.pieces(call)) as pieces:
                async for piece in pieces:
                    is_begun = True
                    yield piece
        except Exception as error:
            stands_in = self._keeper.stands_in
            if is_begun or entry is None or not stands_in(entry, error, context.clock):
                raise
            for piece in self._give("stale", entry, context):
                yield piece

    def _give(self, how: Event, entry: Entry, context: WorkflowContext) -> Any:
        self._counts.add(how, seconds=entry.seconds, dollars=entry.dollars)
        return entry.replay(context.data)

    def _may_serve(self, entry: Entry, call: Call) -> Event | None:
        """Tell how an entry may be given, if it may; have a new one computed for a stale one."""
        how = self._keeper.how_to_give(entry, call.context.clock)
        if how == "stale":
            self._sharing.refresh(call, entry.fresh_until + self._keeper.lifetimes.stale)
        return how

    async def invalidate(self, input_data: In, context: WorkflowContext | None = None) -> None:
        """Forget what is remembered for an input, its streams too.

        What is being computed for it reaches those who wait for it already, and is not stored.

        Args:
            input_data: As for `execute`.
            context: The same; what `vary` names is looked up there.

        Raises:
            Exception: What the store raises when it can't forget.
        """
        digest, _ = self._keying.of(input_data, WorkflowContext() if context is None else context)
        keys = (RESULT + digest, PIECES + digest)
        self._sharing.disown(lambda key: key in keys)
        for key in keys:
            await self._keeper.drop(key)

    async def clear(self) -> None:
        """Forget all that is remembered; in a store, only what this cache's step gave.

        Raises:
            Exception: What the store raises when it can't forget.
        """
        self._sharing.disown(lambda _: True)
        await self._keeper.clear()

    @property
    def statistics(self) -> CacheStatistics:
        """What it did so far, in this process."""
        return self._counts.statistics()

    async def aclose(self) -> None:
        """End the tasks that compute new results for stale ones; a store is left open."""
        await self._sharing.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _require_store(store: Any) -> None:
    is_one = all(callable(getattr(store, each, None)) for each in ("get", "set", "acquire"))
    if isinstance(store, type) or not is_one:
        raise TypeError(f"store= is a store, such as SQLiteStore('cache.db'), not {store!r}")


def _seconds(value: float | None, name: str) -> float:
    return 0.0 if value is None else positive(value, name)
