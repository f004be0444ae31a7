"""What a cache asks of the place where its entries lie, when that is not its own memory."""

from __future__ import annotations

from typing import Protocol

__all__ = ["CacheStore"]


class CacheStore(Protocol):
    """Keeps bytes by key for a while, and lends leases on keys.

    Keys are short ASCII text that begins with the cache's own prefix. A method may raise whatever
    its backend does, and may take its time: the cache gives it a small time limit, and takes a
    failure for a miss. One store may serve several caches, event loops and processes at once.
    `tta_llm.testing.CacheStoreContract` tests one that you write.
    """

    async def get(self, key: str) -> bytes | None:
        """Give what is stored and not past its time; None when there is nothing."""
        ...

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Store the value, in place of any before it, for so many seconds."""
        ...

    async def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
        ...

    async def clear(self, prefix: str) -> None:
        """Forget all values whose keys begin so."""
        ...

    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        """Take the lease on a key for so many seconds; tell whether the owner has it now.

        An owner who has it already has it for so many seconds more. A lease is no value: `get`,
        `delete` and `clear` know nothing of it.
        """
        ...

    async def release(self, key: str, owner: str) -> None:
        """Give the lease back, if it is this owner's."""
        ...

    async def aclose(self) -> None:
        """Close files and connections; the store can be used again afterwards."""
        ...
