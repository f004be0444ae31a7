"""Where runs are kept, so that they can be taken up by another process."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tta_llm.agents._run import Run
from tta_llm.core._tasks import end_tasks
from tta_llm.errors import AgentRunError
from tta_llm.performance import CacheStore
from tta_llm.performance._codec import plain_of, value_of
from tta_llm.performance._fields import NotKept

__all__ = ["Checkpoints"]

_FORMAT = 1
_RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")
_LOOK_SECONDS = 0.05


class Checkpoints:
    """The runs of one agent in a store: each lies under one key, so that it is whole or not there.

    Args:
        store: Where they lie.
        agent: Whose they are.
        keep_seconds: How long a run is kept after it was last written.
        lease_seconds: So long a run whose process died is left to it.
    """

    def __init__(
        self, store: CacheStore, agent: str, keep_seconds: float, lease_seconds: float
    ) -> None:
        self._store, self._keep, self.lease_seconds = store, keep_seconds, lease_seconds
        self._prefix = f"agent-run:{agent.encode().hex()}:"

    async def load(self, run_id: str, tenant: str) -> Run:
        """Give a run.

        Raises:
            AgentRunError: When there is none of this name for this tenant.
        """
        stored = await self._store.get(self._key(run_id))
        run = None if stored is None else _read(stored, run_id)
        if run is None or run.tenant != tenant:
            raise AgentRunError(
                f"there is no run {run_id!r}: it is unknown, too old, or was dropped by its store "
                "for want of room; begin anew",
                run_id,
            )
        return run

    async def refuse_known(self, run_id: str) -> None:
        """Refuse to begin a run by a name that is taken.

        Raises:
            AgentRunError: When it is.
        """
        if await self._store.get(self._key(run_id)) is not None:
            raise AgentRunError(f"there is a run {run_id!r} already: resume it", run_id)

    async def save(self, run: Run, owner: str) -> None:
        """Write a run down as it is now.

        Raises:
            AgentRunError: When another process has taken it up meanwhile.
            Exception: As the store fails; the run must not go on then.
        """
        assert run.run_id is not None
        key = self._key(run.run_id)
        if not await self._store.acquire(key, owner, self.lease_seconds):
            raise _busy(run.run_id)
        try:
            plain = plain_of(run)
        except NotKept as error:
            raise TypeError(f"the run can't be kept: it holds {error}") from error
        written = json.dumps({"format": _FORMAT, "run": plain}, separators=(",", ":")).encode()
        await self._store.set(key, written, self._keep)

    @asynccontextmanager
    async def lease(self, run_id: str) -> AsyncIterator[str]:
        """Have a run to oneself in this block; wait for who has it now, but not for long.

        Yields:
            The owner's name, for `save`.

        Raises:
            AgentRunError: When somebody else works on it all the time.
        """
        key, owner = self._key(run_id), secrets.token_hex(8)
        try:
            await self._acquire(key, owner, run_id)
            renewals = asyncio.create_task(self._renew(key, owner))
            try:
                yield owner
            finally:
                await end_tasks([renewals])
        finally:
            with suppress(Exception):  # it ends by itself
                await self._store.release(key, owner)

    async def _acquire(self, key: str, owner: str, run_id: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.lease_seconds + 1.0
        while not await self._store.acquire(key, owner, self.lease_seconds):
            if loop.time() > until:
                raise _busy(run_id)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _renew(self, key: str, owner: str) -> None:
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            with suppress(Exception):  # `save` finds out whether it is lost
                await self._store.acquire(key, owner, self.lease_seconds)

    def _key(self, run_id: str) -> str:
        if not _RUN_ID.match(run_id):
            raise AgentRunError(
                "the name of a run has letters, digits, '_', '.' and '-', a hundred at most", ""
            )
        return self._prefix + run_id


def _read(stored: bytes, run_id: str) -> Run:
    try:
        told = json.loads(stored)
        run = value_of(told["run"]) if told["format"] == _FORMAT else None
    except Exception as error:
        raise AgentRunError(
            f"the run {run_id!r} can't be read by this version of the code "
            f"({type(error).__name__}): begin anew",
            run_id,
        ) from error
    if not isinstance(run, Run):
        raise AgentRunError(
            f"the run {run_id!r} was written by another version: begin anew", run_id
        )
    return run


def _busy(run_id: str) -> AgentRunError:
    return AgentRunError(f"the run {run_id!r} is under way elsewhere: try again later", run_id)
