"""What a store of sessions promises, as a suite of tests that anyone can run on their own."""

from __future__ import annotations

import asyncio
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from tta_llm.agents.conversation.store import Session, SessionKey, SessionStore, Turn
from tta_llm.messages import (
    DocumentPart,
    ImagePart,
    Message,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
    assistant,
    tool,
    user,
)
from tta_llm.testing._probes import refuse_tasks_left, require
from tta_llm.testing.cancellation import cancel_at_every_await

__all__ = ["SessionStoreContract"]

_KEY = SessionKey("session", "tenant")
_SOON = 0.05

# Ids that would be one if they were only put together, and signs that trip somebody up.
_KEYS = [
    SessionKey(session, tenant)
    for session in ("a", "a:b", "b", "a\0", "ä", "a\u0308", "a*", "{a}", "\ud800", "A", "a" * 1000)
    for tenant in ("", "a", "a:b", "a\0b", "{", "\U0001f600", "%")
]

_EVERYTHING: tuple[Message, ...] = (
    user(
        [
            TextPart("Look \ud800 \0 \r\n \U0001f600"),
            ImagePart(bytes(range(256)), "image/png"),
            ImagePart(url="https://example.com/cat.png"),
            DocumentPart(b"%PDF-1.7\n", "application/pdf", "a file"),
        ],
        cache="1h",
    ),
    assistant(
        [
            ReasoningPart("Hm.", "seal=="),
            ToolCall("1", "find", {"a": [1, 2.5, None, {"$b": True}]}, "seal"),
        ]
    ),
    tool(ToolResult("1", "nothing", "find", is_error=True)),
    assistant(""),
)


class SessionStoreContract(ABC):
    """What holds for every store of sessions: subclass it in a test module, and pytest runs it.

    Say how to make a store. If its clock can be moved, say how, and nothing waits. The tests are
    plain functions that run event loops of their own; no plugin is needed.

    Example:
        ```python
        from tta_llm.agents import MemorySessionStore
        from tta_llm.testing import SessionStoreContract

        class TestMemorySessionStore(SessionStoreContract):
            def store(self):
                return MemorySessionStore()
        ```
    """

    @abstractmethod
    def store(self) -> SessionStore:
        """Make an empty store; each test asks for a new one, outside of any event loop."""

    async def pass_time(self, store: SessionStore, seconds: float) -> None:
        """Let so many seconds pass for the store; they really do, unless it is overridden."""
        await asyncio.sleep(seconds)

    # ------------------------------------------------------------------------------------ the turns

    def test_a_turn_comes_back_as_it_was(self) -> None:
        """Each part of each message, and all that is known of the turn."""
        whole = Turn(
            id="ä\ud800",
            status="finished",
            messages=_EVERYTHING,
            asked=1,
            started_at=1.5,
            ended_at=2.25,
            answered_by=("openai", "gpt"),
            finish_reason="stop",
            run_id="run-1",
        )

        async def check(store: SessionStore) -> None:
            begun = await store.begin(_KEY, Turn(id="ä\ud800", started_at=1.5), None)
            require(begun.number == 1, f"the first turn has the number {begun.number}")
            ended = dataclasses.replace(whole, number=1)
            require(await store.end(_KEY, ended, None), "a turn could not be ended")
            (read,) = await store.turns(_KEY)
            require(read == ended, "a turn came back otherwise than it was stored")
            marks = [message.cache for message in read.messages]
            require(marks == ["1h", False, False, False], f"the marks came back as {marks}")

        self._run(check)

    def test_turns_are_numbered_without_a_gap(self) -> None:
        """Of many that begin at once each gets its own number, and none is lost."""

        async def check(store: SessionStore) -> None:
            begun = await asyncio.gather(*(store.begin(_KEY, _turn(i), None) for i in range(50)))
            numbers = sorted(turn.number for turn in begun)
            require(numbers == [*range(1, 51)], f"50 turns at once got the numbers {numbers}")
            read = {turn.id: turn.number for turn in await store.turns(_KEY)}
            require(read == {turn.id: turn.number for turn in begun}, "turns were mixed up")
            session = await store.session(_KEY)
            require(session == Session(turns=50), f"after 50 turns there is {session!r}")

        self._run(check)

    def test_a_span_of_turns_can_be_read(self) -> None:
        """From either end, always in order."""

        async def check(store: SessionStore) -> None:
            for number in range(1, 11):
                await store.begin(_KEY, _turn(number), None)
            spans = {
                (0, None, 3, False): [8, 9, 10],
                (0, None, 3, True): [1, 2, 3],
                (4, 8, 2, False): [6, 7],
                (4, 8, 2, True): [5, 6],
                (8, None, 9, False): [9, 10],
                (0, 2, 9, True): [1],
                (5, 6, 9, False): [],
                (10, None, 9, True): [],
                (0, 99, 2, False): [9, 10],
            }
            for (after, before, limit, oldest), expected in spans.items():
                span = {"after": after, "limit": limit}
                found = await store.turns(_KEY, before=before, oldest=oldest, **span)
                numbers = [turn.number for turn in found]
                require(numbers == expected, f"{span}, {before}, {oldest} gave {numbers}")

        self._run(check)

    def test_a_request_that_comes_again_is_the_same_turn(self) -> None:
        """Under way or failed, it begins again; finished, it is given as it is."""

        async def check(store: SessionStore) -> None:
            first = await store.begin(_KEY, _turn(1), None)
            await store.begin(_KEY, _turn(2), None)
            await store.end(_KEY, dataclasses.replace(first, status="failed"), None)
            again = await store.begin(_KEY, _turn(1), None)
            require(again == first, f"a turn that failed came again as {again!r}")
            done = dataclasses.replace(first, status="finished", messages=_EVERYTHING)
            require(await store.end(_KEY, done, None), "a turn could not be ended")
            given = await store.begin(_KEY, _turn(1), None)
            require(given == done, f"a turn that was finished came again as {given!r}")
            numbers = [turn.number for turn in await store.turns(_KEY)]
            require(numbers == [1, 2], f"a turn was doubled: {numbers}")

        self._run(check)

    def test_what_is_finished_stays_so(self) -> None:
        """Nobody ends it again, and what is not there can't be ended."""

        async def check(store: SessionStore) -> None:
            begun = await store.begin(_KEY, _turn(1), None)
            done = dataclasses.replace(begun, status="finished")
            require(await store.end(_KEY, done, None), "a turn could not be ended")
            failed = dataclasses.replace(begun, status="failed")
            require(not await store.end(_KEY, failed, None), "a finished turn was ended again")
            require(await store.turns(_KEY) == (done,), "a finished turn was changed")
            other = dataclasses.replace(begun, number=7)
            require(not await store.end(_KEY, other, None), "a turn that is not there was ended")

        self._run(check)

    # ---------------------------------------------------------------- the summary and what's pinned

    def test_of_two_changes_one_counts(self) -> None:
        """Who read before the other's change is refused."""

        async def check(store: SessionStore) -> None:
            await store.begin(_KEY, _turn(1), None)
            read = await store.session(_KEY) or Session()
            mine = dataclasses.replace(read, summary="mine \ud800", summarized=1)
            more = dataclasses.replace(read, pinned=_EVERYTHING)
            changed = await asyncio.gather(
                *(store.change(_KEY, each, None) for each in (mine, more))
            )
            require(changed.count(True) == 1, f"{changed.count(True)} of 2 changes were stored")
            expected = dataclasses.replace(mine if changed[0] else more, version=1)
            require(await store.session(_KEY) == expected, "a change was stored otherwise")

        self._run(check)

    def test_a_session_may_begin_with_a_change(self) -> None:
        """One that was read with a version is gone when there is none."""

        async def check(store: SessionStore) -> None:
            old = Session(summary="old", version=3)
            require(not await store.change(_KEY, old, None), "a session that is gone was changed")
            require(await store.session(_KEY) is None, "a refused change made a session")
            require(await store.change(_KEY, Session(pinned=(user("a"),)), None), "refused")
            begun = await store.begin(_KEY, _turn(1), None)
            expected = Session(turns=1, pinned=(user("a"),), version=1)
            found = await store.session(_KEY)
            require(begun.number == 1 and found == expected, f"there is {found!r}")

        self._run(check)

    # --------------------------------------------------------------------- whose it is, and its end

    def test_nobody_reaches_the_sessions_of_others(self) -> None:
        """Whatever signs are in the names."""

        async def check(store: SessionStore) -> None:
            for number, key in enumerate(_KEYS):
                await store.begin(key, _turn(number), None)
            for number, key in enumerate(_KEYS):
                ids = [turn.id for turn in await store.turns(key)]
                require(ids == [str(number)], f"{key!r} has the turns {ids}")

        self._run(check)

    def test_a_deleted_session_is_gone(self) -> None:
        """No other goes with it, and a turn that was under way does not bring it back."""

        async def check(store: SessionStore) -> None:
            other = SessionKey("session", "other")
            begun = await store.begin(_KEY, _turn(1), None)
            await store.begin(other, _turn(1), None)
            require(await store.delete(_KEY), "there was no session to delete")
            require(not await store.delete(_KEY), "a deleted session was there")
            require(not await store.end(_KEY, begun, None), "a turn of a deleted session was ended")
            await _require_nothing(store, _KEY)
            require(len(await store.turns(other)) == 1, "another session was deleted, too")
            new = await store.begin(_KEY, _turn(2), None)
            require(new.number == 1, f"a session that began anew has the number {new.number}")
            require(not await store.end(_KEY, begun, None), "a turn ended one that is not its own")
            require(await store.turns(_KEY) == (new,), "a turn was replaced by a deleted one")

        self._run(check)

    def test_all_of_a_tenant_is_deleted(self) -> None:
        """And nothing of anybody else."""

        async def check(store: SessionStore) -> None:
            for key in _KEYS:
                await store.begin(key, _turn(1), None)
            mine = [key for key in _KEYS if key.tenant_id == "a"]
            gone = await store.delete_tenant("a")
            require(gone == len(mine), f"{gone} of {len(mine)} sessions were deleted")
            for key in _KEYS:
                left = len(await store.turns(key))
                require(left == (key not in mine), f"{key!r} has {left} turns")
            require(await store.delete_tenant("a") == 0, "deleted sessions were there")

        self._run(check)

    def test_a_session_ends_after_its_time(self) -> None:
        """Counted from the last write; then a new one begins."""

        async def check(store: SessionStore) -> None:
            kept, other = SessionKey("kept"), SessionKey("other")
            begun = await store.begin(_KEY, _turn(1), _SOON)
            await store.begin(kept, _turn(1), _SOON)
            await store.begin(kept, _turn(2), 100 * _SOON)
            await store.begin(other, _turn(1), None)
            await self.pass_time(store, 2 * _SOON)
            await _require_nothing(store, _KEY)
            require(not await store.end(_KEY, begun, None), "a turn of an ended session was ended")
            require(not await store.delete(_KEY), "an ended session was deleted")
            require(len(await store.turns(kept)) == 2, "a session ended before its time")
            require(len(await store.turns(other)) == 1, "a session without an end ended")
            begun = await store.begin(_KEY, _turn(1), None)
            require(begun.number == 1, f"a session began anew with the number {begun.number}")

        self._run(check)

    # ------------------------------------------------------------------------------- how it behaves

    def test_it_serves_several_event_loops(self) -> None:
        """At the same time, in threads, and one after the other."""
        store = self.store()

        async def call(number: int) -> None:
            for turn in range(10):
                begun = await store.begin(_KEY, _turn(100 * number + turn), None)
                await store.end(_KEY, dataclasses.replace(begun, status="finished"), None)
            await store.aclose()

        with ThreadPoolExecutor(4) as threads:
            for _ in threads.map(lambda number: asyncio.run(call(number)), range(6)):
                pass

        async def count(store: SessionStore) -> None:
            numbers = [turn.number for turn in await store.turns(_KEY)]
            require(numbers == [*range(1, 61)], f"60 turns have the numbers {numbers}")

        asyncio.run(_closing(store, count))

    def test_it_can_be_cancelled_at_every_await_point(self) -> None:
        """What was cancelled has happened or not; nothing is left behind, and all goes on."""

        async def check(store: SessionStore) -> None:
            async def work() -> None:
                begun = await store.begin(_KEY, _turn(1), None)
                await store.end(_KEY, dataclasses.replace(begun, status="finished"), None)

            async def look() -> None:
                numbers = [turn.number for turn in await store.turns(_KEY)]
                require(numbers in ([], [1]), f"after a cancelled turn there are {numbers}")
                await store.delete(_KEY)

            await cancel_at_every_await(work, look)

        self._run(check)

    def test_it_leaves_nothing_running(self) -> None:
        """And can be used again after it was closed, twice."""

        async def check(store: SessionStore) -> None:
            before = asyncio.all_tasks()
            await store.begin(_KEY, _turn(1), None)
            refuse_tasks_left(before, "used")
            await store.aclose()
            await store.aclose()
            refuse_tasks_left(before, "closed")
            require(len(await store.turns(_KEY)) == 1, "a turn was lost by closing")

        self._run(check)

    def _run(self, check: Callable[[SessionStore], Awaitable[None]]) -> None:
        asyncio.run(_closing(self.store(), check))


def _turn(number: int) -> Turn:
    return Turn(id=str(number), messages=(user(f"question {number}"),), asked=1)


async def _require_nothing(store: SessionStore, key: SessionKey) -> None:
    session, turns = await store.session(key), await store.turns(key)
    require(session is None and not turns, f"of a session that is gone there is {session!r}")


async def _closing(store: SessionStore, check: Callable[[SessionStore], Awaitable[None]]) -> None:
    try:
        await check(store)
    finally:
        await store.aclose()
