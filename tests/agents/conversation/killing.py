"""Processes that are killed in the middle of their turns.

`python -m tests.agents.conversation.killing FOLDER KILLS SEED` prints a report as JSON, and fails
when the session can't be read or does not say which turns were not finished.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from tta_llm import WorkflowContext
from tta_llm.agents import Conversation, SQLiteSessionStore
from tta_llm.testing import FakeChatModel


def talk(path: Path, life: int) -> None:
    async def work() -> None:
        model = FakeChatModel("an answer", delay=0.005)
        chat = Conversation(model, store=SQLiteSessionStore(path))
        for number in range(10_000):
            context = WorkflowContext(data={"session_id": "1"})
            await chat.execute(f"{life}:{number}", context)

    asyncio.run(work())


def kill_one(path: Path, life: int, dice: random.Random) -> None:
    child = os.fork()
    if not child:
        try:
            talk(path, life)
        finally:
            os._exit(3)
    time.sleep(dice.uniform(0.02, 0.2))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "a process ended by itself"


async def check(path: Path, kills: int) -> dict[str, int]:
    model = FakeChatModel("an answer")
    chat = Conversation(model, store=SQLiteSessionStore(path))
    turns = await chat.history("1", last=1_000_000)
    assert [turn.number for turn in turns] == [*range(1, len(turns) + 1)]
    open_ones = [turn for turn in turns if turn.status == "unfinished"]
    assert len(open_ones) <= kills and all(turn.ended_at is None for turn in open_ones)
    for turn in turns:
        answered = ["an answer"] if turn.status == "finished" else []
        assert [message.text for message in turn.answer] == answered
        assert ":" in turn.messages[0].text
    await chat.execute("and now?", WorkflowContext(data={"session_id": "1"}))
    shown = {message.text for message in model.calls[0].messages}
    assert not shown & {turn.messages[0].text for turn in open_ones}
    await chat.aclose()
    return {"kills": kills, "turns": len(turns), "unfinished": len(open_ones)}


def main(folder: str, kills: int, seed: str) -> None:
    dice, path = random.Random(seed), Path(folder) / "sessions.db"
    for life in range(kills):
        kill_one(path, life, dice)
    sys.stdout.write(json.dumps(asyncio.run(check(path, kills))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
