"""Sessions and their turns, and what a conversation asks of the place where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from tta_llm.messages import FinishReason, Message

__all__ = ["Session", "SessionKey", "SessionStore", "Turn", "TurnStatus"]

TurnStatus: TypeAlias = Literal["finished", "unfinished", "failed"]
"""Unfinished is a turn that is under way, was stopped, waits for a person's word, or whose process
ended midway."""

_LONGEST_ID = 1000


@dataclass(frozen=True, slots=True, repr=False)
class SessionKey:
    """Which conversation, of whom. Any text will do for both, up to 1,000 characters.

    Args:
        session_id: The conversation.
        tenant_id: Whose it is; the same session of another tenant is another conversation.

    Raises:
        TypeError: When one of them is no string.
        ValueError: When one is too long, or the session is empty.

    Example:
        ```python
        from tta_llm.agents import SessionKey

        assert SessionKey("1:2", "3") != SessionKey("2", "3:1")
        ```
    """

    session_id: str
    tenant_id: str = ""

    def __post_init__(self) -> None:
        for what, value in (("session_id", self.session_id), ("tenant_id", self.tenant_id)):
            if not isinstance(value, str):
                raise TypeError(f"{what} is a string, not {type(value).__name__}")
            if len(value) > _LONGEST_ID:
                raise ValueError(
                    f"{what} has {len(value)} characters: give one of at most {_LONGEST_ID}, "
                    "such as a hash of it"
                )
        if not self.session_id:
            raise ValueError("session_id is empty: give the conversation a name")

    def __repr__(self) -> str:
        return f"SessionKey(session_id={self.session_id!r}, tenant_id={self.tenant_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Turn:
    """What was asked, and what came of it. Its repr tells sizes and never the content.

    Args:
        id: What tells it from all others: the request's own id, or one that was made up.
        number: Its place in the conversation, from 1 on; 0 until the store has given it one.
        status: What became of it.
        messages: What was asked, then what was answered, calls of tools and results included.
        asked: How many of the messages are what was asked.
        started_at: When, in seconds since 1970.
        ended_at: When; None for one that is under way, or whose process ended midway.
        answered_by: The provider and the model that answered.
        finish_reason: Why the answer ended.
        error: The class of the error that it failed with.
        run_id: The run of an agent that stopped in it, and waits for a person's word.

    Example:
        ```python
        from tta_llm.agents import Turn
        from tta_llm.messages import assistant, user

        turn = Turn(messages=(user("Hello"), assistant("Hi!")), asked=1, status="finished")
        assert turn.answer[0].text == "Hi!"
        assert repr(turn) == "Turn(0, 'finished', 2 messages)"
        ```
    """

    id: str = ""
    number: int = 0
    status: TurnStatus = "unfinished"
    messages: tuple[Message, ...] = ()
    asked: int = 0
    started_at: float = 0.0
    ended_at: float | None = None
    answered_by: tuple[str, str] | None = None
    finish_reason: FinishReason | None = None
    error: str | None = None
    run_id: str | None = None

    @property
    def answer(self) -> tuple[Message, ...]:
        """What was answered, as far as it got."""
        return self.messages[self.asked :]

    @property
    def is_shown(self) -> bool:
        """Whether later turns build on it: it was finished, or stopped once words had come."""
        return self.status == "finished" or (self.status == "unfinished" and bool(self.answer))

    def __repr__(self) -> str:
        return f"Turn({self.number}, {self.status!r}, {len(self.messages)} messages)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Session:
    """What is known of a conversation besides its turns.

    Args:
        turns: The number of its latest turn.
        summary: What the turns came to that the model is not shown any more.
        summarized: The number of the last of those turns.
        pinned: Messages that the model is always shown.
        version: Counts the changes of summary and pinned messages.

    Example:
        ```python
        from tta_llm.agents import Session

        assert repr(Session(turns=7, summary="They met.")) == "Session(7 turns, version=0)"
        ```
    """

    turns: int = 0
    summary: str = ""
    summarized: int = 0
    pinned: tuple[Message, ...] = ()
    version: int = 0

    def __repr__(self) -> str:
        return f"Session({self.turns} turns, version={self.version})"


class SessionStore(Protocol):
    """Keeps the turns of sessions, each by itself, and numbers them.

    A session begins with its first turn or change. It is gone once it was not written to for the
    `ttl_seconds` that the last write gave; None stands for no end. What is deleted or past its time
    is as if it had never been: nothing brings it back. One store may serve several conversations,
    event loops and processes at once. `tta_llm.testing.SessionStoreContract` tests one that you
    write.
    """

    async def session(self, key: SessionKey) -> Session | None:
        """Give what is known of the session; None when there is none."""
        ...

    async def begin(self, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> Turn:
        """Store a turn with the next number, which no other gets, and give it with that.

        When the session has one with this `id`, a finished one is given as it is, and another is
        replaced under its number.
        """
        ...

    async def end(self, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> bool:
        """Store a turn in place of the one with its number and id; tell whether that happened.

        It does not when that one is finished already, or gone, though the session began anew.
        """
        ...

    async def turns(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
        oldest: bool = False,
    ) -> tuple[Turn, ...]:
        """Give turns in order.

        Args:
            key: The session.
            after: Only those with higher numbers.
            before: Only those with lower numbers; None for all.
            limit: At most so many.
            oldest: Give the first of them, not the latest.
        """
        ...

    async def change(self, key: SessionKey, session: Session, ttl_seconds: float | None) -> bool:
        """Store summary and pinned messages, unless somebody else did since this was read.

        What was read has `session.version`, 0 when there was no session; the stored one then has
        one more. `session.turns` changes nothing.

        Returns:
            Whether it was stored.
        """
        ...

    async def delete(self, key: SessionKey) -> bool:
        """Forget a session; tell whether there was one."""
        ...

    async def delete_tenant(self, tenant_id: str) -> int:
        """Forget all sessions of a tenant; tell how many there were."""
        ...

    async def aclose(self) -> None:
        """Close files and connections; the store can be used again afterwards."""
        ...
